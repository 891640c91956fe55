// The bytes between brokers, and the checks and queues that need no network.
#include <doctest/doctest.h>

#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/peer/frame.h"
#include "replication/peer/handshake.h"
#include "replication/peer/outbox.h"
#include "replication/peer/refusals.h"
#include "tests/support/sim_clock.h"

namespace bascule::peer {
namespace {

using std::chrono::milliseconds;

Hello SomeHello() {
  Hello hello;
  hello.cluster_id = "c1";
  hello.cluster_namespace = "ns";
  hello.from = {PeerId(2), "b2", "b2:9293", 7, 3};
  hello.to = PeerId(1);
  return hello;
}

LocalNames Local() {
  LocalNames local;
  local.self = {PeerId(1), "b1", "b1:9293", 5, 3};
  local.cluster_id = "c1";
  local.cluster_namespace = "ns";
  return local;
}

TEST_CASE("peer frame: every kind is read back as it was written") {
  const std::vector<Frame> frames = {
      SomeHello(),
      Message{PeerService::kRaft, std::string("a\0b", 3)},
      Call{9, PeerService::kMetadata, milliseconds(250), "request"},
      Answer{9, std::string("result")},
      Answer{10, absl::NotFoundError("\xff nothing")},
      BulkBegin{11, PeerService::kRaft, milliseconds(1), "header", 77, 0xDEADBEEF},
      BulkData{std::string(limits::kPeerFrameBytes, 'x')},
      BulkAbort{},
  };
  for (const Frame& frame : frames) {
    const auto again = DecodeFrame(EncodeFrame(frame));
    REQUIRE_MESSAGE(again.ok(), again.status().ToString());
    CHECK(*again == frame);
    CHECK(EncodeFrame(frame).size() <= kMaxFrameBytes);
  }
  const Introduction introduction{SomeHello(), milliseconds(5), "let me in"};
  CHECK(DecodeIntroduction(EncodeIntroduction(introduction)).value() == introduction);
  CHECK(DecodeAnswer(EncodeAnswer({0, std::string("x")})).value() == Answer{0, std::string("x")});
}

TEST_CASE("peer frame: what is out of its bounds is refused") {
  const auto refused = [](const Frame& frame) {
    return absl::IsInvalidArgument(DecodeFrame(EncodeFrame(frame)).status());
  };
  CHECK(refused(Message{PeerService(0), "x"}));
  CHECK(refused(Message{PeerService::kRaft, std::string(limits::kPeerFrameBytes + 1, 'x')}));
  CHECK(refused(Call{0, PeerService::kRaft, {}, "x"}));
  CHECK(refused(Call{1, PeerService(0), {}, "x"}));
  CHECK(refused(Call{1, PeerService::kRaft, {}, std::string(limits::kPeerFrameBytes + 1, 'x')}));
  CHECK(refused(Answer{1, std::string(limits::kPeerFrameBytes + 1, 'x')}));
  CHECK(refused(BulkBegin{0, PeerService::kRaft, {}, "", 0, 0}));
  CHECK(refused(BulkBegin{1, PeerService(0), {}, "", 0, 0}));
  CHECK(refused(BulkBegin{1, PeerService::kRaft, {}, "", limits::kPeerBulkBytes + 1, 0}));
  CHECK(refused(BulkBegin{
      1, PeerService::kRaft, {}, std::string(limits::kPeerBulkHeaderBytes + 1, 'x'), 0, 0}));
  CHECK(refused(BulkData{std::string(limits::kPeerFrameBytes + 1, 'x')}));
  Hello long_name = SomeHello();
  long_name.from.address = std::string(limits::kPeerNameBytes + 1, 'x');
  CHECK(refused(long_name));
  for (const std::string_view bytes : {"", "\x01", "GET / HTTP/1.1", "\x12\x00", "\xff\xff\xff"})
    CHECK_FALSE(DecodeFrame(bytes).ok());
  CHECK_FALSE(DecodeHello(EncodeFrame(BulkAbort{})).ok());
  CHECK_FALSE(DecodeHello(EncodeFrame(Message{PeerService::kRaft, std::string(5000, 'x')})).ok());
  // A time that was up long ago is up, a code nobody knows is Unknown.
  const auto late = DecodeFrame(EncodeFrame(Call{1, PeerService::kRaft, Duration(-5), ""}));
  CHECK(std::get<Call>(*late).timeout == Duration(0));
  const auto odd =
      DecodeFrame(EncodeFrame(Answer{1, absl::Status(static_cast<absl::StatusCode>(99), "odd")}));
  CHECK(std::get<Answer>(*odd).result.status() == absl::UnknownError("odd"));
}

TEST_CASE("peer frame: another broker's words are printed harmlessly") {
  CHECK(Quoted("b2") == "'b2'");
  CHECK(Quoted("b2\n[error] all is lost\x1b[2J") == "'b2\\x0a[error] all is lost\\x1b[2J'");
  CHECK(Quoted(std::string(1000, 'x')).size() < 150);
}

void CheckRefused(const std::optional<Refused>& refused, Refusal reason, absl::StatusCode code,
                  const std::vector<std::string>& words) {
  REQUIRE(refused.has_value());
  CHECK(NameOf(refused->reason) == NameOf(reason));
  CHECK(refused->status.code() == code);
  for (const std::string& word : words) {
    CHECK_MESSAGE(refused->status.message().find(word) != absl::string_view::npos,
                  Concat(FromAbsl(refused->status.message()), " has no ", word));
  }
}

TEST_CASE("peer handshake: who may talk, and what the others are told") {
  const std::string b2 = "b2";
  const std::optional<std::string> certificate = b2;
  CHECK_FALSE(CheckHello(SomeHello(), Local(), certificate, &b2).has_value());
  CHECK_FALSE(CheckHello(SomeHello(), Local(), std::nullopt, &b2).has_value());

  Hello old = SomeHello();
  old.protocol = 0;
  CheckRefused(CheckHello(old, Local(), certificate, &b2), Refusal::kVersion,
               absl::StatusCode::kFailedPrecondition,
               {"speaks version 0", "'b1' version 1", "upgrade 'b2'"});
  old.protocol = 2;
  CheckRefused(CheckHello(old, Local(), certificate, &b2), Refusal::kVersion,
               absl::StatusCode::kFailedPrecondition, {"speaks version 2", "upgrade 'b1'"});
  CheckRefused(CheckHello(SomeHello(), Local(), "b3", &b2), Refusal::kIdentity,
               absl::StatusCode::kPermissionDenied, {"calls itself 'b2'", "that of 'b3'"});
  Hello nameless = SomeHello();
  nameless.from.server_id = "";
  CheckRefused(CheckHello(nameless, Local(), std::nullopt, &b2), Refusal::kMalformed,
               absl::StatusCode::kInvalidArgument, {"without a server id"});
  Hello foreign = SomeHello();
  foreign.cluster_namespace = "other";
  CheckRefused(CheckHello(foreign, Local(), certificate, &b2), Refusal::kNamespace,
               absl::StatusCode::kPermissionDenied, {"namespace 'other'", "'ns'"});
  CheckRefused(CheckIdentity(foreign, Local(), certificate), Refusal::kNamespace,
               absl::StatusCode::kPermissionDenied, {"clustering.namespace"});
  Hello cluster = SomeHello();
  cluster.cluster_id = "c2";
  CheckRefused(CheckHello(cluster, Local(), certificate, &b2), Refusal::kCluster,
               absl::StatusCode::kPermissionDenied, {"cluster 'c2'", "'c1'", "never merge"});
  CHECK_FALSE(CheckIdentity(cluster, Local(), certificate).has_value());
  LocalNames unjoined = Local();
  unjoined.cluster_id = cluster.cluster_id = "";
  CheckRefused(CheckHello(cluster, unjoined, certificate, &b2), Refusal::kCluster,
               absl::StatusCode::kUnavailable, {"no member of a cluster yet"});
  Hello misdialled = SomeHello();
  misdialled.to = PeerId(9);
  CheckRefused(CheckHello(misdialled, Local(), certificate, &b2), Refusal::kMisdialled,
               absl::StatusCode::kFailedPrecondition, {"node 9", "'b1', node 1"});
  CheckRefused(CheckHello(SomeHello(), Local(), certificate, nullptr), Refusal::kUnknownNode,
               absl::StatusCode::kNotFound, {"'b2', node 2", "not a member"});
  const std::string other = "b4";
  CheckRefused(CheckHello(SomeHello(), Local(), certificate, &other), Refusal::kIdentity,
               absl::StatusCode::kPermissionDenied, {"'b4'", "not 'b2'"});
}

TEST_CASE("peer outbox: the oldest one-way messages give way, calls stay") {
  Outbox outbox(1000);
  const MonotonicTime now(0);
  CHECK(outbox.AddCall(1, PeerService::kRaft, std::string(300, 'c')));
  for (int i = 0; i < 10; ++i)
    outbox.AddMessage(PeerService::kRaft, std::string(200, '0' + i), now);
  CHECK(outbox.bytes() <= 1000);
  CHECK(outbox.dropped() >= 7);
  CHECK(outbox.AddCall(2, PeerService::kRaft, std::string(400, 'd')));
  CHECK_FALSE(outbox.AddCall(3, PeerService::kRaft, std::string(500, 'e')));
  const uint64_t dropped = outbox.dropped();
  outbox.AddMessage(PeerService::kRaft, std::string(400, 'm'), now);
  CHECK(outbox.dropped() == dropped + 1);  // there is no room beside the calls
  CHECK(outbox.Take(now)->call == 1);
  CHECK(outbox.Take(now)->call == 2);
  CHECK_FALSE(outbox.Take(now).has_value());
  CHECK(outbox.bytes() == 0);
}

TEST_CASE("peer outbox: what is left comes in order, without what was removed or is too old") {
  Outbox outbox;
  const MonotonicTime now(0);
  const MonotonicTime later = Add(now, limits::kPeerMessageAge);
  outbox.AddMessage(PeerService::kRaft, "old", now);
  outbox.AddCall(1, PeerService::kRaft, "first call");
  outbox.AddMessage(PeerService::kRaft, "message", later);
  outbox.AddCall(2, PeerService::kRaft, "removed");
  outbox.AddCall(3, PeerService::kRaft, "last call");
  outbox.RemoveCall(2);
  outbox.RemoveCall(99);
  const MonotonicTime end = Add(later, milliseconds(1));
  CHECK(outbox.Take(end)->body == "first call");
  CHECK(outbox.Take(end)->body == "message");
  CHECK(outbox.Take(end)->body == "last call");
  CHECK(outbox.empty());
  CHECK(outbox.dropped() == 1);
}

TEST_CASE("peer outbox: calls that were taken back leave no bytes, however many") {
  Outbox outbox(1000);
  for (uint64_t call = 1; call <= 20; ++call) {
    REQUIRE(outbox.AddCall(call, PeerService::kRaft, std::string(600, 'c')));
    CHECK(outbox.bytes() > 600);
    outbox.RemoveCall(call);
    CHECK(outbox.bytes() == 0);
  }
}

// Counts lines.
class CountingSink final : public LogSink {
 public:
  CountingSink() { SetLogSink(this); }
  ~CountingSink() override { SetLogSink(nullptr); }
  void Write(std::string line) override {
    ++lines;
    last = std::move(line);
  }
  bool Flush(milliseconds) override { return true; }
  Losses losses() const override { return {}; }
  int lines = 0;
  std::string last;
};

TEST_CASE("peer refusals: ten lines of a kind a minute, every minute, and all are counted") {
  SimClock clock;
  Refusals refusals(clock);
  CountingSink sink;
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    clock.Advance(std::chrono::seconds(61));
    sink.lines = 0;
    for (int i = 0; i < 25; ++i)
      refusals.Note({Refusal::kStranger, absl::UnauthenticatedError("who?")}, "peer");
    CHECK(sink.lines == 10);
    refusals.Note({Refusal::kTimeout, absl::DeadlineExceededError("late")}, "peer");
    CHECK(sink.lines == 11);  // each kind for itself
    clock.Advance(std::chrono::seconds(61));
    refusals.Note({Refusal::kStranger, absl::UnauthenticatedError("who?")}, "peer");
    CHECK(sink.last.find("(and 15 more of the kind before)") != std::string::npos);
  }
  CHECK(refusals.count(Refusal::kStranger) == 78);
}

}  // namespace
}  // namespace bascule::peer
