// What is used up by calls and bodies comes back: places, memory, connections, the stream itself.
#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "replication/peer/bulk_line.h"
#include "tests/unit/peer_raw_client.h"
#include "tests/unit/peer_world.h"

namespace bascule::peer {
namespace {

using std::chrono::milliseconds;

constexpr size_t kSmallBody = 1000;

TEST_CASE("peer reuse: answered calls take no place, and their bytes no memory") {
  PeerBroker a(1), b(2);
  a.Start();
  b.Start();
  Introduce(a, b);
  b.handler.OnCall([](const std::string& request, Duration, PeerHandler::Respond respond) {
    respond(Concat(request.size()));
  });
  // More than may be open at once, and then more bytes.
  for (const auto& [calls, bytes, at_once] :
       {std::tuple<size_t, size_t, size_t>{2 * limits::kPeerCalls + 10, 1, 256},
        {limits::kPeerBulkBytes / limits::kPeerFrameBytes * 5 / 4, limits::kPeerFrameBytes, 4}}) {
    CAPTURE(bytes);
    const std::string body(bytes, 'x');
    for (size_t done = 0; done < calls; done += at_once) {
      std::vector<std::future<absl::StatusOr<std::string>>> answers;
      for (size_t i = 0; i < at_once; ++i) answers.push_back(a.Call(b, body));
      for (auto& answer : answers) {
        const auto result = answer.get();
        REQUIRE_MESSAGE(result.ok(), result.status());
        CHECK(*result == Concat(bytes));
      }
    }
  }
}

// A connection that is just ending may still take a body with it.
void Deliver(PeerBroker& a, PeerBroker& b, SteppedTime& time) {
  REQUIRE(Eventually([&] {
    auto sent = a.SendBulk(b, "h", "body");
    REQUIRE(Eventually([&] {
      time.Advance(milliseconds(1));
      return sent.wait_for(seconds(0)) == std::future_status::ready;
    }));
    return sent.get().ok();
  }));
}

TEST_CASE("peer reuse: the bulk connection hangs up each time nothing is to be sent") {
  SteppedTime time;
  PeerBroker a(1, {}, &time), b(2);
  a.Start();
  b.Start();
  b.transport->AddPeer(a.id(), "b1", "");
  a.Know(b);
  REQUIRE(a.IsUp(b));
  for (uint64_t round = 1; round <= 3; ++round) {
    CAPTURE(round);
    Deliver(a, b, time);
    CHECK(a.Counter("peer_connects") == 1 + round);
    // Half of the time, and it was used again: it counts from then on.
    time.Advance(limits::kPeerBulkIdle / 2 + milliseconds(1));
    Deliver(a, b, time);
    time.Advance(limits::kPeerBulkIdle / 2 + milliseconds(1));
    CHECK(a.Counter("peer_disconnects") == round - 1);
    time.Advance(limits::kPeerBulkIdle / 2 + milliseconds(1));
    CHECK(a.Reaches("peer_disconnects", round));
  }
  CHECK(a.events.Count("down b2") == 0);
}

peer::BulkBegin BeginOf(uint64_t id, const std::string& header, const std::string& body) {
  return {id,     PeerService::kRaft, seconds(9),
          header, body.size(),        ExtendCrc32c(Crc32c(header), body)};
}

TEST_CASE("peer reuse: what follows a body that was given up is not taken for its rest") {
  PeerBroker b(2);
  b.Start();
  b.transport->AddPeer(PeerId(1), "b1", "");
  peer::Hello hello;
  hello.cluster_id = "c1";
  hello.cluster_namespace = "ns";
  hello.from = {PeerId(1), "b1", "127.0.0.1:1", 7, 0};
  hello.to = PeerId(2);
  const std::string given_up(kSmallBody, 'g');
  const std::string next(kSmallBody, 'n');
  const std::vector<peer::Frame> frames = {
      hello,
      BeginOf(1, "h1", given_up),
      peer::BulkData{given_up.substr(0, kSmallBody / 2)},
      peer::BulkAbort{},
      BeginOf(2, "h2", next),
      peer::BulkData{next.substr(0, kSmallBody / 2)},
      peer::BulkData{next.substr(kSmallBody / 2)},
      BeginOf(3, "h3", given_up),  // given up before its first piece
      peer::BulkAbort{},
      BeginOf(4, "h4", ""),
  };
  std::vector<std::string> encoded;
  for (const peer::Frame& frame : frames) encoded.push_back(peer::EncodeFrame(frame));
  RawStream stream(b.transport->address(), encoded, "/bascule.peer.v1.Peer/Bulk");
  CHECK(Eventually([&] { return b.handler.bodies().size() == 2; }));
  CHECK(b.handler.headers() == std::vector<std::string>{"h2", "h4"});
  CHECK(b.handler.bodies() == std::vector<std::string>{next, ""});
  CHECK_FALSE(stream.over());
}

// A line that does not dial: its frames are taken by hand.
struct Line {
  Line() {
    line->Stop(absl::CancelledError("by hand"));
    line->Send({PeerService::kRaft, "first", Body('f')}, seconds(1), Note());
    line->Send({PeerService::kRaft, "second", Body('s')}, seconds(60), Note());
  }
  ~Line() {
    line->End(absl::UnavailableError("the end"));
    core->deadlines->Stop();
  }
  static std::shared_ptr<const std::string> Body(char fill) {
    return std::make_shared<const std::string>(2 * limits::kPeerFrameBytes, fill);
  }
  PeerTransport::Done Note() {
    return [this](const absl::StatusOr<std::string>& result) { ended.push_back(result.status()); };
  }
  peer::Frame Next() {
    const std::optional<grpc::ByteBuffer> bytes = line->NextFrame();
    REQUIRE(bytes.has_value());
    grpc::Slice held;
    auto frame = peer::DecodeFrame(peer::ViewOf(*bytes, held));
    REQUIRE(frame.ok());
    return *std::move(frame);
  }
  SteppedTime time;
  NotingEvents events;
  std::shared_ptr<peer::PeerCore> core =
      std::make_shared<peer::PeerCore>(peer::LocalNames{}, time, time, events);
  std::vector<absl::Status> ended;
  std::shared_ptr<peer::BulkLine> line =
      std::make_shared<peer::BulkLine>(core, peer::Destination{PeerId(2), "b2", "127.0.0.1:1"});
};

TEST_CASE("peer reuse: a deadline in the middle of a body aborts it, and the next one begins") {
  Line l;
  CHECK(std::get<peer::BulkBegin>(l.Next()).header == "first");
  CHECK(std::get<peer::BulkData>(l.Next()).data == l.Body('f')->substr(0, limits::kPeerFrameBytes));
  l.time.Advance(seconds(2));
  REQUIRE(l.ended.size() == 1);
  CHECK(absl::IsDeadlineExceeded(l.ended[0]));
  CHECK(std::holds_alternative<peer::BulkAbort>(l.Next()));
  const auto begin = std::get<peer::BulkBegin>(l.Next());
  CHECK(begin.header == "second");
  CHECK(begin.length == l.Body('s')->size());
  std::string body;
  for (int i = 0; i < 2; ++i) body += std::get<peer::BulkData>(l.Next()).data;
  CHECK(body == *l.Body('s'));
  CHECK_FALSE(l.line->NextFrame().has_value());
  CHECK(l.line->OnFrame(peer::Answer{begin.id, std::string("took it")}).ok());
  REQUIRE(l.ended.size() == 2);
  CHECK(l.ended[1].ok());
}

TEST_CASE("peer reuse: a deadline before a body begins leaves nothing of it on the stream") {
  Line l;
  l.time.Advance(seconds(2));
  CHECK(std::get<peer::BulkBegin>(l.Next()).header == "second");
  // What is over is Unavailable where the other side cannot have it.
  l.line->End(absl::UnavailableError("gone"));
  REQUIRE(l.ended.size() == 2);
  CHECK(absl::IsUnavailable(l.ended[1]));
}

}  // namespace
}  // namespace bascule::peer
