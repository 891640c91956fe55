#include "core/api/message_composer.h"

#include <doctest/doctest.h>

#include "api.pb.h"
#include "core/wire/record.h"
#include "tests/unit/wire_samples.h"

namespace bascule::api {
namespace {

std::string Record(int64_t offset, int64_t timestamp, std::string_view body) {
  char prefix[32];
  char* end = wire::PutRecordPrefix(prefix, Offset(offset), Timestamp(timestamp));
  return std::string(prefix, end) + std::string(body);
}

std::string Compose(const MessageComposer& composer, const std::string& record) {
  const auto piece = composer.Inspect(record);
  REQUIRE(piece.has_value());
  std::string out(composer.MessageBytes(*piece), '\0');
  REQUIRE(composer.Put(out.data(), *piece) == out.data() + out.size());
  CHECK(out == composer.prefix() + record + composer.Suffix(*piece));
  return out;
}

proto::Message Parse(const std::string& bytes) {
  proto::Message message;
  REQUIRE(message.ParseFromString(bytes));
  return message;
}

TEST_CASE("a record with key and value becomes the message that libprotobuf would make") {
  const MessageComposer composer("orders", PartitionId(3), "orders.new.3");
  std::string body;
  wire::AppendKey(body, "k");
  wire::AppendValue(body, "v");
  wire::AppendHeader(body, "color", "blue");
  const proto::Message message = Parse(Compose(composer, Record(7, 99, body)));

  proto::Message wanted;
  wanted.set_offset(7);
  wanted.set_timestamp(99);
  wanted.set_key("k");
  wanted.set_value("v");
  wanted.set_stream("orders");
  wanted.set_partition(3);
  wanted.set_subject("orders.new.3");
  (*wanted.mutable_headers())["color"] = "blue";
  (*wanted.mutable_headers())["subject"] = "orders.new.3";
  (*wanted.mutable_headers())["reply"] = "";
  CHECK(message.SerializeAsString().size() == wanted.SerializeAsString().size());
  CHECK(message.DebugString() == wanted.DebugString());
}

TEST_CASE("a record's own subject and reply win, in the fields and in the headers") {
  const MessageComposer composer("s", PartitionId(0), "foo.*");
  std::string body;
  wire::AppendValue(body, "v");
  SUBCASE("subject alone") {
    wire::AppendSubject(body, "foo.bar");
    const proto::Message message = Parse(Compose(composer, Record(0, 1, body)));
    CHECK(message.subject() == "foo.bar");
    CHECK(message.replysubject().empty());
    CHECK(message.headers().at("subject") == "foo.bar");
    CHECK(message.headers().at("reply").empty());
  }
  SUBCASE("reply alone") {
    wire::AppendReply(body, "_INBOX.1");
    const proto::Message message = Parse(Compose(composer, Record(0, 1, body)));
    CHECK(message.subject() == "foo.*");
    CHECK(message.replysubject() == "_INBOX.1");
    CHECK(message.headers().at("subject") == "foo.*");
    CHECK(message.headers().at("reply") == "_INBOX.1");
  }
  SUBCASE("both, among user headers") {
    wire::AppendSubject(body, "foo.bar");
    wire::AppendReply(body, "_INBOX.1");
    wire::AppendHeader(body, "a", "1");
    const proto::Message message = Parse(Compose(composer, Record(0, 1, body)));
    CHECK(message.subject() == "foo.bar");
    CHECK(message.headers().at("subject") == "foo.bar");
    CHECK(message.headers().at("reply") == "_INBOX.1");
    CHECK(message.headers().at("a") == "1");
    CHECK(message.headers_size() == 3);
  }
}

TEST_CASE("random records equal libprotobuf's view of the same parts") {
  wire::Samples samples(20261123);
  for (int round = 0; round < 2000; ++round) {
    const std::string own = samples.OneIn(2) ? std::string("x.") + std::to_string(round) : "";
    const std::string reply = samples.OneIn(2) ? std::string("r.") + std::to_string(round) : "";
    const std::string value(samples.Below(300), 'v');
    proto::Message wanted;
    wanted.set_offset(round);
    wanted.set_timestamp(static_cast<int64_t>(samples.Number() >> 1));
    wanted.set_stream("stream");
    wanted.set_partition(round % 3);
    wanted.set_subject(own.empty() ? "base" : own);
    wanted.set_replysubject(reply);
    std::string body;
    if (samples.OneIn(2)) {
      wanted.set_key("key");
      wire::AppendKey(body, "key");
    }
    wanted.set_value(value);
    wire::AppendValue(body, value);
    if (!own.empty()) wire::AppendSubject(body, own);
    if (!reply.empty()) wire::AppendReply(body, reply);
    for (uint64_t n = samples.Below(3); n > 0; --n) {
      const std::string name = "h" + std::to_string(n);
      wire::AppendHeader(body, name, value);
      (*wanted.mutable_headers())[name] = value;
    }
    (*wanted.mutable_headers())["subject"] = own.empty() ? "base" : own;
    (*wanted.mutable_headers())["reply"] = reply;
    const MessageComposer composer("stream", PartitionId(round % 3), "base");
    const proto::Message got = Parse(Compose(composer, Record(round, wanted.timestamp(), body)));
    REQUIRE(got.DebugString() == wanted.DebugString());
  }
}

TEST_CASE("bytes that are not a record are refused") {
  const MessageComposer composer("s", PartitionId(0), "foo");
  CHECK_FALSE(composer.Inspect("").has_value());
  CHECK_FALSE(composer.Inspect("rubbish").has_value());
  std::string body;
  wire::AppendValue(body, "value");
  std::string record = Record(1, 2, body);
  record.pop_back();  // the value is cut short
  CHECK_FALSE(composer.Inspect(record).has_value());
}

}  // namespace
}  // namespace bascule::api
