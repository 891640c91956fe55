#include "core/wire/record.h"

#include <doctest/doctest.h>

#include <map>

#include "api.pb.h"
#include "core/base/limits.h"
#include "tests/unit/wire_samples.h"

namespace bascule::wire {
namespace {

using Headers = std::map<std::string, std::string>;

Headers LastOfEach(const HeaderList& list) {
  Headers headers;
  for (const auto& [name, value] : list) headers[std::string(name)] = value;
  return headers;
}

Headers HeadersOf(const proto::Message& message) {
  return Headers(message.headers().begin(), message.headers().end());
}

void CheckSamePublish(const std::string& bytes) {
  proto::Message theirs;
  PublishView ours;
  const bool taken = theirs.ParseFromString(bytes);
  REQUIRE(ParsePublish(bytes, ours) == taken);
  if (!taken) return;
  CHECK(ours.key.value_or("") == theirs.key());
  CHECK(ours.value.value_or("") == theirs.value());
  CHECK(ours.ack_inbox == theirs.ackinbox());
  CHECK(ours.correlation_id == theirs.correlationid());
  CHECK(ours.ack_policy == static_cast<uint64_t>(int64_t{theirs.ackpolicy()}));
  CHECK(ours.expected_offset == theirs.offset());
  CHECK(ours.headers.size() == static_cast<size_t>(theirs.headers().size()));
  CHECK(LastOfEach(ours.headers) == HeadersOf(theirs));
}

void CheckSameBody(const std::string& bytes) {
  proto::Message theirs;
  RecordView ours;
  const bool taken = theirs.ParseFromString(bytes);
  REQUIRE(ParseBody(bytes, ours) == taken);
  if (!taken) return;
  CHECK(ours.offset.value() == theirs.offset());
  CHECK(ours.timestamp.value() == theirs.timestamp());
  CHECK(ours.key.value_or("") == theirs.key());
  CHECK(ours.value.value_or("") == theirs.value());
  CHECK(ours.subject.value_or("") == theirs.subject());
  CHECK(ours.reply.value_or("") == theirs.replysubject());
  CHECK(LastOfEach(ours.headers) == HeadersOf(theirs));
}

std::string Prefix(Offset offset, Timestamp timestamp) {
  char bytes[kMaxRecordPrefixBytes];
  const char* end = PutRecordPrefix(bytes, offset, timestamp);
  return std::string(bytes, static_cast<size_t>(end - bytes));
}

TEST_CASE("the bytes of a record") {
  std::string body;
  AppendKey(body, "k");
  AppendValue(body, "");
  AppendSubject(body, "s.1");
  AppendReply(body, "r");
  AppendHeader(body, "n", "vv");
  const std::string record = Prefix(Offset(0), Timestamp(300)) + body;
  CHECK(record == std::string("\x08\x00\x20\xac\x02"          // offset 0, timestamp 300
                              "\x12\x01k\x1a\x00"             // key, value
                              "\x3a\x03s.1\x42\x01r"          // subject, reply
                              "\x4a\x07\x0a\x01n\x12\x02vv",  // header
                              27));
  CHECK(Prefix(Offset(-1), Timestamp(0)).size() == 13);  // a negative number takes ten bytes
}

TEST_CASE("a prefix comes back, and every truncation of it is refused") {
  Samples samples(2);
  for (int i = 0; i < 2000; ++i) {
    const Offset offset(static_cast<int64_t>(samples.Number()));
    const Timestamp timestamp(static_cast<int64_t>(samples.Number()));
    const std::string prefix = Prefix(offset, timestamp);
    CHECK(RecordPrefixSize(offset, timestamp) == prefix.size());
    const std::string record = prefix + "body";
    Offset got_offset;
    Timestamp got_timestamp;
    std::string_view body;
    REQUIRE(ParseRecordPrefix(record, got_offset, got_timestamp, body));
    CHECK(got_offset == offset);
    CHECK(got_timestamp == timestamp);
    CHECK(body == "body");
    for (size_t cut = 0; cut < prefix.size(); ++cut) {
      CHECK_FALSE(ParseRecordPrefix(record.substr(0, cut), got_offset, got_timestamp, body));
    }
  }
}

TEST_CASE("a record without its prefix is refused") {
  RecordView view;
  std::string body;
  AppendValue(body, "v");
  CHECK(ParseBody(body, view));
  CHECK_FALSE(ParseRecord(body, view));
  CHECK_FALSE(ParseRecord("", view));
  CHECK_FALSE(ParseRecord("\x20\x01\x08\x01" + body, view));  // the other way round
}

TEST_CASE("what we encode, libprotobuf reads; absent and empty differ for us") {
  Samples samples(3);
  for (int i = 0; i < 3000; ++i) {
    const std::string key = samples.Text(), value = samples.Text();
    const std::string subject = EscapeInvalidUtf8(samples.Text()),
                      reply = EscapeInvalidUtf8(samples.Text());
    const bool has_key = samples.OneIn(2), has_value = samples.OneIn(2),
               has_subject = samples.OneIn(2);
    Headers headers;
    for (uint64_t n = samples.Below(4); n > 0; --n)
      headers[EscapeInvalidUtf8(samples.Text())] = samples.Text();
    const Offset offset(static_cast<int64_t>(samples.Number() >> 1));
    const Timestamp timestamp(static_cast<int64_t>(samples.Number()));
    std::string record = Prefix(offset, timestamp);
    if (has_key) AppendKey(record, key);
    if (has_value) AppendValue(record, value);
    if (has_subject) AppendSubject(record, subject);
    AppendReply(record, reply);
    for (const auto& [name, text] : headers) AppendHeader(record, name, text);

    proto::Message theirs;
    REQUIRE(theirs.ParseFromString(record));
    CHECK(theirs.offset() == offset.value());
    CHECK(theirs.timestamp() == timestamp.value());
    CHECK(theirs.key() == (has_key ? key : ""));
    CHECK(theirs.value() == (has_value ? value : ""));
    CHECK(theirs.subject() == (has_subject ? subject : ""));
    CHECK(theirs.replysubject() == reply);
    CHECK(HeadersOf(theirs) == headers);

    RecordView ours;
    REQUIRE(ParseRecord(record, ours));
    CHECK(ours.offset == offset);
    CHECK(ours.timestamp == timestamp);
    CHECK(ours.key.has_value() == has_key);
    CHECK(ours.value.has_value() == has_value);
    CHECK(ours.subject.has_value() == has_subject);
    CHECK(ours.reply == reply);
    CHECK(ours.headers.size() == headers.size());
  }
}

TEST_CASE("a repeated header is listed as often as it stands in a record") {
  std::string body;
  AppendHeader(body, "n", "1");
  AppendHeader(body, "m", "2");
  AppendHeader(body, "n", "3");
  RecordView view;
  REQUIRE(ParseBody(body, view));
  CHECK(view.headers == HeaderList{{"n", "1"}, {"m", "2"}, {"n", "3"}});
  REQUIRE(ParseBody("", view));  // the view is used again
  CHECK(view.headers.empty());
}

TEST_CASE("publish: what libprotobuf encodes, we read") {
  Samples samples(4);
  for (int i = 0; i < 3000; ++i) {
    proto::Message message;
    message.set_key(samples.Text());
    message.set_value(samples.Text());
    message.set_offset(static_cast<int64_t>(samples.Number()));
    message.set_timestamp(static_cast<int64_t>(samples.Number()));
    message.set_stream(EscapeInvalidUtf8(samples.Text()));
    message.set_ackinbox(EscapeInvalidUtf8(samples.Text()));
    message.set_correlationid(EscapeInvalidUtf8(samples.Text()));
    message.set_ackpolicy(static_cast<proto::AckPolicy>(static_cast<int32_t>(samples.Number())));
    for (uint64_t n = samples.Below(4); n > 0; --n) {
      (*message.mutable_headers())[EscapeInvalidUtf8(samples.Text())] = samples.Text();
    }
    CheckSamePublish(message.SerializeAsString());
  }
}

TEST_CASE("publish and body: taken and refused as libprotobuf does, whatever the bytes") {
  const Quiet quiet;
  Samples samples(5);
  int taken = 0;
  constexpr int kRounds = 40'000;
  for (int i = 0; i < kRounds; ++i) {
    const std::string bytes = samples.Message(12);
    CAPTURE(i);
    CheckSamePublish(bytes);
    CheckSameBody(bytes);
    taken += proto::Message().ParseFromString(bytes);
  }
  CHECK(taken > kRounds / 4);  // both kinds are well represented
  CHECK(taken < kRounds * 3 / 4);
}

TEST_CASE("publish: every truncation and every flipped bit of a real message") {
  const Quiet quiet;
  std::string message;
  AppendVarintField(message, kMessageOffset, static_cast<uint64_t>(int64_t{-1}));
  AppendKey(message, "key");
  AppendValue(message, "value");
  AppendHeader(message, "na\xc3\xafve", "x");
  AppendBytesField(message, kMessageAckInbox, "_INBOX.abc");
  AppendBytesField(message, kMessageCorrelationId, "id");
  AppendVarintField(message, kMessageAckPolicy, 1);
  for (size_t cut = 0; cut <= message.size(); ++cut) CheckSamePublish(message.substr(0, cut));
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    std::string flipped = message;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CheckSamePublish(flipped);
    CheckSameBody(flipped);
  }
}

TEST_CASE("publish: groups nest one level less deep within a header") {
  const Quiet quiet;
  for (size_t depth : {1, 99, 100, 101}) {
    const std::string groups = std::string(depth, '\x7b') + std::string(depth, '\x7c');  // field 15
    std::string in_header;
    AppendBytesField(in_header, kMessageHeaders, groups);
    CheckSamePublish(groups);
    CheckSamePublish(in_header);
    PublishView view;
    CHECK(ParsePublish(groups, view) == (depth <= 100));
    CHECK(ParsePublish(in_header, view) == (depth <= 99));
  }
}

TEST_CASE("publish: as many header names as the limit, each as long as one likes") {
  const std::string long_name(40'000, 'n');
  std::string message;
  for (size_t i = 0; i < limits::kMaxHeaders; ++i) AppendHeader(message, std::to_string(i), "old");
  for (size_t i = 0; i < limits::kMaxHeaders; ++i) AppendHeader(message, std::to_string(i), "new");
  PublishView view;
  REQUIRE(ParsePublish(message, view));
  REQUIRE(view.headers.size() == limits::kMaxHeaders);
  for (size_t i = 0; i < limits::kMaxHeaders; ++i) {
    CHECK(view.headers[i].first == std::to_string(i));
    CHECK(view.headers[i].second == "new");
  }
  AppendHeader(message, "one more", "");
  CHECK_FALSE(ParsePublish(message, view));

  std::string other;
  AppendHeader(other, long_name, "v");
  REQUIRE(ParsePublish(other, view));  // the view is used again
  CHECK(view.headers == HeaderList{{long_name, "v"}});
}

TEST_CASE("publish: a message that is read into a used place keeps nothing of the one before") {
  proto::Message full;
  full.set_key("k");
  full.set_value("v");
  full.set_ackinbox("i");
  full.set_correlationid("c");
  full.set_offset(3);
  full.set_ackpolicy(proto::NONE);
  (*full.mutable_headers())["h"] = "x";
  PublishView view;
  const std::string bytes = full.SerializeAsString();
  REQUIRE(ParsePublish(bytes, view));
  CHECK(view.ack_inbox == "i");
  REQUIRE(ParsePublish("", view));
  CHECK_FALSE(view.key.has_value());
  CHECK_FALSE(view.value.has_value());
  CHECK(view.ack_inbox.empty());
  CHECK(view.correlation_id.empty());
  CHECK(view.expected_offset == 0);
  CHECK(view.ack_policy == 0);
  CHECK(view.headers.empty());
}

}  // namespace
}  // namespace bascule::wire
