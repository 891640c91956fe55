// JetStream's answers: exact JSON, codes and texts, since clients compare them.
#include <doctest/doctest.h>

#include "core/wire/ack.h"
#include "nats_bridge/ack_writer.h"
#include "nats_bridge/envelope.h"
#include "nats_bridge/jetstream.h"

namespace bascule::nats {
namespace {

std::string Answer(const Ack& ack) {
  std::string out;
  AppendAckPayload(out, ack);
  return out;
}

Ack JetStreamAck(AckError error) {
  Ack ack;
  ack.format = AckFormat::kJetStream;
  ack.stream = "S";
  ack.offset = Offset(error == AckError::kOk ? 41 : 0);
  ack.last = Offset(41);
  ack.error = error;
  return ack;
}

TEST_CASE("nats jetstream: success names stream and sequence") {
  CHECK(Answer(JetStreamAck(AckError::kOk)) == R"({"stream":"S","seq":42})");
}

TEST_CASE("nats jetstream: refusals") {
  constexpr const char* kFront =
      R"({"type":"io.nats.jetstream.api.v1.pub_ack_response","error":{"code":)";
  constexpr const char* kBack = R"("},"stream":"S","seq":0})";
  for (const auto& [error, middle] : std::vector<std::pair<AckError, std::string>>{
           {AckError::kIncorrectOffset,
            R"(400,"err_code":10071,"description":"wrong last sequence: 42)"},
           {AckError::kTooLarge,
            R"(400,"err_code":10054,"description":"message size exceeds maximum allowed)"},
           {AckError::kWrongStream,
            R"(400,"err_code":10060,"description":"expected stream does not match)"},
           {AckError::kUnavailable,
            R"(503,"err_code":10077,"description":"stream cannot take messages now)"}}) {
    CHECK(Answer(JetStreamAck(error)) == kFront + middle + kBack);
  }
}

TEST_CASE("nats jetstream: the expected last sequence is a number from 0 on, and nothing else") {
  const auto read = [](std::string_view value, JetStreamExpectations& out) {
    const wire::HeaderList headers{{"Nats-Expected-Last-Sequence", value}};
    return ReadExpectations(&headers, out);
  };
  for (const std::string good : {"0", "1", "41", "007", "9223372036854775807"}) {
    CAPTURE(good);
    JetStreamExpectations out;
    CHECK_FALSE(read(good, out).has_value());
    CHECK(out.expected_offset == std::stoll(good));
  }
  for (const char* bad :
       {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "many"}) {
    CAPTURE(std::string(bad));
    JetStreamExpectations out;
    const auto error = read(bad, out);
    REQUIRE(error.has_value());
    CHECK(error->code == 400);
    CHECK(error->err_code == 10003);
  }
  JetStreamExpectations none;
  CHECK_FALSE(ReadExpectations(nullptr, none).has_value());
  CHECK(none.expected_offset == -1);
}

TEST_CASE("nats jetstream: names are JSON strings") {
  std::string out;
  AppendPubAck(out, "a\"b\\c\n", 1);
  CHECK(out == R"({"stream":"a\"b\\c\u000a","seq":1})");
}

TEST_CASE("nats acks: an envelope carries every field, JetStream's errors become unknown") {
  Ack ack;
  ack.inbox = "in.box";
  ack.correlation_id = "c";
  ack.stream = "s";
  ack.partition_subject = "p";
  ack.message_subject = "m";
  ack.offset = Offset(7);
  ack.policy = AckPolicy::kAll;
  ack.received = Timestamp(11);
  ack.committed = Timestamp(12);
  ack.key = {StreamId(13), PartitionId(14)};
  ack.stream_created = Timestamp(15);
  ack.epoch = LeaderEpoch(16);
  for (const auto& [error, number] :
       std::vector<std::pair<AckError, uint64_t>>{{AckError::kOk, 0},
                                                  {AckError::kTooLarge, 3},
                                                  {AckError::kEncryption, 4},
                                                  {AckError::kUnavailable, 1}}) {
    ack.error = error;
    const std::string bytes = Answer(ack);
    std::string_view payload;
    REQUIRE(OpenEnvelope(bytes, EnvelopeType::kAck, payload) == EnvelopeCheck::kOk);
    wire::AckView view;
    REQUIRE(wire::ParseAck(payload, view));
    CHECK(view.ack_error == number);
    CHECK(view.ack_inbox == "in.box");
    CHECK(view.correlation_id == "c");
    CHECK(view.stream == "s");
    CHECK(view.partition_subject == "p");
    CHECK(view.message_subject == "m");
    CHECK(view.offset == 7);
    CHECK(view.ack_policy == 1);
    CHECK(view.reception_timestamp == 11);
    CHECK(view.commit_timestamp == 12);
    CHECK(view.stream_id == 13);
    CHECK(view.partition == 14);
    CHECK(view.stream_created == 15);
    CHECK(view.leader_epoch == 16);
  }
}

TEST_CASE("nats subjects: what fits in a PUB line") {
  for (const auto* good : {"a", "a.b", "foo.*", "foo.>", "\xff.x", "$JS.ACK.1"})
    CHECK(IsPublishableSubject(good));
  for (const auto* bad : {"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\n", "a\x7f"}) {
    CHECK(!IsPublishableSubject(bad));
  }
  CHECK(!IsPublishableSubject(std::string_view("a\0b", 3)));
}

TEST_CASE("nats subjects: of any length, with anything anywhere, as byte by byte") {
  const auto publishable = [](std::string_view subject) {
    bool token = false;
    for (const char c : subject) {
      if (c == '.' ? !token : (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)) return false;
      token = c != '.';
    }
    return token;
  };
  size_t good = 0;
  for (size_t length = 0; length <= 20; ++length) {
    std::string plain(length, 'a');
    for (size_t at = 0; at < length; at += 3) plain[at] = static_cast<char>(0x80 + at);
    for (size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string subject = plain;
        subject[at] = static_cast<char>(byte);
        REQUIRE(IsPublishableSubject(subject) == publishable(subject));
        subject[(at + 1) % length] = '.';
        REQUIRE(IsPublishableSubject(subject) == publishable(subject));
        good += publishable(subject) ? 1 : 0;
      }
    }
  }
  CHECK(good > 10'000);
}

}  // namespace
}  // namespace bascule::nats
