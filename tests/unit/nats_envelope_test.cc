// The envelope: what is accepted, what is refused, and that no length makes it look past the end.
#include <doctest/doctest.h>

#include <string>

#include "core/base/crc32c.h"
#include "core/wire/record.h"
#include "nats_bridge/envelope.h"
#include "nats_bridge/publish_envelope.h"

namespace bascule::nats {
namespace {

constexpr std::string_view kMagic("\xB9\x0E\x43\xB4", 4);

std::string Header(int length, int flags, int type, int version = 0) {
  std::string out(kMagic);
  for (const int byte : {version, length, flags, type}) out.push_back(static_cast<char>(byte));
  return out;
}

std::string BigEndian(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

EnvelopeCheck Check(const std::string& bytes) {
  std::string_view payload;
  return OpenEnvelope(bytes, EnvelopeType::kPublish, payload);
}

TEST_CASE("nats envelope: what is written is read back") {
  for (const auto type : {EnvelopeType::kPublish, EnvelopeType::kAck}) {
    std::string bytes;
    AppendEnvelopeHeader(bytes, type);
    CHECK(bytes.size() == kEnvelopeHeaderBytes);
    bytes += "payload";
    std::string_view payload;
    CHECK(OpenEnvelope(bytes, type, payload) == EnvelopeCheck::kOk);
    CHECK(payload == "payload");
    const auto other = type == EnvelopeType::kAck ? EnvelopeType::kPublish : EnvelopeType::kAck;
    CHECK(OpenEnvelope(bytes, other, payload) == EnvelopeCheck::kMalformed);
  }
}

TEST_CASE("nats envelope: the bytes on the wire are those of the contract") {
  std::string bytes;
  AppendEnvelopeHeader(bytes, EnvelopeType::kAck);
  CHECK(bytes == std::string("\xB9\x0E\x43\xB4\x00\x08\x00\x01", 8));
}

TEST_CASE("nats envelope: a checksum is honoured") {
  const std::string body = "some message";
  const std::string good = Header(12, 1, 0) + BigEndian(Crc32c(body)) + body;
  std::string_view payload;
  REQUIRE(OpenEnvelope(good, EnvelopeType::kPublish, payload) == EnvelopeCheck::kOk);
  CHECK(payload == body);
  for (size_t i = 8; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    CAPTURE(i);
    CHECK(Check(bad) == EnvelopeCheck::kMalformed);
  }
  // With a checksum the header is 12 bytes long and nothing else; unknown flags mean nothing.
  CHECK(Check(Header(8, 1, 0) + BigEndian(Crc32c(body)) + body) == EnvelopeCheck::kMalformed);
  CHECK(Check(Header(13, 1, 0) + BigEndian(Crc32c(body)) + body) == EnvelopeCheck::kMalformed);
  CHECK(Check(Header(8, 0xFE, 0) + body) == EnvelopeCheck::kOk);
}

TEST_CASE("nats envelope: every header length against every total length") {
  for (int header = 0; header < 256; ++header) {
    for (size_t total = 8; total <= 40; ++total) {
      const std::string bytes = Header(header, 0, 0) + std::string(total - 8, 'x');
      std::string_view payload;
      const auto got = OpenEnvelope(bytes, EnvelopeType::kPublish, payload);
      const bool fits = header >= 8 && static_cast<size_t>(header) <= total;
      CHECK(got == (fits ? EnvelopeCheck::kOk : EnvelopeCheck::kMalformed));
      if (fits) CHECK(payload.size() == total - static_cast<size_t>(header));
    }
  }
}

TEST_CASE("nats envelope: every truncation, and foreign bytes") {
  const std::string body = "body";
  const std::string whole = Header(12, 1, 0) + BigEndian(Crc32c(body)) + body;
  for (size_t n = 0; n < whole.size(); ++n) {
    const auto want = n < kMagic.size() ? EnvelopeCheck::kForeign : EnvelopeCheck::kMalformed;
    CAPTURE(n);
    CHECK(Check(whole.substr(0, n)) == want);
  }
  CHECK(Check("") == EnvelopeCheck::kForeign);
  CHECK(Check("hello, world") == EnvelopeCheck::kForeign);
  CHECK(Check(Header(8, 0, 0, 1)) == EnvelopeCheck::kMalformed);  // a version to come
  CHECK(Check(Header(8, 0, 14)) == EnvelopeCheck::kMalformed);    // an internal type
  CHECK(Check(Header(8, 0, 0)) == EnvelopeCheck::kOk);            // an empty message is one
}

TEST_CASE("nats envelope: a publish carries every field") {
  PublishMessage message;
  message.key = "k";
  message.value = "v";
  message.headers = {{"a", "1"}, {"b", std::string_view("\0\xff", 2)}};
  message.stream = "s";
  message.subject = "foo.1";
  message.ack_inbox = "in.box";
  message.correlation_id = "c";
  message.ack_policy = 1;
  message.expected_offset = -1;
  std::string bytes;
  AppendPublishEnvelope(bytes, message);
  std::string_view payload;
  REQUIRE(OpenEnvelope(bytes, EnvelopeType::kPublish, payload) == EnvelopeCheck::kOk);
  wire::PublishView view;
  REQUIRE(wire::ParsePublish(payload, view));
  CHECK(view.key == "k");
  CHECK(view.value == "v");
  REQUIRE(view.headers.size() == 2);
  CHECK(view.headers[1].second == std::string_view("\0\xff", 2));
  CHECK(view.ack_inbox == "in.box");
  CHECK(view.correlation_id == "c");
  CHECK(view.ack_policy == 1);
  CHECK(view.expected_offset == -1);
}

TEST_CASE("nats envelope: what is empty stays away") {
  std::string bytes;
  AppendPublishEnvelope(bytes, PublishMessage{});
  CHECK(bytes.size() == kEnvelopeHeaderBytes);
  bytes.clear();
  PublishMessage odd;
  odd.ack_policy = -1;  // a number no version knows travels on
  AppendPublishEnvelope(bytes, odd);
  std::string_view payload;
  REQUIRE(OpenEnvelope(bytes, EnvelopeType::kPublish, payload) == EnvelopeCheck::kOk);
  wire::PublishView view;
  REQUIRE(wire::ParsePublish(payload, view));
  CHECK(!view.key.has_value());
  CHECK(!view.value.has_value());
  CHECK(view.ack_policy > 2);
}

}  // namespace
}  // namespace bascule::nats
