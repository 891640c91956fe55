// PublishAsync over a real connection: order, responses, bounds, how a session ends.
#include <doctest/doctest.h>

#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <set>

#include "bascule/v1/bascule.grpc.pb.h"
#include "core/api/in_flight_window.h"
#include "tests/support/eventually.h"
#include "tests/support/side_thread.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

struct Session {
  explicit Session(ApiWorld& world) {
    LimitCall(context);
    stream = world.stub->PublishAsync(&context);
  }
  bool Send(std::string name, std::string correlation,
            std::function<void(proto::PublishRequest&)> change = nullptr) {
    proto::PublishRequest request;
    request.set_stream(std::move(name));
    request.set_value("v" + correlation);
    request.set_correlationid(std::move(correlation));
    if (change) change(request);
    return stream->Write(request);
  }
  proto::PublishResponse Receive() {
    proto::PublishResponse response;
    REQUIRE(stream->Read(&response));
    return response;
  }
  std::string Error() {
    const proto::PublishResponse response = Receive();
    CHECK(response.has_asyncerror());
    CHECK(response.has_ack());
    CHECK(response.ack().ByteSizeLong() == 0);
    return response.correlationid() + ": " + std::to_string(response.asyncerror().code()) + " " +
           response.asyncerror().message();
  }
  std::string HalfClose() {
    stream->WritesDone();
    proto::PublishResponse response;
    CHECK_FALSE(stream->Read(&response));
    return Shown(stream->Finish());
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<proto::PublishRequest, proto::PublishResponse>> stream;
};

TEST_CASE("publish async: published in order, acked, ended OK by the half-close") {
  ApiWorld world;
  world.AddStream("s", "foo", 2);
  world.bus.AckAll();
  Session session(world);
  constexpr int kCount = 20'000;
  SideThread sender([&](const std::atomic<bool>&) {
    for (int i = 0; i < kCount; ++i) {
      session.Send("s", std::to_string(i), [&](auto& r) {
        r.set_partition(i % 2);
        r.set_ackinbox("a.client's.own");
        r.set_expectedoffset(i);
      });
    }
  });
  for (int i = 0; i < kCount; ++i) {
    const proto::PublishResponse response = session.Receive();
    if (response.correlationid() != std::to_string(i) || response.ack().offset() != i) {
      CHECK(response.correlationid() == std::to_string(i));
      break;
    }
  }
  sender.Stop();
  CHECK(session.HalfClose() == "0 ");
  const auto published = world.bus.published();
  REQUIRE(published.size() == kCount);
  CHECK(published[7].nats_subject == "foo.1");
  CHECK(published[7].value == "v7");
  CHECK(published[7].expected_offset == 7);
  CHECK(published[7].ack_inbox.substr(0, 9) == "test.ack.");
  // On the bus each has an id that nobody else knows.
  std::set<std::string> ids;
  for (const Published& message : published) ids.insert(message.correlation_id);
  CHECK(ids.size() == kCount);
  CHECK(Eventually([&] { return world.bus.inboxes() == 0; }));
}

TEST_CASE("publish async: what goes wrong with one request is a response, the session goes on") {
  ApiWorld world;
  world.AddStream("s", "foo");
  auto strict = world.MakeEntry("occ", "bar", 1);
  strict->settings.optimistic_concurrency_control = true;
  world.catalog.Put(strict);
  uint64_t error = 0;
  world.bus.on_publish = [&](const Published& message) {
    return std::optional(world.bus.Ack(message, error));
  };
  Session session(world);
  session.Send("x", "1");
  CHECK(session.Error() == "1: 2 no such stream: x");
  session.Send("", "2");
  CHECK(session.Error() == "2: 2 no such stream: ");
  session.Send("s", "3", [](auto& r) { r.set_partition(5); });
  CHECK(session.Error() == "3: 2 no such partition: 5");
  session.Send("occ", "4", [](auto& r) { r.set_ackpolicy(proto::NONE); });
  CHECK(session.Error() == "4: 1 stream with concurrency control must have AckPolicy set");
  error = 3;
  session.Send("s", "5");
  CHECK(session.Error() == "5: 1 message exceeds max replication size");
  error = 2;
  session.Send("s", "6");
  CHECK(session.Error() == "6: 5 incorrect expected offset");
  error = 4;
  session.Send("s", "7");
  CHECK(session.Error() == "7: 6 encryption failed on partition");
  error = 1;
  session.Send("s", "8");
  CHECK(session.Error().starts_with("8: 0 not stored: "));
  world.bus.FailWith(absl::UnavailableError("nats: disconnected"));
  session.Send("s", "9");
  CHECK(session.Error() == "9: 3 failed to publish to NATS: nats: disconnected");
  session.Send("s", "10", [](auto& r) { r.set_ackpolicy(proto::NONE); });
  CHECK(session.Error() == "10: 3 failed to publish to NATS: nats: disconnected");
  world.bus.FailWith(absl::OkStatus());
  world.bus.set_max_payload(10);
  session.Send("s", "11", [](auto& r) { r.set_value("more than ten bytes"); });
  CHECK(session.Error() == "11: 3 failed to publish to NATS: nats: maximum payload exceeded");
  error = 0;
  session.Send("s", "12");
  CHECK(session.Receive().ack().correlationid() == "12");
  session.Send("s", "");
  CHECK(session.Receive().correlationid().empty());
  CHECK(session.HalfClose() == "0 ");  // nothing of the failed ones is waited for
}

TEST_CASE("publish async: policy NONE is not answered and not waited for") {
  ApiWorld world;
  world.AddStream("s", "foo");
  Session session(world);
  // More than may wait for an ack: they take no room of the window.
  constexpr size_t kCount = limits::kMaxAsyncInFlight + 100;
  for (size_t i = 0; i < kCount; ++i) {
    session.Send("s", "n", [](auto& r) { r.set_ackpolicy(proto::NONE); });
  }
  CHECK(session.HalfClose() == "0 ");
  CHECK(world.bus.published().size() == kCount);
}

TEST_CASE("publish async: the half-close waits for acks that are on their way") {
  ApiWorld world;
  world.AddStream("s", "foo");
  Session session(world);
  session.Send("s", "late");
  REQUIRE(Eventually([&] { return world.bus.published().size() == 1; }));
  session.stream->WritesDone();
  const Published message = world.bus.published()[0];
  world.bus.Deliver(message.ack_inbox, world.bus.Ack(message));
  CHECK(session.Receive().correlationid() == "late");
  proto::PublishResponse response;
  CHECK_FALSE(session.stream->Read(&response));
  CHECK(Shown(session.stream->Finish()) == "0 ");
}

TEST_CASE("publish async: acks that never come are waited for so long and no longer") {
  ApiWorld world;
  world.AddStream("s", "foo");
  Session session(world);
  session.Send("s", "lost");
  CHECK(session.HalfClose() == "0 ");
}

TEST_CASE("publish async: bytes that are no request are answered, the session goes on") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.bus.AckAll();
  grpc::GenericStub stub(world.channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  LimitCall(context);
  auto call = stub.PrepareCall(&context, "/proto.API/PublishAsync", &queue);
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    REQUIRE(queue.Next(&tag, &ok));
    return ok;
  };
  call->StartCall(nullptr);
  REQUIRE(wait());
  const auto exchange = [&](const std::string& bytes) {
    const grpc::Slice slice(bytes);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    REQUIRE(wait());
    grpc::ByteBuffer received;
    call->Read(&received, nullptr);
    REQUIRE(wait());
    grpc::Slice flat;
    REQUIRE(received.DumpToSingleSlice(&flat).ok());
    proto::PublishResponse response;
    REQUIRE(response.ParseFromArray(flat.begin(), static_cast<int>(flat.size())));
    return response;
  };
  proto::PublishResponse response = exchange("\x3a\x02id\xff\xff\xff");
  CHECK(response.asyncerror().code() == proto::PublishAsyncError::BAD_REQUEST);
  CHECK(response.correlationid() == "id");
  response = exchange("\x1a\x01s\x3a\x02ok");
  CHECK(response.correlationid() == "ok");
  CHECK_FALSE(response.has_asyncerror());
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
  }
}

TEST_CASE("publish async: a full window stops reading until acks come") {
  ApiWorld world;
  world.AddStream("s", "foo");
  // Only ever too low: the session hears of an ack after it is counted here.
  std::atomic<size_t> published{0}, acked{0}, most_in_flight{0};
  world.bus.on_publish = [&](const Published&) -> std::optional<std::string> {
    const size_t now = ++published - acked;
    most_in_flight = std::max<size_t>(most_in_flight, now);
    return std::nullopt;
  };
  Session session(world);
  constexpr size_t kCount = limits::kMaxAsyncInFlight + 1000;
  SideThread sender([&](const std::atomic<bool>&) {
    for (size_t i = 0; i < kCount; ++i) session.Send("s", "");
  });
  REQUIRE(Eventually([&] { return published == limits::kMaxAsyncInFlight; }));
  const auto ack = [&](int count) {
    const std::vector<Published> all = world.bus.published();
    for (int i = 0; i < count; ++i) {
      const Published& next = all[acked++];
      world.bus.Deliver(next.ack_inbox, world.bus.Ack(next));
      world.bus.Deliver(next.ack_inbox, world.bus.Ack(next));  // again: makes no room
    }
    for (int i = 0; i < count; ++i) session.Receive();
  };
  ack(10);
  CHECK(Eventually([&] { return published == limits::kMaxAsyncInFlight + 10; }));
  ack(1000);
  sender.Stop();
  CHECK(Eventually([&] { return published == kCount; }));
  CHECK(most_in_flight <= limits::kMaxAsyncInFlight);
  session.context.TryCancel();
  CHECK(session.stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(Eventually([&] { return world.bus.inboxes() == 0; }));
}

// The machine's clock, put forward.
class ShiftedClock final : public Clock {
 public:
  MonotonicTime Monotonic() override { return Add(RealClock().Monotonic(), Duration(shift_)); }
  Timestamp Wall() override { return RealClock().Wall(); }
  void Shift(Duration by) { shift_ = by.count(); }
  // So that it is `then` now.
  void ShiftTo(MonotonicTime then) { Shift(Between(RealClock().Monotonic(), then)); }

 private:
  std::atomic<int64_t> shift_{0};
};

TEST_CASE(
    "publish async: a window that fills again while it awaits its oldest goes on after that") {
  ShiftedClock clock;
  ApiWorld world({}, clock);
  world.AddStream("s", "foo");
  std::atomic<size_t> published{0};
  world.bus.on_publish = [&](const Published&) -> std::optional<std::string> {
    ++published;
    return std::nullopt;
  };
  Session session(world);
  const MonotonicTime first = clock.Monotonic();
  for (size_t i = 0; i + 1 < limits::kMaxAsyncInFlight; ++i) session.Send("s", "");
  REQUIRE(Eventually([&] { return published == limits::kMaxAsyncInFlight - 1; }));
  constexpr std::chrono::milliseconds kLeft{1000};
  const Duration age = Between(first, clock.Monotonic());
  clock.Shift(InFlightWindow::kAge - age - kLeft);
  // Full, room, full: paused many times before the oldest request's time is up.
  constexpr size_t kRounds = 20;
  for (size_t round = 0; round < kRounds; ++round) {
    session.Send("s", "");
    REQUIRE(Eventually([&] { return published == limits::kMaxAsyncInFlight + round; }));
    const Published newest = world.bus.published().back();
    world.bus.Deliver(newest.ack_inbox, world.bus.Ack(newest));
    session.Receive();
  }
  constexpr size_t kMore = 100;
  for (size_t i = 0; i < kMore; ++i) session.Send("s", "");
  CHECK(Eventually([&] { return published == limits::kMaxAsyncInFlight - 1 + kRounds + kMore; }));
  session.context.TryCancel();
  CHECK(session.stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(Eventually([&] { return world.bus.inboxes() == 0; }));
}

TEST_CASE(
    "publish async: a window whose oldest was acked in time awaits the next oldest, no longer") {
  ShiftedClock clock;
  ApiWorld world({}, clock);
  world.AddStream("s", "foo");
  std::atomic<size_t> published{0};
  world.bus.on_publish = [&](const Published&) -> std::optional<std::string> {
    ++published;
    return std::nullopt;
  };
  Session session(world);
  const auto send = [&](size_t until) {
    for (size_t i = published; i < until; ++i) session.Send("s", "");
    REQUIRE(Eventually([&] { return published == until; }));
  };
  constexpr std::chrono::milliseconds kLeft{1000};
  const MonotonicTime first = clock.Monotonic();
  send(1);
  clock.Shift(std::chrono::seconds(10));  // the others are younger
  send(limits::kMaxAsyncInFlight - 1);
  clock.ShiftTo(Add(first, InFlightWindow::kAge - kLeft));
  send(limits::kMaxAsyncInFlight);
  // Full until the first one's time is up; but that one is acked, and another takes its place.
  const Published oldest = world.bus.published().front();
  world.bus.Deliver(oldest.ack_inbox, world.bus.Ack(oldest));
  session.Receive();
  send(limits::kMaxAsyncInFlight + 1);
  // No ack comes any more. When the first one's time is up, that of the others is not quite.
  clock.ShiftTo(Add(first, InFlightWindow::kAge + std::chrono::seconds(9)));
  session.Send("s", "");
  CHECK(Eventually([&] { return published == limits::kMaxAsyncInFlight + 2; }));
  session.context.TryCancel();
  CHECK(session.stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("publish async: cancelling frees the session, whatever is under way") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.bus.AckAll();
  for (int round = 0; round < 30; ++round) {
    Session session(world);
    for (int i = 0; i < round * 20; ++i) session.Send("s", "c");
    if (round % 3 == 0 && round > 0) session.Receive();
    if (round % 2 == 0) session.stream->WritesDone();
    session.context.TryCancel();
    session.stream->Finish();
  }
  CHECK(Eventually([&] { return world.bus.inboxes() == 0; }));
}

TEST_CASE("publish async: only its own stream and partition answer a request, and only once") {
  ApiWorld world;
  world.AddStream("s", "foo", 2);
  world.AddStream("wide", ">");
  Session session(world);
  session.Send("s", "same", [](auto& r) { r.set_partition(1); });
  session.Send("s", "same");
  REQUIRE(Eventually([&] { return world.bus.published().size() == 2; }));
  const Published one = world.bus.published()[0];
  const Published two = world.bus.published()[1];
  const auto deliver = [&](Published message, uint64_t error = 0) {
    world.bus.Deliver(message.ack_inbox, world.bus.Ack(message, error));
  };
  Published wrong = one;
  wrong.stream = "wide";
  deliver(wrong);
  deliver(wrong, 3);
  wrong = one;
  wrong.nats_subject = "foo";
  deliver(wrong);
  wrong = one;
  wrong.correlation_id = "same";  // what a forger knows of the client
  deliver(wrong);
  wrong.correlation_id = std::string(24, '0');
  deliver(wrong);
  deliver(two);
  deliver(two);
  deliver(one, 2);
  proto::PublishResponse response = session.Receive();
  CHECK(response.correlationid() == "same");
  CHECK(response.ack().correlationid() == "same");
  CHECK(response.ack().msgsubject() == "foo");
  CHECK(session.Error() == "same: 5 incorrect expected offset");
  CHECK(session.HalfClose() == "0 ");
  CHECK(world.bus.foreign() == 3);
  CHECK(world.bus.unmatched() == 3);
}

TEST_CASE("publish async: errors are told under policy NONE too, with the client's id") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.bus.on_publish = [&](const Published& message) {
    return std::optional(world.bus.Ack(message, 3));
  };
  Session session(world);
  for (int round = 0; round < 2; ++round) {
    session.Send("s", "n", [](auto& r) { r.set_ackpolicy(proto::NONE); });
    CHECK(session.Error() == "n: 1 message exceeds max replication size");
  }
  CHECK(session.HalfClose() == "0 ");
}

TEST_CASE("publish async: without an inbox there is no session") {
  ApiWorld world;
  world.bus.FailInboxesWith(absl::UnavailableError("nats: no connection"));
  Session session(world);
  proto::PublishResponse response;
  CHECK_FALSE(session.stream->Read(&response));
  CHECK(Shown(session.stream->Finish()) == "14 failed to publish to NATS: nats: no connection");
}

uint64_t Overflows(v1::Bascule::Stub& stub) {
  grpc::ClientContext context;
  LimitCall(context);
  v1::GetServerInfoResponse info;
  REQUIRE(stub.GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok());
  return info.counters().at("api_async_overflows");
}

// What a client finds that sends without reading until the server has given up `floods` like it.
std::pair<size_t, std::string> Flood(ApiWorld& world, const std::string& stream, uint64_t floods) {
  Session session(world);
  const std::string large(20'000, 'c');  // comes back with each response
  SideThread sender([&](const std::atomic<bool>&) {
    for (int sent = 0; sent < 4000 && session.Send(stream, large); ++sent) {
    }
    session.stream->WritesDone();
  });
  const auto observer = v1::Bascule::NewStub(world.Connect());
  const bool given_up = Eventually([&] { return Overflows(*observer) >= floods; });
  if (!given_up) session.context.TryCancel();
  REQUIRE(given_up);
  size_t read = 0;
  proto::PublishResponse response;
  while (session.stream->Read(&response)) ++read;
  sender.Stop();
  CHECK(read < 4000);
  return {read, Shown(session.stream->Finish())};
}

TEST_CASE("publish async: a client that does not read ends its session, not the server's memory") {
  for (const bool by_count : {false, true}) {
    for (const char* stream : {"s", "unknown"}) {  // acks, refusals
      CAPTURE(by_count);
      CAPTURE(stream);
      ApiOptions options;
      if (by_count) options.async_outbox_responses = 10;
      if (!by_count) options.async_outbox_bytes = 200'000;
      ApiWorld world(options);
      world.AddStream("s", "foo");
      world.bus.AckAll();
      // Two at once, each on its own account.
      std::pair<size_t, std::string> other;
      SideThread beside(
          [&](const std::atomic<bool>&) { other = Flood(world, stream, /*floods=*/2); });
      const auto [read, status] = Flood(world, stream, /*floods=*/2);
      beside.Stop();
      CHECK(status == "14 too many acks wait: read the responses of PublishAsync");
      CHECK(other.second == status);
      // The next one is served.
      Session honest(world);
      REQUIRE(honest.Send("s", "1"));
      CHECK(honest.Receive().correlationid() == "1");
      CHECK(honest.HalfClose() == "0 ");
    }
  }
}

}  // namespace
}  // namespace bascule::api
