// Every start and stop position, and every end of a subscription, over the wire.
#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using grpc::StatusCode;
using Change = std::function<void(proto::SubscribeRequest&)>;

constexpr int kStored = 30;
constexpr size_t kFilling = 7000;  // several segments of the least size
// What old clients send in every timestamp that they do not mean.
constexpr int64_t kGoZeroTime = -6795364578871345152;

// One broker for the cases that change nothing: `full` has kStored, `empty` none.
struct ReadingWorld {
  ReadingWorld() {
    broker.Start();
    broker.CreateStream("full", "read.full", [](auto& request) {
      request.mutable_settings()->set_segment_max_bytes(64 * 1024);
    });
    broker.CreateStream("empty", "read.empty");
    for (int i = 0; i < kStored; ++i) {
      std::string value = std::to_string(i);
      value.resize(kFilling, ' ');
      REQUIRE(broker.Publish("full", value) == i);
    }
    for (const proto::Message& message : broker.ReadAll("full"))
      times.push_back(message.timestamp());
    REQUIRE(times.size() == kStored);
    BROKER_REQUIRE(broker, broker.Describe("full").partitions(0).segments() >= 3);
  }

  std::unique_ptr<NatsServer> nats = StartNats();
  MainBroker broker{nats->url()};
  std::vector<int64_t> times;
};

struct Case {
  std::string name;
  proto::StartPosition start;
  proto::StopPosition stop;
  Change change;
  std::vector<int64_t> offsets;
  StatusCode code;
  std::string text;
  bool stands = true;
};

std::vector<int64_t> Run(int64_t from, int64_t to) {
  std::vector<int64_t> offsets;
  for (int64_t i = from; i != to + (from <= to ? 1 : -1); i += from <= to ? 1 : -1)
    offsets.push_back(i);
  return offsets;
}

void Try(MainBroker& broker, const std::string& stream, const Case& test) {
  CAPTURE(test.name);
  proto::SubscribeRequest request = Request(stream, test.start, test.stop);
  if (test.change) test.change(request);
  Subscriber subscriber(broker, request);
  std::vector<int64_t> offsets;
  for (const proto::Message& message : subscriber.Rest()) {
    offsets.push_back(message.offset());
    CHECK(message.value().starts_with(std::to_string(message.offset()) + " "));
  }
  BROKER_CHECK(broker, subscriber.stands() == test.stands);
  BROKER_CHECK(broker, offsets == test.offsets);
  BROKER_CHECK(broker, subscriber.status().error_code() == test.code);
  CHECK(subscriber.status().error_message() == test.text);
}

constexpr StatusCode kEnd = StatusCode::RESOURCE_EXHAUSTED;
constexpr char kStop[] = "Stop offset reached";

std::vector<Case> ForwardCases(const std::vector<int64_t>& t) {
  using namespace proto;  // NOLINT: the names of positions
  const int64_t last = kStored - 1;
  return {
      {"all", EARLIEST, STOP_LATEST, nullptr, Run(0, last), kEnd, kStop},
      {"what is not asked for is ignored", EARLIEST, STOP_LATEST,
       [](auto& r) {
         r.set_startoffset(20);
         r.set_starttimestamp(kGoZeroTime);
         r.set_stopoffset(3);
         r.set_stoptimestamp(kGoZeroTime);
       },
       Run(0, last), kEnd, kStop},
      {"offsets", OFFSET, STOP_OFFSET, [](auto& r) { r.set_startoffset(4), r.set_stopoffset(26); },
       Run(4, 26), kEnd, kStop},
      {"one offset",
       OFFSET,
       STOP_OFFSET,
       [](auto& r) { r.set_startoffset(12), r.set_stopoffset(12); },
       {12},
       kEnd,
       kStop},
      {"before the oldest",
       OFFSET,
       STOP_OFFSET,
       [](auto& r) { r.set_startoffset(-7), r.set_stopoffset(1); },
       {0, 1},
       kEnd,
       kStop},
      {"newest", LATEST, STOP_LATEST, nullptr, {last}, kEnd, kStop},
      {"exact time", TIMESTAMP, STOP_LATEST, [&](auto& r) { r.set_starttimestamp(t[11]); },
       Run(11, last), kEnd, kStop},
      {"just after a time", TIMESTAMP, STOP_LATEST,
       [&](auto& r) { r.set_starttimestamp(t[11] + 1); }, Run(12, last), kEnd, kStop},
      {"before all times", TIMESTAMP, STOP_LATEST, [](auto& r) { r.set_starttimestamp(1); },
       Run(0, last), kEnd, kStop},
      {"between two times", TIMESTAMP, STOP_TIMESTAMP,
       [&](auto& r) { r.set_starttimestamp(t[3]), r.set_stoptimestamp(t[21]); }, Run(3, 21), kEnd,
       kStop},
      {"just before a stop time", EARLIEST, STOP_TIMESTAMP,
       [&](auto& r) { r.set_stoptimestamp(t[21] - 1); }, Run(0, 20), kEnd, kStop},
      {"stop time after the newest",
       LATEST,
       STOP_TIMESTAMP,
       [&](auto& r) { r.set_stoptimestamp(t[last] + 1'000'000'000); },
       {last},
       kEnd,
       kStop},
  };
}

std::vector<Case> RefusedCases(const std::vector<int64_t>& t, int64_t end) {
  using namespace proto;  // NOLINT: the names of positions
  const StatusCode invalid = StatusCode::INVALID_ARGUMENT;
  return {
      {"stop time before the log",
       EARLIEST,
       STOP_TIMESTAMP,
       [&](auto& r) { r.set_stoptimestamp(t[0] - 1); },
       {},
       StatusCode::INTERNAL,
       "Failed to lookup offset for timestamp: timestamp is before the beginning of the log",
       false},
      {"stop before start",
       OFFSET,
       STOP_OFFSET,
       [](auto& r) { r.set_startoffset(5), r.set_stopoffset(2); },
       {},
       invalid,
       "Stop offset is before start offset: 2 < 5",
       false},
      {"new only until the newest",
       NEW_ONLY,
       STOP_LATEST,
       nullptr,
       {},
       invalid,
       absl::StrCat("Stop offset is before start offset: ", end - 1, " < ", end),
       false},
      {"a start that nobody knows",
       static_cast<StartPosition>(17),
       STOP_LATEST,
       nullptr,
       {},
       invalid,
       "Unknown StartPosition 17",
       false},
      {"a stop that nobody knows",
       EARLIEST,
       static_cast<StopPosition>(17),
       nullptr,
       {},
       invalid,
       "Unknown StopPosition 17",
       false},
  };
}

std::vector<Case> UnknownCases() {
  using namespace proto;  // NOLINT: the names of positions
  const StatusCode invalid = StatusCode::INVALID_ARGUMENT;
  return {
      {"no such stream",
       EARLIEST,
       STOP_LATEST,
       [](auto& r) { r.set_stream("nobody"); },
       {},
       StatusCode::NOT_FOUND,
       "No such partition",
       false},
      {"no such partition",
       EARLIEST,
       STOP_LATEST,
       [](auto& r) { r.set_partition(1); },
       {},
       StatusCode::NOT_FOUND,
       "No such partition",
       false},
      {"a negative partition",
       EARLIEST,
       STOP_LATEST,
       [](auto& r) { r.set_partition(-1); },
       {},
       StatusCode::NOT_FOUND,
       "No such partition",
       false},
      {"a group without a member",
       EARLIEST,
       STOP_LATEST,
       [](auto& r) { r.mutable_consumer()->set_groupid("g"); },
       {},
       invalid,
       "Consumer id cannot be empty when group id is provided",
       false},
  };
}

std::vector<Case> ReverseCases(const std::vector<int64_t>& t) {
  using namespace proto;  // NOLINT: the names of positions
  const int64_t last = kStored - 1;
  const auto down = [](auto& r) { r.set_reverse(true); };
  return {
      {"down from the newest", LATEST, STOP_ON_CANCEL, down, Run(last, 0), StatusCode::UNKNOWN,
       "EOF"},
      {"down from the end", NEW_ONLY, STOP_ON_CANCEL, down, Run(last, 0), StatusCode::UNKNOWN,
       "EOF"},
      {"down from the oldest", EARLIEST, STOP_ON_CANCEL, down, {0}, StatusCode::UNKNOWN, "EOF"},
      {"down from an offset", OFFSET, STOP_ON_CANCEL,
       [](auto& r) { r.set_reverse(true), r.set_startoffset(17); }, Run(17, 0), StatusCode::UNKNOWN,
       "EOF"},
      {"down from past the end", OFFSET, STOP_ON_CANCEL,
       [](auto& r) { r.set_reverse(true), r.set_startoffset(1000); }, Run(last, 0),
       StatusCode::UNKNOWN, "EOF"},
      {"down from a time", TIMESTAMP, STOP_ON_CANCEL,
       [&](auto& r) { r.set_reverse(true), r.set_starttimestamp(t[9]); }, Run(9, 0),
       StatusCode::UNKNOWN, "EOF"},
      {"down to an offset",
       OFFSET,
       STOP_OFFSET,
       [](auto& r) { r.set_reverse(true), r.set_startoffset(9), r.set_stopoffset(4); },
       {},
       StatusCode::INVALID_ARGUMENT,
       "Stop offset is before start offset: 4 < 9",
       false},
  };
}

void TryAll(ReadingWorld& world, int64_t end) {
  for (const auto& cases : {ForwardCases(world.times), RefusedCases(world.times, end),
                            UnknownCases(), ReverseCases(world.times)}) {
    for (const Case& test : cases) Try(world.broker, "full", test);
  }
}

TEST_CASE("every position that ends by itself, before and after restarts") {
  ReadingWorld world;
  TryAll(world, kStored);
  // Each time away ends with a gap record: it takes an offset, and no position shows it.
  world.broker.Stop();
  world.broker.Start();
  const auto gaps = [&] { return world.broker.Describe("full").partitions(0).gap_records(); };
  BROKER_REQUIRE(world.broker, Eventually([&] { return gaps() == 1; }));
  TryAll(world, kStored + 1);
  world.broker.Kill();
  world.broker.Start();
  BROKER_REQUIRE(world.broker, Eventually([&] { return gaps() == 2; }));
  TryAll(world, kStored + 2);
}

TEST_CASE("an empty stream: what ends at once and what waits") {
  using namespace proto;  // NOLINT: the names of positions
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("empty", "read.empty");
  const auto down = [](auto& r) { r.set_reverse(true); };
  for (const StartPosition start : {EARLIEST, LATEST, OFFSET, TIMESTAMP, NEW_ONLY}) {
    Try(broker, "empty",
        {"until the newest", start, STOP_LATEST, nullptr, {}, kEnd, "Stream is empty", false});
  }
  Try(broker, "empty",
      {"until a time",
       EARLIEST,
       STOP_TIMESTAMP,
       nullptr,
       {},
       StatusCode::INTERNAL,
       "Failed to lookup offset for timestamp: failed to find log segment for timestamp: EOF",
       false});
  Try(broker, "empty",
      {"down",
       LATEST,
       STOP_ON_CANCEL,
       down,
       {},
       StatusCode::INTERNAL,
       "Failed to create stream reader: segment not found",
       false});
  std::vector<std::unique_ptr<Subscriber>> waiting;
  for (const StartPosition start : {EARLIEST, LATEST, OFFSET, TIMESTAMP, NEW_ONLY}) {
    proto::SubscribeRequest request = Request("empty", start, STOP_ON_CANCEL);
    request.set_startoffset(77);  // far past the end: the next message there is
    waiting.push_back(std::make_unique<Subscriber>(broker, request));
    BROKER_REQUIRE(broker, waiting.back()->stands());
  }
  broker.Publish("empty", "first");
  for (const auto& subscriber : waiting) {
    const auto message = subscriber->Next();
    BROKER_REQUIRE(broker, message.has_value());
    CHECK(message->value() == "first");
    CHECK(message->offset() == 0);
  }
}

TEST_CASE("waiting subscriptions go on with what comes, and end at their stop") {
  using namespace proto;  // NOLINT: the names of positions
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("live", "read.live");
  broker.Publish("live", "0");
  proto::SubscribeRequest request = Request("live", NEW_ONLY, STOP_ON_CANCEL);
  Subscriber fresh(broker, request);
  request = Request("live", OFFSET, STOP_OFFSET);
  request.set_startoffset(0);
  request.set_stopoffset(2);  // not there yet
  Subscriber bounded(broker, request);
  request.set_stopoffset(-1);  // never
  Subscriber endless(broker, request);
  request = Request("live", TIMESTAMP, STOP_ON_CANCEL);
  request.set_starttimestamp(std::chrono::nanoseconds(std::chrono::hours(24 * 365 * 200)).count());
  Subscriber future(broker, request);
  for (const char* value : {"1", "2", "3"}) broker.Publish("live", value);

  CHECK(Values(bounded.Rest()) == std::vector<std::string>{"0", "1", "2"});
  CHECK(bounded.status().error_message() == kStop);
  for (const char* value : {"1", "2", "3"}) {
    for (Subscriber* subscriber : {&fresh, &future}) {
      const auto message = subscriber->Next();
      BROKER_REQUIRE(broker, message.has_value());
      CHECK(message->value() == value);
      CHECK(message->stream() == "live");
      CHECK(message->subject() == "read.live");
    }
  }
  for (const char* value : {"0", "1", "2", "3"}) CHECK(endless.Next()->value() == value);
  fresh.Cancel();
  CHECK(fresh.status().error_code() == StatusCode::CANCELLED);
}

TEST_CASE("how a subscription ends: deadline, deleted stream, stopping broker, killed broker") {
  using namespace proto;  // NOLINT: the names of positions
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("doomed", "end.doomed");
  broker.CreateStream("kept", "end.kept");
  Subscriber late(broker, Request("kept", NEW_ONLY, STOP_ON_CANCEL),
                  std::chrono::milliseconds(300));
  CHECK(late.status().error_code() == StatusCode::DEADLINE_EXCEEDED);

  Subscriber doomed(broker, Request("doomed", NEW_ONLY, STOP_ON_CANCEL));
  BROKER_REQUIRE(broker, doomed.stands());
  grpc::ClientContext context;
  Bound(context);
  proto::DeleteStreamRequest erase;
  erase.set_name("doomed");
  proto::DeleteStreamResponse erased;
  BROKER_REQUIRE(broker, broker.api().DeleteStream(&context, erase, &erased).ok());
  CHECK(doomed.status().error_code() == StatusCode::NOT_FOUND);
  CHECK(doomed.status().error_message() == "commit log was deleted");

  Subscriber stopped(broker, Request("kept", NEW_ONLY, STOP_ON_CANCEL));
  BROKER_REQUIRE(broker, stopped.stands());
  broker.Stop();
  CHECK(stopped.status().error_code() == StatusCode::UNAVAILABLE);
  broker.Start();
  Subscriber killed(broker, Request("kept", NEW_ONLY, STOP_ON_CANCEL));
  BROKER_REQUIRE(broker, killed.stands());
  broker.Kill();
  CHECK(killed.status().error_code() == StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace bascule::main_job
