// What comes to the peer port and has no business there.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "core/base/crc32c.h"
#include "tests/unit/peer_raw_client.h"
#include "tests/unit/peer_world.h"

namespace bascule::peer {
namespace {

constexpr const char* kBulk = "/bascule.peer.v1.Peer/Bulk";

// Of node 1 to node 2 of cluster c1.
peer::Hello GoodHello() {
  peer::Hello hello;
  hello.cluster_id = "c1";
  hello.cluster_namespace = "ns";
  hello.from = {PeerId(1), "b1", "127.0.0.1:1", 7, 0};
  hello.to = PeerId(2);
  return hello;
}

// A broker b2 that knows b1 and does not dial it.
struct Target {
  Target() {
    b.Start();
    b.transport->AddPeer(PeerId(1), "b1", "");
    address = b.transport->address();
  }
  bool Works() {
    PeerBroker a(1);
    a.Start();
    a.Know(b);
    return a.IsUp(b) && a.Call(b, "still there?").get().ok();
  }
  PeerBroker b{2};
  std::string address;
};

TEST_CASE("peer refusal: each has its text, its code and its counter") {
  Target target;
  struct Case {
    const char* counter;
    grpc::StatusCode code;
    const char* text;
    std::function<void(peer::Hello&)> change;
  };
  const std::vector<Case> cases = {
      {"version", grpc::StatusCode::FAILED_PRECONDITION, "speaks version 0",
       [](peer::Hello& hello) { hello.protocol = 0; }},
      {"cluster", grpc::StatusCode::PERMISSION_DENIED, "of cluster 'c9'",
       [](peer::Hello& hello) { hello.cluster_id = "c9"; }},
      {"namespace", grpc::StatusCode::PERMISSION_DENIED, "of namespace 'other'",
       [](peer::Hello& hello) { hello.cluster_namespace = "other"; }},
      {"identity", grpc::StatusCode::PERMISSION_DENIED, "is a member by the server id 'b1'",
       [](peer::Hello& hello) { hello.from.server_id = "b7"; }},
      {"misdialled", grpc::StatusCode::FAILED_PRECONDITION, "wants to talk to node 5",
       [](peer::Hello& hello) { hello.to = PeerId(5); }},
      {"unknown_node", grpc::StatusCode::NOT_FOUND, "is not a member",
       [](peer::Hello& hello) { hello.from.id = PeerId(6); }},
  };
  for (const char* method : {"/bascule.peer.v1.Peer/Control", kBulk}) {
    for (const Case& c : cases) {
      CAPTURE(c.counter);
      const std::string counter = Concat("peer_refused_", c.counter);
      const uint64_t before = target.b.Counter(counter);
      peer::Hello hello = GoodHello();
      c.change(hello);
      RawStream stream(target.address,
                       {peer::EncodeFrame(hello),
                        peer::EncodeFrame(peer::Message{PeerService::kRaft, "unheard"})},
                       method);
      CHECK(stream.status().error_code() == c.code);
      CHECK_MESSAGE(stream.status().error_message().find(c.text) != std::string::npos,
                    stream.status().error_message());
      CHECK(stream.received().empty());
      CHECK(target.b.Counter(counter) == before + 1);
    }
  }
  CHECK(target.b.handler.messages().empty());
  CHECK(target.Works());
}

TEST_CASE("peer refusal: what is no frame, or has no place, ends the stream") {
  Target target;
  const std::string hello = peer::EncodeFrame(GoodHello());
  const auto refused = [&](std::vector<std::string> frames, const char* method) {
    RawStream stream(target.address, std::move(frames), method);
    CHECK_MESSAGE(!stream.status().ok(), "not refused");
    return stream.status().error_code();
  };
  const char* control = "/bascule.peer.v1.Peer/Control";
  using grpc::StatusCode;
  CHECK(refused({"garbage"}, control) == StatusCode::INVALID_ARGUMENT);
  CHECK(refused({""}, control) == StatusCode::INVALID_ARGUMENT);
  CHECK(refused({std::string(limits::kPeerHelloBytes + 1, '\0')}, control) ==
        StatusCode::INVALID_ARGUMENT);
  CHECK(refused({peer::EncodeFrame(peer::BulkAbort{})}, control) == StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, "garbage"}, control) == StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, hello}, control) == StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, peer::EncodeFrame(peer::BulkData{"x"})}, control) ==
        StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, peer::EncodeFrame(peer::Message{PeerService::kRaft, "x"})}, kBulk) ==
        StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, peer::EncodeFrame(peer::BulkData{"x"})}, kBulk) ==
        StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, peer::EncodeFrame(peer::BulkAbort{})}, kBulk) ==
        StatusCode::INVALID_ARGUMENT);
  const auto begin = [](uint64_t length, uint32_t crc) {
    return peer::EncodeFrame(peer::BulkBegin{1, PeerService::kRaft, seconds(1), "", length, crc});
  };
  CHECK(refused({hello, begin(2, 0), begin(2, 0)}, kBulk) == StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, begin(2, 0), peer::EncodeFrame(peer::BulkData{"xyz"})}, kBulk) ==
        StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, begin(2, 0), peer::EncodeFrame(peer::BulkData{""})}, kBulk) ==
        StatusCode::INVALID_ARGUMENT);
  CHECK(refused({hello, begin(2, Crc32c("xy") + 1), peer::EncodeFrame(peer::BulkData{"xy"})},
                kBulk) == StatusCode::DATA_LOSS);
  CHECK(target.b.handler.bodies().empty());
  // More than a frame may have is refused by its length, before it is in memory.
  CHECK(refused({hello, std::string(peer::kMaxFrameBytes + 1, 'x')}, control) ==
        StatusCode::RESOURCE_EXHAUSTED);
  CHECK(refused({}, "/bascule.peer.v1.Peer/Unheard") == StatusCode::UNIMPLEMENTED);
  CHECK(target.Works());
}

TEST_CASE("peer refusal: bytes that are no HTTP/2 at all") {
  Target target;
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100'000, '\xff'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string(1000, '\x7f')}) {
    const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(target.b.transport->BoundPort()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(socket_fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
    send(socket_fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    char answer[256];
    while (recv(socket_fd, answer, sizeof(answer), 0) > 0) {
    }
    close(socket_fd);
  }
  CHECK(target.Works());
}

TEST_CASE("peer refusal: the 65th handshake that waits, and those that wait too long") {
  SteppedTime time;
  PeerBroker b(2, {}, &time);
  b.Start();
  b.transport->AddPeer(PeerId(1), "b1", "");
  const std::string address = b.transport->address();
  const auto waiting = [&](uint64_t count) {
    return Eventually([&] { return b.Counter("peer_handshakes_waiting") == count; });
  };
  std::vector<std::unique_ptr<RawStream>> silent;
  for (size_t i = 0; i < limits::kPeerHandshakes; ++i)
    silent.push_back(std::make_unique<RawStream>(address, std::vector<std::string>()));
  REQUIRE(waiting(limits::kPeerHandshakes));
  {
    RawStream one_too_many(address, {peer::EncodeFrame(GoodHello())});
    CHECK(one_too_many.status().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK(b.Counter("peer_refused_too_many") == 1);
  }
  // A place that becomes free is used again.
  silent.pop_back();
  REQUIRE(waiting(limits::kPeerHandshakes - 1));
  RawStream admitted(address, {peer::EncodeFrame(GoodHello())});
  REQUIRE(Eventually([&] { return admitted.received().size() == 1; }));
  CHECK(b.Counter("peer_handshakes_waiting") == limits::kPeerHandshakes - 1);

  time.Advance(limits::kPeerHandshakeTimeout + std::chrono::milliseconds(1));
  for (const auto& stream : silent) {
    CHECK(stream->status().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
    CHECK(stream->status().error_message() == "no hello within 5 s");
  }
  REQUIRE(waiting(0));
  CHECK(b.Counter("peer_refused_timeout") == limits::kPeerHandshakes - 1);
  CHECK_FALSE(admitted.over());
}

TEST_CASE("peer refusal: of two connections of one broker the newer one counts") {
  Target target;
  const std::string hello = peer::EncodeFrame(GoodHello());
  RawStream first(target.address, {hello});
  REQUIRE(Eventually([&] { return first.received().size() == 1; }));
  RawStream second(target.address,
                   {hello, peer::EncodeFrame(peer::Message{PeerService::kRaft, "newer"})});
  CHECK(first.status().error_code() == grpc::StatusCode::ABORTED);
  CHECK(Eventually([&] { return target.b.handler.messages().size() == 1; }));
  CHECK_FALSE(second.over());
  CHECK(target.b.Counter("peer_refused_replaced") == 1);
}

TEST_CASE("peer refusal: a caller with too many calls, and one that reads no answers") {
  Target target;
  std::mutex mutex;
  std::vector<PeerHandler::Respond> held;
  target.b.handler.OnCall([&](const std::string&, Duration, PeerHandler::Respond respond) {
    const std::lock_guard lock(mutex);
    held.push_back(std::move(respond));
  });
  std::vector<std::string> frames = {peer::EncodeFrame(GoodHello())};
  for (size_t i = 1; i <= limits::kPeerCalls + 1; ++i)
    frames.push_back(peer::EncodeFrame(peer::Call{i, PeerService::kRaft, seconds(9), "x"}));
  RawStream stream(target.address, frames);
  REQUIRE(Eventually([&] { return stream.received().size() == 2; }));
  const auto answer = std::get<peer::Answer>(stream.received()[1]);
  CHECK(answer.id == limits::kPeerCalls + 1);
  CHECK(absl::IsResourceExhausted(answer.result.status()));
  CHECK(target.b.handler.calls() == static_cast<int>(limits::kPeerCalls));
  const std::lock_guard lock(mutex);
  held.clear();  // each is answered Unknown by that
  CHECK(Eventually([&] { return stream.received().size() == limits::kPeerCalls + 2; }));
}

// Established connections that others made to a port of this machine.
size_t ConnectionsTo(int port) {
  size_t count = 0;
  for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream lines(table);
    std::string slot, local, remote, state, rest;
    while (lines >> slot >> local >> remote >> state && std::getline(lines, rest)) {
      const size_t colon = local.rfind(':');
      if (colon == std::string::npos || state != "01") continue;
      count += std::stoi(local.substr(colon + 1), nullptr, 16) == port ? 1 : 0;
    }
  }
  return count;
}

TEST_CASE("peer: a body after one that was given up comes whole, and nothing of that one") {
  for (const size_t next : {0, 5, 20}) {  // less than what came of the other, and more
    CAPTURE(next);
    Target target;
    const std::string body(next, 'n');
    const auto begin = [](uint64_t id, const std::string& bytes) {
      return peer::EncodeFrame(peer::BulkBegin{id, PeerService::kRaft, seconds(9), "h",
                                               bytes.size(), ExtendCrc32c(Crc32c("h"), bytes)});
    };
    std::vector<std::string> frames = {peer::EncodeFrame(GoodHello()),
                                       begin(1, std::string(100, 'g')),
                                       peer::EncodeFrame(peer::BulkData{std::string(10, 'g')}),
                                       peer::EncodeFrame(peer::BulkAbort{}), begin(2, body)};
    if (next > 0) frames.push_back(peer::EncodeFrame(peer::BulkData{body}));
    RawStream stream(target.address, frames, kBulk);
    REQUIRE(Eventually([&] { return stream.received().size() == 2; }));
    const auto answer = std::get<peer::Answer>(stream.received()[1]);
    CHECK(answer.id == 2);
    CHECK(answer.result.ok());
    CHECK(target.b.handler.bodies() == std::vector<std::string>{body});
    CHECK_FALSE(stream.over());
  }
}

TEST_CASE("peer: bodies have a connection of their own, and only while there are some") {
  SteppedTime time;
  PeerBroker a(1, {}, &time), b(2);
  a.Start();
  b.Start();
  b.transport->AddPeer(a.id(), "b1", "");
  a.Know(b);
  REQUIRE(a.IsUp(b));
  CHECK(ConnectionsTo(b.transport->BoundPort()) == 1);
  CHECK(a.SendBulk(b, "h", "body").get().ok());
  CHECK(ConnectionsTo(b.transport->BoundPort()) == 2);
  time.Advance(limits::kPeerBulkIdle + std::chrono::milliseconds(1));
  CHECK(Eventually([&] { return ConnectionsTo(b.transport->BoundPort()) == 1; }));
  CHECK(a.SendBulk(b, "h", "another").get().ok());
  CHECK(ConnectionsTo(b.transport->BoundPort()) == 2);
  CHECK(a.events.Count("down b2") == 0);
}

}  // namespace
}  // namespace bascule::peer
