// Input that nobody should send: nothing of it is lost, nothing of it stops the broker or a reader.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "core/base/crc32c.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using Strings = std::vector<std::string>;

std::string RandomBytes(std::mt19937& random, size_t length) {
  std::string bytes(length, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

// What a reader gets of a payload, from the envelope's definition and libprotobuf alone.
std::string ExpectedValue(const std::string& payload) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(payload[i]); };
  if (payload.size() < 8 || payload.substr(0, 5) != std::string("\xb9\x0e\x43\xb4\0", 5))
    return payload;
  const size_t header = byte(5);
  if (header < 8 || header > payload.size() || byte(7) != 0) return payload;
  const std::string body = payload.substr(header);
  if ((byte(6) & 1) != 0) {
    if (header != 12) return payload;
    const uint32_t crc = static_cast<uint32_t>(byte(8)) << 24 |
                         static_cast<uint32_t>(byte(9)) << 16 |
                         static_cast<uint32_t>(byte(10)) << 8 | byte(11);
    if (Crc32c(body) != crc) return payload;
  }
  proto::Message message;
  return message.ParseFromString(body) ? message.value() : payload;
}

Strings MalformedPayloads() {
  std::mt19937 random(20240607);  // NOLINT: repeatable on purpose
  Strings payloads;
  for (size_t length = 0; length < 300; ++length) payloads.push_back(RandomBytes(random, length));
  const std::string magic("\xb9\x0e\x43\xb4", 4);
  for (size_t length = 0; length < 40; ++length)
    payloads.push_back((magic + RandomBytes(random, 40)).substr(0, length));
  for (int header = 0; header < 256; ++header) {
    for (const char flags : {'\0', '\1'}) {
      for (const size_t rest : {size_t{0}, size_t{4}, size_t{60}, size_t{300}}) {
        payloads.push_back(magic + '\0' + static_cast<char>(header) + flags + '\0' +
                           RandomBytes(random, rest));
      }
    }
  }
  proto::Message message;
  message.set_value("inside an envelope");
  message.set_correlationid("c");
  message.set_offset(-1);
  (*message.mutable_headers())["h"] = "v";
  const std::string whole = magic + std::string("\0\x08\0\0", 4) + message.SerializeAsString();
  for (size_t length = 8; length <= whole.size(); ++length)
    payloads.push_back(whole.substr(0, length));
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      payloads.push_back(whole);
      payloads.back()[i] = static_cast<char>(payloads.back()[i] ^ 1 << bit);
    }
  }
  return payloads;
}

TEST_CASE("random bytes and envelopes of every length are stored, none is lost") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("any", "bad.any");
  BusClient bus(nats->url());
  const Strings payloads = MalformedPayloads();
  for (const std::string& payload : payloads) bus.Publish("bad.any", payload);
  bus.Publish("bad.any", "the last one");
  bus.Flush();
  BROKER_REQUIRE(broker, Eventually([&] {
                   return broker.Describe("any").partitions(0).high_watermark() ==
                          static_cast<int64_t>(payloads.size());
                 }));
  const Strings values = Values(broker.ReadAll("any"));
  REQUIRE(values.size() == payloads.size() + 1);
  for (size_t i = 0; i < payloads.size(); ++i) {
    CAPTURE(i);
    CAPTURE(payloads[i].size());
    const bool kept = values[i] == ExpectedValue(payloads[i]);
    CHECK_MESSAGE(kept, "payload ", i, " of ", payloads[i].size(), " bytes became ",
                  values[i].size(), " bytes");
  }
  CHECK(broker.Info().counters().at("nats_malformed_envelopes") > 100);
  BROKER_CHECK(broker, broker.Running());
}

// A connection that writes what it is told.
class RawSocket {
 public:
  explicit RawSocket(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{2, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
  }
  ~RawSocket() { close(fd_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;
  void Write(const std::string& bytes) {
    (void)!send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Reads until `end` has come or the peer is done.
  std::string ReadUntil(const std::string& end) {
    std::string got;
    char buffer[4096];
    while (!Has(got, end)) {
      const ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      got.append(buffer, static_cast<size_t>(n));
    }
    return got;
  }

 private:
  int fd_;
};

TEST_CASE("strings that are not UTF-8 are escaped: a client's subscription reads on") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("text", "utf.>");
  RawSocket bus(nats->url());
  bus.ReadUntil("\r\n");
  bus.Write("CONNECT {\"verbose\":false,\"headers\":true,\"protocol\":1}\r\n");
  bus.Write("PUB utf.\xff\xfe 4\r\nsubj\r\n");
  bus.Write("PUB utf.b reply.\xc3\x28 5\r\nreply\r\n");
  const std::string headers = "NATS/1.0\r\nna\xffme: va\xfelue\r\n\r\n";
  bus.Write(absl::StrCat("HPUB utf.c ", headers.size(), " ", headers.size() + 4, "\r\n", headers,
                         "head\r\n"));
  // An envelope whose header name, correlation id and ack inbox are no text.
  const std::string body = std::string(
      "\x12\x03"
      "env"
      "\x4a\x06\x0a\x01\xff\x12\x01v"
      "\x52\x03in\xff"
      "\x5a\x02\xff\xff",
      5 + 8 + 5 + 4);
  const std::string envelope = std::string("\xb9\x0e\x43\xb4\0\x08\0\0", 8) + body;
  bus.Write(absl::StrCat("PUB utf.d ", envelope.size(), "\r\n", envelope, "\r\n"));
  bus.Write("PUB utf.e 4\r\nlast\r\nPING\r\n");
  bus.ReadUntil("PONG");
  BROKER_REQUIRE(broker, Eventually([&] {
                   return broker.Describe("text").partitions(0).high_watermark() == 4;
                 }));
  const auto messages = broker.ReadAll("text");  // libprotobuf refuses what is not UTF-8
  REQUIRE(messages.size() == 5);
  CHECK(messages[0].subject() == "utf.%FF%FE");
  CHECK(messages[0].headers().at("subject") == "utf.%FF%FE");
  CHECK(messages[1].replysubject() == "reply.%C3(");
  CHECK(messages[1].headers().at("reply") == "reply.%C3(");
  CHECK(messages[2].headers().at("na%FFme") == "va\xfelue");
  CHECK(messages[2].value() == "head");
  CHECK((messages[3].value() == "env" || messages[3].value() == envelope));
  CHECK(messages[4].value() == "last");
  CHECK(broker.Info().counters().at("nats_strings_escaped") >= 3);
}

TEST_CASE("random bytes and frames on the gRPC port disturb nobody") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("kept", "bad.kept");
  Subscriber reader(broker, Request("kept", proto::NEW_ONLY, proto::STOP_ON_CANCEL));
  BROKER_REQUIRE(broker, reader.stands());
  std::mt19937 random(4711);  // NOLINT: repeatable on purpose
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (int i = 0; i < 60; ++i) {
    RawSocket socket(broker.address());
    if (i % 3 == 0) socket.Write(RandomBytes(random, 200));
    if (i % 3 != 0) socket.Write(preface + std::string("\0\0\0\x04\0\0\0\0\0", 9));
    for (int frame = 0; frame < 20 && i % 3 != 0; ++frame) {
      const auto length = static_cast<char>(random() % 100);
      std::string bytes{'\0',
                        '\0',
                        length,
                        static_cast<char>(random() % 11),
                        static_cast<char>(random()),
                        '\0',
                        '\0',
                        '\0',
                        static_cast<char>(i % 3 == 1 ? 0 : random() % 8)};
      socket.Write(bytes + RandomBytes(random, static_cast<size_t>(length)));
    }
  }
  {
    RawSocket half(broker.address());  // a message length that never comes
    half.Write(preface.substr(0, 11));
  }
  CHECK(broker.Publish("kept", "still here") == 0);
  const auto message = reader.Next();
  BROKER_REQUIRE(broker, message.has_value());
  CHECK(message->value() == "still here");
}

// Requests that are no protobuf, or whose strings are no text.
TEST_CASE("rubbish in the place of every request is refused, and the broker goes on") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("kept", "bad.kept");
  std::mt19937 random(99);  // NOLINT: repeatable on purpose
  const Strings methods = {"CreateStream",      "DeleteStream",     "PauseStream",
                           "SetStreamReadonly", "Subscribe",        "FetchMetadata",
                           "Publish",           "PublishAsync",     "SetCursor",
                           "FetchCursor",       "PublishToSubject", "FetchPartitionMetadata",
                           "JoinConsumerGroup", "NoSuchMethod"};
  for (const std::string& method : methods) {
    for (const size_t length : {size_t{1}, size_t{3}, size_t{17}, size_t{200}, size_t{5000}}) {
      CAPTURE(method);
      // A bytes field that promises more than there is: no parser may accept it.
      const std::string request = std::string("\x0a\xff\xff\xff\x07") + RandomBytes(random, length);
      const RawAnswer answer = CallRaw(broker.channel(), "/proto.API/" + method, request);
      const grpc::Status& status = answer.status;
      // A session answers what it cannot read with an error message, and goes on.
      const bool refused = method == "PublishAsync" ? answer.messages.size() == 1 : !status.ok();
      CHECK(refused);
      CHECK(status.error_code() != grpc::StatusCode::UNAVAILABLE);
      CHECK(status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED);
    }
  }
  CHECK(broker.Publish("kept", "still here") == 0);
  CHECK(broker.ReadAll("kept").size() == 1);
}

}  // namespace
}  // namespace bascule::main_job
