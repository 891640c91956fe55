// Messages, calls and bodies between brokers, and what becomes of them when a connection breaks.
#include <doctest/doctest.h>

#include <atomic>

#include <condition_variable>

#include "tests/unit/peer_world.h"

namespace bascule::peer {
namespace {

using std::chrono::milliseconds;

// Answers that are given when the test says so.
class HeldAnswers {
 public:
  NotingHandler::Answer Taker() {
    return [this](const std::string&, Duration, PeerHandler::Respond respond) {
      const std::lock_guard lock(mutex_);
      held_.push_back(std::move(respond));
    };
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return held_.size();
  }
  bool Holds(size_t count) {
    return Eventually([&] { return size() >= count; });
  }
  std::vector<PeerHandler::Respond> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(held_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<PeerHandler::Respond> held_;
};

TEST_CASE("peer: messages arrive in order, from the one who is named") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  for (int i = 0; i < 1000; ++i)
    a.transport->Send(b.id(), PeerService::kRaft, Concat("message ", i));
  REQUIRE(Eventually([&] { return b.handler.messages().size() == 1000; }));
  const auto got = b.handler.messages();
  for (int i = 0; i < 1000; ++i) REQUIRE(got[static_cast<size_t>(i)] == Concat("message ", i));
  PeerIdentity expected = a.options.self;
  expected.address = a.transport->address();
  CHECK(b.handler.from() == expected);
  CHECK(b.events.last() == expected);
  CHECK(a.Counter("peer_messages_dropped") == 0);
}

TEST_CASE("peer: a call's answer comes back, and so does its status, unchanged") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  CHECK(a.Call(b, "one").get().value() == "answer to one");

  const std::string long_text(10'000, 'x');
  b.handler.OnCall([&](const std::string& request, Duration timeout, PeerHandler::Respond respond) {
    if (request == "time") return respond(Concat(timeout > seconds(25) && timeout <= seconds(30)));
    if (request == "large") return respond(std::string(limits::kPeerFrameBytes + 1, 'y'));
    if (request == "whole") return respond(std::string(limits::kPeerFrameBytes, 'y'));
    if (request == "forget") return;
    if (request == "long") return respond(absl::AbortedError(long_text));
    if (request == "bytes") return respond(absl::DataLossError("\xff\xfe\x01"));
    for (int code = 1; code <= 16; ++code) {
      if (request == Concat(code))
        return respond(absl::Status(static_cast<absl::StatusCode>(code), "as it \n is"));
    }
  });
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status = a.Call(b, Concat(code)).get().status();
    CHECK(status == absl::Status(static_cast<absl::StatusCode>(code), "as it \n is"));
  }
  CHECK(a.Call(b, "time", seconds(30)).get().value() == "1");
  CHECK(a.Call(b, "bytes").get().status() == absl::DataLossError("\xff\xfe\x01"));
  CHECK(a.Call(b, "long").get().status() ==
        absl::AbortedError(long_text.substr(0, limits::kPeerStatusTextBytes)));
  CHECK(absl::IsResourceExhausted(a.Call(b, "large").get().status()));
  CHECK(a.Call(b, "whole").get().value().size() == limits::kPeerFrameBytes);
  CHECK(absl::IsUnknown(a.Call(b, "forget").get().status()));
  CHECK(absl::IsInvalidArgument(
      a.Call(b, std::string(limits::kPeerFrameBytes + 1, 'x')).get().status()));
  std::promise<absl::Status> other;
  a.transport->Call(b.id(), PeerService::kSession, "nobody handles this", seconds(5),
                    [&](auto result) { other.set_value(result.status()); });
  CHECK(absl::IsUnimplemented(other.get_future().get()));
}

TEST_CASE("peer: a call ends at its deadline, and its late answer is nobody's") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  HeldAnswers held;
  b.handler.OnCall(held.Taker());
  const absl::Status status = a.Call(b, "slow", milliseconds(50)).get().status();
  CHECK(absl::IsDeadlineExceeded(status));
  REQUIRE(held.Holds(1));
  held.Take()[0]("too late");
  b.handler.OnCall({});
  CHECK(a.Call(b, "next").get().value() == "answer to next");
}

TEST_CASE(
    "peer: what was sent is Unknown when the connection breaks, what was not is Unavailable") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  HeldAnswers held;
  b.handler.OnCall(held.Taker());
  auto sent = a.Call(b, "sent");
  REQUIRE(held.Holds(1));
  const std::string address = b.transport->address();
  b.transport->Stop();
  const absl::Status unknown = sent.get().status();
  CHECK_MESSAGE(absl::IsUnknown(unknown), unknown.ToString());
  REQUIRE(Eventually([&] { return a.events.Count("down b2") == 1; }));
  // Nobody is there now: it cannot have been delivered.
  const absl::Status unavailable = a.Call(b, "unsent").get().status();
  CHECK_MESSAGE(absl::IsUnavailable(unavailable), unavailable.ToString());
  CHECK(unavailable.message().find(address) != absl::string_view::npos);
  // No such peer at all.
  const PeerBroker c(3);
  CHECK(absl::IsUnavailable(a.Call(c, "to nobody").get().status()));
  CHECK(b.handler.calls() == 1);
  for (auto& respond : held.Take()) respond("after the end");
}

TEST_CASE("peer: a peer that restarts is connected again, by its new incarnation") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  b.Restart();
  b.Know(a);
  REQUIRE(a.IsUp(b, 2));
  CHECK(a.events.Count("down b2") == 1);
  CHECK(a.events.last().incarnation == b.options.self.incarnation);
  CHECK(a.Call(b, "again").get().value() == "answer to again");
  a.transport->Send(b.id(), PeerService::kRaft, "hello again");
  CHECK(Eventually([&] { return b.handler.messages().size() == 1; }));
}

TEST_CASE("peer: a body of 20 MiB travels whole, over another connection than messages") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  std::string body(20 * limits::kMiB + 17, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 13);
  CHECK(a.SendBulk(b, "the header", body).get().value() == Concat("took ", body.size()));
  CHECK(b.handler.headers() == std::vector<std::string>{"the header"});
  CHECK(b.handler.bodies()[0] == body);
  // Bodies of every awkward size, one after another.
  std::vector<std::future<absl::StatusOr<std::string>>> answers;
  const std::vector<size_t> sizes = {0, 1, limits::kPeerFrameBytes - 1, limits::kPeerFrameBytes,
                                     limits::kPeerFrameBytes + 1};
  for (const size_t size : sizes) answers.push_back(a.SendBulk(b, "", std::string(size, 'z')));
  for (size_t i = 0; i < sizes.size(); ++i)
    CHECK(answers[i].get().value() == Concat("took ", sizes[i]));
  CHECK(absl::IsInvalidArgument(
      a.SendBulk(b, std::string(limits::kPeerBulkHeaderBytes + 1, 'h'), "").get().status()));
  CHECK(b.Counter("peer_bulk_received") == 6);
}

TEST_CASE("peer: a body whose time is up half way leaves the connection usable") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  REQUIRE(a.SendBulk(b, "", "first").get().ok());  // the connection is there
  const std::string large(200 * limits::kMiB, 'l');
  size_t bodies = 1;
  uint64_t came = 0;
  // On a slow machine the time may be up before the first byte.
  for (milliseconds timeout(30); came < limits::kPeerFrameBytes; timeout *= 2) {
    const uint64_t before = b.Counter("peer_bytes_received");
    const absl::Status late = a.SendBulk(b, "", large, timeout).get().status();
    REQUIRE_MESSAGE(absl::IsDeadlineExceeded(late), late.ToString());
    CHECK(late.message().find("could not be sent a body in time") != std::string::npos);
    CHECK(a.SendBulk(b, "", "small").get().value() == "took 5");
    ++bodies;
    came = b.Counter("peer_bytes_received") - before;
  }
  CHECK(came < large.size());
  // Others of every awkward size after it, each from its first byte on.
  for (const size_t size : {size_t{0}, limits::kPeerFrameBytes + 1}) {
    const std::string body = Concat("size ", size) + std::string(size, 's');
    CHECK(a.SendBulk(b, "", body).get().value() == Concat("took ", body.size()));
    CHECK(b.handler.bodies().back() == body);
    ++bodies;
  }
  CHECK(b.handler.bodies().size() == bodies);
}

TEST_CASE("peer: bodies that were not sent whole are Unavailable when the connection breaks") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  b.transport->Stop();
  const absl::Status status = a.SendBulk(b, "h", "body").get().status();
  CHECK_MESSAGE(absl::IsUnavailable(status), status.ToString());
}

TEST_CASE("peer: a removed peer is down, hears nothing and is not heard") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  HeldAnswers held;
  b.handler.OnCall(held.Taker());
  auto sent = a.Call(b, "sent");
  REQUIRE(held.Holds(1));
  a.transport->RemovePeer(b.id());
  CHECK(absl::IsUnknown(sent.get().status()));
  REQUIRE(Eventually([&] { return a.events.Count("down b2") == 1; }));
  CHECK(absl::IsUnavailable(a.Call(b, "more").get().status()));
  // Its own connection was ended, and is refused when it comes again.
  REQUIRE(Eventually([&] { return b.events.Count("down b1") == 1; }));
  REQUIRE(a.Reaches("peer_refused_unknown_node", 2));
  b.transport->Send(a.id(), PeerService::kRaft, "unheard");
  CHECK(a.handler.messages().empty());
  // Added again it is back.
  a.Know(b);
  CHECK(a.IsUp(b, 2));
  CHECK(b.IsUp(a, 2));
}

TEST_CASE("peer: a changed address is dialled anew, and ups and downs come in turn") {
  PeerBroker a(1), b(2), moved(2);
  a.Start();
  b.Start();
  moved.Start();
  // Neither dials: a hello of theirs would say where they are.
  for (PeerBroker* other : {&b, &moved})
    other->transport->AddPeer(a.options.self.id, a.options.self.server_id, "");
  a.Know(b);
  REQUIRE(a.IsUp(b));
  for (int i = 0; i < 20; ++i) {
    a.Know(i % 2 == 0 ? moved : b);
    REQUIRE(a.IsUp(moved, static_cast<size_t>(i) + 2));
  }
  CHECK(Eventually([&] { return a.events.Count("down b2") == 20; }));
  const auto in_turn = [&] {
    const auto events = a.events.all();
    for (size_t i = 0; i < events.size(); ++i)
      REQUIRE(events[i] == (i % 2 == 0 ? "up b2" : "down b2"));
    return events.size();
  };
  in_turn();
  a.Know(moved);
  REQUIRE(a.IsUp(moved, 22));
  CHECK(a.Call(moved, "x").get().ok());
  CHECK(b.handler.calls() == 0);
  CHECK(moved.handler.calls() == 1);
  // The ends of the lines before it come late, and say nothing of the one that stands.
  CHECK(Eventually([&] { return b.Counter("peer_connections") == 0; }));
  CHECK(in_turn() == 43);
}

TEST_CASE("peer: a peer that comes back at another address is dialled there once it says so") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  const std::string before = b.transport->address();
  b.transport.reset();
  PeerBroker occupied(3);  // somebody else has its old port now
  occupied.options.listen = before;
  occupied.Start();
  b.options.listen = "127.0.0.1:0";
  b.Start();
  CHECK(b.transport->address() != before);
  b.Know(a);
  REQUIRE(a.IsUp(b, 2));
  CHECK(a.Call(b, "found").get().value() == "answer to found");
}

TEST_CASE("peer: an end in the middle of everything answers all, and calls nobody afterwards") {
  for (int round = 0; round < 10; ++round) {
    PeerBroker a(1), b(2);
    a.Start();
    b.Start();
    Introduce(a, b);
    HeldAnswers held;
    b.handler.OnCall(held.Taker());
    std::vector<std::future<absl::StatusOr<std::string>>> calls;
    for (int i = 0; i < 200; ++i) {
      calls.push_back(a.Call(b, "x"));
      a.transport->Send(b.id(), PeerService::kRaft, "m");
      if (i % 20 == 0) calls.push_back(a.SendBulk(b, "h", std::string(limits::kMiB, 'b')));
    }
    if (round % 2 == 0) REQUIRE(held.Holds(1));
    a.transport->Stop();
    for (auto& call : calls) {
      REQUIRE(call.wait_for(seconds(0)) == std::future_status::ready);
      const auto result = call.get();
      CHECK((result.ok() || absl::IsUnknown(result.status()) ||
             absl::IsUnavailable(result.status())));
    }
    CHECK(a.events.Count("down b2") == 0);
    const size_t heard = a.handler.messages().size();
    b.transport->Send(a.id(), PeerService::kRaft, "late");
    for (auto& respond : held.Take()) respond("late");
    b.transport->Stop();
    for (auto& respond : held.Take()) respond("later still");
    CHECK(a.handler.messages().size() == heard);
  }
}

TEST_CASE("peer: introductions are answered between brokers that do not know each other") {
  PeerBroker a(1), b(2);
  a.options.cluster_id = "another";
  a.Start();
  b.Start();
  const std::string to = b.transport->address();
  CHECK(a.Introduce(to, "let me in").value() == "welcome b1: let me in");
  CHECK(a.Introduce(to, "refuse me").status() == absl::AlreadyExistsError("you are here already"));
  CHECK(absl::IsUnknown(a.Introduce(to, "forget me").status()));
  CHECK(b.events.Count("introduction of b1") == 3);
  CHECK(absl::IsInvalidArgument(
      a.Introduce(to, std::string(limits::kPeerIntroductionBytes + 1, 'x')).status()));
  b.transport->Stop();
  const absl::Status gone = a.Introduce(to, "anyone?").status();
  CHECK_MESSAGE(absl::IsUnavailable(gone), gone.ToString());
  CHECK(absl::IsUnavailable(a.Introduce("no.such.host.invalid:1", "anyone?").status()));
}

TEST_CASE("peer: places for introductions are limited, and given back") {
  PeerBroker a(1), b(2), c(3);
  a.Start();
  b.Start();
  c.Start();
  const std::string to = b.transport->address();
  for (size_t round = 1; round <= 2; ++round) {
    std::atomic<size_t> released{0};
    for (size_t i = 0; i < limits::kPeerIntroductions; ++i) {
      a.transport->Introduce(to, "hold me", seconds(60), [&](const auto& result) {
        released += result.ok() && *result == "released" ? 1 : 0;
      });
    }
    REQUIRE(Eventually([&] {
      return b.events.Count("introduction of b1") == round * limits::kPeerIntroductions;
    }));
    const absl::Status one_more = a.Introduce(to, "one more").status();
    CHECK_MESSAGE(absl::IsUnavailable(one_more), one_more.ToString());
    const absl::Status full = c.Introduce(to, "and another's").status();
    CHECK_MESSAGE(absl::IsResourceExhausted(full), full.ToString());
    CHECK(b.Counter("peer_refused_too_many") == round);
    b.events.Release();
    CHECK(Eventually([&] { return released == limits::kPeerIntroductions; }));
  }
  CHECK(a.Introduce(to, "again").ok());
  CHECK(Eventually([&] { return c.Introduce(to, "again").ok(); }));
}

TEST_CASE("peer: one that was found elsewhere is dialled there until another address is named") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  b.transport->AddPeer(a.id(), "b1", "");  // listened to, and not dialled
  const std::string nowhere = "127.0.0.1:1";
  a.transport->AddPeer(b.id(), "b2", nowhere);
  a.transport->Redirect(b.id(), b.transport->address());
  REQUIRE(a.IsUp(b));
  // What the log says again, because something else in it changed, means nothing new.
  a.transport->AddPeer(b.id(), "b2", nowhere);
  a.transport->Redirect(b.id(), b.transport->address());
  a.transport->Redirect(PeerId(9), "127.0.0.1:2");
  CHECK(a.Call(b, "still there").get().ok());
  CHECK(a.events.Count("down b2") == 0);
  a.transport->AddPeer(b.id(), "b2", "127.0.0.1:2");
  CHECK(Eventually([&] { return a.events.Count("down b2") == 1; }));
  a.transport->AddPeer(b.id(), "b2", b.transport->address());
  CHECK(a.IsUp(b, 2));
}

TEST_CASE("peer: a message to a peer that is not connected yet goes out when it is") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  b.transport->AddPeer(a.id(), "b1", "");  // listened to, and not dialled
  a.Know(b);
  a.transport->Send(b.id(), PeerService::kRaft, "early");
  CHECK(Eventually([&] { return b.handler.messages().size() == 1; }));
  CHECK(b.events.Count("up b1") == 0);
}

}  // namespace
}  // namespace bascule::peer
