// Messages from publishers and records from disk, as any bytes: the decoders never crash, what they
// take comes back the same after encoding, and libprotobuf, where the build links it here, takes
// and refuses the same with the same values (the unit tests always compare).
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/wire/ack.h"
#include "core/wire/record.h"

#if __has_include("api.pb.h")
#include <google/protobuf/stubs/logging.h>

#include "api.pb.h"
#define BASCULE_FUZZ_ORACLE
#endif

namespace bascule::wire {
namespace {

std::map<std::string_view, std::string_view> LastOfEach(const HeaderList& list) {
  std::map<std::string_view, std::string_view> headers;
  for (const auto& [name, value] : list) headers[name] = value;
  return headers;
}

bool Same(const RecordView& a, const RecordView& b) {
  return a.offset == b.offset && a.timestamp == b.timestamp && a.key == b.key &&
         a.value == b.value && a.subject == b.subject && a.reply == b.reply &&
         a.headers == b.headers;
}

bool Same(const PublishView& a, const PublishView& b) {
  return a.key == b.key && a.value == b.value && a.headers == b.headers &&
         a.ack_inbox == b.ack_inbox && a.correlation_id == b.correlation_id &&
         a.ack_policy == b.ack_policy && a.expected_offset == b.expected_offset;
}

std::string Encode(const RecordView& view) {
  char prefix[kMaxRecordPrefixBytes];
  const char* end = PutRecordPrefix(prefix, view.offset, view.timestamp);
  std::string out(prefix, static_cast<size_t>(end - prefix));
  BASCULE_CHECK_EQ(out.size(), RecordPrefixSize(view.offset, view.timestamp));
  if (view.key) AppendKey(out, *view.key);
  if (view.value) AppendValue(out, *view.value);
  if (view.subject) AppendSubject(out, *view.subject);
  if (view.reply) AppendReply(out, *view.reply);
  for (const auto& [name, value] : view.headers) AppendHeader(out, name, value);
  return out;
}

std::string Encode(const PublishView& view) {
  std::string out;
  AppendVarintField(out, kMessageOffset, static_cast<uint64_t>(view.expected_offset));
  if (view.key) AppendKey(out, *view.key);
  if (view.value) AppendValue(out, *view.value);
  for (const auto& [name, value] : view.headers) AppendHeader(out, name, value);
  AppendBytesField(out, kMessageAckInbox, view.ack_inbox);
  AppendBytesField(out, kMessageCorrelationId, view.correlation_id);
  AppendVarintField(out, kMessageAckPolicy, view.ack_policy);
  return out;
}

void CheckPublish(std::string_view in) {
  PublishView view, again;
  if (!ParsePublish(in, view)) return;
  BASCULE_CHECK_EQ(LastOfEach(view.headers).size(), view.headers.size());
  const std::string encoded = Encode(view);
  BASCULE_CHECK(ParsePublish(encoded, again));
  BASCULE_CHECK(Same(view, again));
}

void CheckRecord(std::string_view in) {
  RecordView view, again;
  const bool record = ParseRecord(in, view);
  const bool body = ParseBody(in, again);
  BASCULE_CHECK(body || !record);  // a record is also a message
  if (!body) return;
  if (record) BASCULE_CHECK(Same(view, again));
  const std::string encoded = Encode(again);
  BASCULE_CHECK(ParseRecord(encoded, view));
  BASCULE_CHECK(Same(view, again));
}

void CheckAck(std::string_view in) {
  AckView ack, again;
  if (!ParseAck(in, ack)) return;
  std::string encoded, twice;
  AppendAck(encoded, ack);
  BASCULE_CHECK(ParseAck(encoded, again));
  AppendAck(twice, again);
  BASCULE_CHECK(encoded == twice);
}

#ifdef BASCULE_FUZZ_ORACLE
std::map<std::string_view, std::string_view> HeadersOf(const proto::Message& message) {
  return {message.headers().begin(), message.headers().end()};
}

void CheckAgainstLibprotobuf(std::string_view in) {
  const google::protobuf::LogSilencer quiet;
  proto::Message theirs;
  RecordView record;
  PublishView publish;
  const bool taken = theirs.ParseFromArray(in.data(), static_cast<int>(in.size()));
  BASCULE_CHECK_EQ(ParseBody(in, record), taken);
  const bool published = ParsePublish(in, publish);
  BASCULE_CHECK(taken || !published);
  if (!taken) return;
  BASCULE_CHECK(record.key.value_or("") == theirs.key());
  BASCULE_CHECK(record.value.value_or("") == theirs.value());
  BASCULE_CHECK(record.subject.value_or("") == theirs.subject());
  BASCULE_CHECK(record.reply.value_or("") == theirs.replysubject());
  BASCULE_CHECK_EQ(record.offset.value(), theirs.offset());
  BASCULE_CHECK_EQ(record.timestamp.value(), theirs.timestamp());
  BASCULE_CHECK(LastOfEach(record.headers) == HeadersOf(theirs));
  if (!published) return;  // too many header names: the only difference there may be
  BASCULE_CHECK(publish.ack_inbox == theirs.ackinbox());
  BASCULE_CHECK(publish.correlation_id == theirs.correlationid());
  BASCULE_CHECK_EQ(static_cast<int32_t>(publish.ack_policy),
                   static_cast<int32_t>(theirs.ackpolicy()));
  BASCULE_CHECK(LastOfEach(publish.headers) == HeadersOf(theirs));
}
#else
void CheckAgainstLibprotobuf(std::string_view) {}
#endif

}  // namespace
}  // namespace bascule::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  bascule::wire::CheckPublish(in);
  bascule::wire::CheckRecord(in);
  bascule::wire::CheckAck(in);
  bascule::wire::CheckAgainstLibprotobuf(in);
  const std::string escaped = bascule::wire::EscapeInvalidUtf8(in);
  BASCULE_CHECK(bascule::wire::IsValidUtf8(escaped));
  BASCULE_CHECK_EQ(escaped == in, bascule::wire::IsValidUtf8(in));
  return 0;
}
