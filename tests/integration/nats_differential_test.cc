// The same bytes of a server through our reading of them and through nats.c's, which stays the reference:
// recorded from a real nats-server and made from seeds, cut at every position.
#include <doctest/doctest.h>

#include <algorithm>

#include "nats_bridge/ingest_session.h"
#include "tests/integration/nats_world.h"
#include "tests/integration/scripted_server.h"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

constexpr int kSubscriptions = 3;

struct Delivered {
  std::string subject, reply, payload;
  std::vector<std::pair<std::string, std::string>> headers;  // by name
  bool operator==(const Delivered&) const = default;
};

// Per subscription: nats.c keeps no order between them.
using PerSubscription = std::vector<std::vector<Delivered>>;

class CollectingListener final : public SessionListener {
 public:
  void OnMessage(uint64_t sid, const BusMessage& message) override {
    REQUIRE(sid >= 1);
    REQUIRE(sid <= kSubscriptions);
    Delivered one{
        std::string(message.subject), std::string(message.reply), std::string(message.payload), {}};
    if (message.headers != nullptr) {
      for (const auto& [name, value] : *message.headers) one.headers.emplace_back(name, value);
    }
    std::stable_sort(one.headers.begin(), one.headers.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    delivered[sid - 1].push_back(std::move(one));
  }
  void OnInfo(const ServerInfo&) override {}
  void OnPong(uint64_t) override {}
  void OnServerError(std::string_view) override {}
  PerSubscription delivered = PerSubscription(kSubscriptions);
};

// What our session makes of `bytes`, which come in the pieces that end at `cuts`.
PerSubscription ByUs(const std::string& bytes, const std::vector<size_t>& cuts) {
  CollectingListener listener;
  IngestSession session({}, listener);
  REQUIRE(session.Take(kScriptedInfo).ok());
  REQUIRE(session.Take("PONG\r\n").ok());
  std::string pending;
  size_t at = 0;
  for (const size_t cut : cuts) {
    pending += bytes.substr(at, cut - at);
    at = cut;
    const auto taken = session.Take(pending);
    REQUIRE_MESSAGE(taken.ok(), taken.status().ToString());
    pending.erase(0, taken->bytes);
  }
  CHECK(pending.empty());
  return std::move(listener.delivered);
}

Delivered Own(natsMsg* msg) {
  const char* reply = natsMsg_GetReply(msg);
  Delivered one{natsMsg_GetSubject(msg),
                reply != nullptr ? reply : "",
                std::string(natsMsg_GetData(msg), static_cast<size_t>(natsMsg_GetDataLength(msg))),
                {}};
  const char** names = nullptr;
  int count = 0;
  if (natsMsgHeader_Keys(msg, &names, &count) == NATS_OK) {
    std::vector<std::string> sorted(names, names + count);
    free(names);
    std::sort(sorted.begin(), sorted.end());
    for (const std::string& name : sorted) {
      const char** values = nullptr;
      int values_count = 0;
      REQUIRE(natsMsgHeader_Values(msg, name.c_str(), &values, &values_count) == NATS_OK);
      for (int i = 0; i < values_count; ++i) one.headers.emplace_back(name, values[i]);
      free(values);
    }
  }
  natsMsg_Destroy(msg);
  return one;
}

// What nats.c makes of `bytes`, of which it is given the part behind `cut` when the rest has left.
class ByNatsC {
 public:
  explicit ByNatsC(std::string bytes)
      : bytes_(std::move(bytes)), server_([this](ScriptedPeer& peer, int) { Play(peer); }) {}
  PerSubscription Read(size_t cut) {
    cut_ = cut;
    PlainClient client(server_.url());
    std::vector<natsSubscription*> subscriptions(kSubscriptions);
    for (int i = 0; i < kSubscriptions; ++i)
      REQUIRE(natsConnection_SubscribeSync(&subscriptions[static_cast<size_t>(i)], client.get(),
                                           Concat("s", i).c_str()) == NATS_OK);
    client.Flush();  // the PONG comes behind all that is played
    PerSubscription out(kSubscriptions);
    for (size_t i = 0; i < kSubscriptions; ++i) {
      natsMsg* msg = nullptr;
      while (natsSubscription_NextMsg(&msg, subscriptions[i], 0) == NATS_OK)
        out[i].push_back(Own(msg));
      natsSubscription_Destroy(subscriptions[i]);
    }
    return out;
  }

 private:
  void Play(ScriptedPeer& peer) {
    peer.LetIn();
    for (int i = 0; i < kSubscriptions; ++i) peer.Await("SUB");
    peer.Await("PING");
    peer.Send(std::string_view(bytes_).substr(0, cut_));
    while (peer.Unsent() > 0 && !peer.stopping()) {
    }
    peer.Send(std::string_view(bytes_).substr(cut_));
    peer.Send("PONG\r\n");
    peer.Serve();
  }
  const std::string bytes_;
  std::atomic<size_t> cut_{0};
  ScriptedServer server_;  // last: it plays
};

size_t Count(const PerSubscription& delivered) {
  size_t count = 0;
  for (const auto& one : delivered) count += one.size();
  return count;
}

// Between messages: what a server says besides.
std::string Aside(SimRng& rng) {
  switch (rng.Below(5)) {
    case 0:
      return "PING\r\n";
    case 1:
      return "+OK\r\n";
    case 2:
      return "INFO {\"max_payload\":1048576,\"headers\":true}\r\n";
    default:
      return "";
  }
}

std::string Generated(SimRng& rng) {
  std::string out;
  const auto text = [&rng](size_t most) {
    std::string word;
    for (size_t n = rng.Below(most + 1); n > 0; --n) word += static_cast<char>('a' + rng.Below(26));
    return word;
  };
  for (uint64_t n = 1 + rng.Below(12); n > 0; --n) {
    out += Aside(rng);
    const uint64_t sid = 1 + rng.Below(kSubscriptions);
    std::string payload;
    for (size_t size = rng.Below(4) == 0 ? rng.Below(3000) : rng.Below(20); size > 0; --size)
      payload += "\r\n\0MSG ab"[rng.Below(9)];
    const std::string reply = rng.Below(2) == 0 ? "" : Concat("r", text(10), " ");
    std::string headers;
    if (rng.Below(2) == 0) {
      headers = "NATS/1.0\r\n";
      for (uint64_t k = 1 + rng.Below(4); k > 0; --k)
        headers += Concat("H", text(1), ": v", text(8), "\r\n");
      headers += "\r\n";
    }
    const std::string subject = Concat("s", sid - 1);
    if (headers.empty()) {
      out += Concat("MSG ", subject, " ", sid, " ", reply, payload.size(), "\r\n");
    } else {
      out += Concat("HMSG ", subject, " ", sid, " ", reply, headers.size(), " ",
                    headers.size() + payload.size(), "\r\n");
    }
    out += Concat(headers, payload, "\r\n");
  }
  return out;
}

// What a real server sends to a client that listens to everything that is published here.
std::string Recorded() {
  auto server = NatsServer::Start();
  REQUIRE(server.ok());
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const std::atomic<bool> stop{false};
  ScriptedPeer listening(fd, stop);  // it reads lines; the socket is its own
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>((*server)->port()));
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  listening.Send("CONNECT {\"verbose\":false,\"headers\":true,\"protocol\":1}\r\nPING\r\n");
  listening.Await("PONG");
  listening.Send("SUB s0 1\r\nSUB s1 2\r\nSUB s2 group 3\r\nSUB end 4\r\nPING\r\n");
  listening.Await("PONG");
  PlainClient client((*server)->url());
  const std::string payloads[] = {"", "plain", std::string("\0\r\nMSG s0 1 2\r\nab\r\n", 19),
                                  std::string(2000, 'x')};
  int i = 0;
  for (const std::string& payload : payloads) {
    for (const bool with_headers : {false, true}) {
      for (const char* reply : {"", "reply.to"}) {
        natsMsg* msg = nullptr;
        REQUIRE(natsMsg_Create(&msg, Concat("s", i++ % kSubscriptions).c_str(),
                               *reply == '\0' ? nullptr : reply, payload.data(),
                               static_cast<int>(payload.size())) == NATS_OK);
        if (with_headers) {
          natsMsgHeader_Add(msg, "Name", "value");
          natsMsgHeader_Add(msg, "Name", "another: value");
          natsMsgHeader_Set(msg, "Other", "x");
        }
        REQUIRE(natsConnection_PublishMsg(client.get(), msg) == NATS_OK);
        natsMsg_Destroy(msg);
      }
    }
  }
  client.Publish("end", "");
  client.Flush();
  return listening.Until("MSG end 4 0\r\n\r\n");
}

TEST_CASE("nats differential: what a real server sent, cut at every byte, is what nats.c reads") {
  const std::string bytes = Recorded();
  ByNatsC reference(bytes);
  const PerSubscription whole = reference.Read(bytes.size());
  CHECK(Count(whole) == 16);
  std::vector<size_t> every;
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    every.push_back(cut);
    CHECK_UNARY(ByUs(bytes, {cut, bytes.size()}) == whole);
    // The bodies of the large messages are all alike.
    if (cut < 1500 || cut % 97 == 0) CHECK_UNARY(reference.Read(cut) == whole);
  }
  CHECK_UNARY(ByUs(bytes, every) == whole);
}

TEST_CASE("nats differential: what is made from seeds, cut anywhere, is what nats.c reads") {
  size_t messages = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    SimRng rng(seed);
    const std::string bytes = Generated(rng);
    ByNatsC reference(bytes);
    const PerSubscription whole = reference.Read(bytes.size());
    messages += Count(whole);
    for (size_t cut = 0; cut <= bytes.size(); ++cut)
      CHECK_UNARY(ByUs(bytes, {cut, bytes.size()}) == whole);
    for (int i = 0; i < 10; ++i) CHECK_UNARY(reference.Read(rng.Below(bytes.size() + 1)) == whole);
    std::vector<size_t> cuts = {bytes.size()};
    for (int i = 0; i < 20; ++i) cuts.push_back(rng.Below(bytes.size() + 1));
    std::sort(cuts.begin(), cuts.end());
    CHECK_UNARY(ByUs(bytes, cuts) == whole);
  }
  CHECK(messages > 100);
}

}  // namespace
}  // namespace bascule::nats
