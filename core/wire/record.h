// A record as it is stored and sent: the protobuf encoding of the API's Message without what its
// partition fixes.
//
//   record = [1 offset varint] [4 timestamp varint] body
//   body   = [2 key] [3 value] [7 subject] [8 reply] [9 headers: {1 name, 2 value}]*
//            (own fields: numbers >= 1000)
//
// A body is encoded at ingest, once. The partition leader puts offset and timestamp before it; the
// same bytes go to disk, to replicas and to every subscriber. Offset 0 is written out (not left
// away as protobuf would), so that every record starts alike. The encoding is hand-written because
// it is the hot path; tests hold it to libprotobuf's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/types.h"
#include "core/wire/coding.h"

namespace bascule::wire {

// Field numbers of proto.Message.
enum MessageField : uint32_t {
  kMessageOffset = 1,
  kMessageKey = 2,
  kMessageValue = 3,
  kMessageTimestamp = 4,
  kMessageStream = 5,
  kMessagePartition = 6,
  kMessageSubject = 7,
  kMessageReply = 8,
  kMessageHeaders = 9,
  kMessageAckInbox = 10,
  kMessageCorrelationId = 11,
  kMessageAckPolicy = 12,
};
// Reserved header names: the server sets them on delivery, publishers cannot.
inline constexpr std::string_view kSubjectHeader = "subject";
inline constexpr std::string_view kReplyHeader = "reply";

using HeaderList = std::vector<std::pair<std::string_view, std::string_view>>;

// --- encoding: append one part of a body to `out`. Absent (not called) is null, an empty value is
// empty. ---
inline void AppendKey(std::string& out, std::string_view key) {
  AppendBytesField(out, kMessageKey, key);
}
inline void AppendValue(std::string& out, std::string_view value) {
  AppendBytesField(out, kMessageValue, value);
}
// Strings must be valid UTF-8 (callers escape before).
inline void AppendSubject(std::string& out, std::string_view subject) {
  AppendBytesField(out, kMessageSubject, subject);
}
inline void AppendReply(std::string& out, std::string_view reply) {
  AppendBytesField(out, kMessageReply, reply);
}
void AppendHeader(std::string& out, std::string_view name, std::string_view value);

// Size of "offset, timestamp" for these values (at most kMaxRecordPrefixBytes), and the writing of
// it; returns the byte after the last.
inline constexpr size_t kMaxRecordPrefixBytes = 2 * (1 + kMaxVarintBytes);
inline size_t RecordPrefixSize(Offset offset, Timestamp timestamp) {
  return 2 + VarintSize(static_cast<uint64_t>(offset.value())) +
         VarintSize(static_cast<uint64_t>(timestamp.value()));
}
inline char* PutRecordPrefix(char* out, Offset offset, Timestamp timestamp) {
  *out++ = static_cast<char>(Tag(kMessageOffset, kVarint));
  out = PutVarint(out, static_cast<uint64_t>(offset.value()));
  *out++ = static_cast<char>(Tag(kMessageTimestamp, kVarint));
  return PutVarint(out, static_cast<uint64_t>(timestamp.value()));
}

// --- decoding ---
// What is at the front of every record. False when the bytes are not a record. The body is not
// looked at.
inline bool ParseRecordPrefix(std::string_view record, Offset& offset, Timestamp& timestamp,
                              std::string_view& body) {
  uint64_t number;
  if (record.empty() || record.front() != static_cast<char>(Tag(kMessageOffset, kVarint))) {
    return false;
  }
  record.remove_prefix(1);
  if (!TakeVarint(record, number)) return false;
  offset = Offset(static_cast<int64_t>(number));
  if (record.empty() || record.front() != static_cast<char>(Tag(kMessageTimestamp, kVarint))) {
    return false;
  }
  record.remove_prefix(1);
  if (!TakeVarint(record, number)) return false;
  timestamp = Timestamp(static_cast<int64_t>(number));
  body = record;
  return true;
}

// A whole record, as views into it. Unknown fields are skipped; of a field given twice the last one
// counts; a header given twice is listed twice.
struct RecordView {
  Offset offset;
  Timestamp timestamp;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::optional<std::string_view> subject;
  std::optional<std::string_view> reply;
  HeaderList headers;
};
// Both are false where libprotobuf would refuse the bytes as a proto.Message. Whatever `view` held
// before is gone; its header list is reused, so that a loop over records with one view allocates
// nothing.
bool ParseRecord(std::string_view record, RecordView& view);
// A body alone (it does not name offset and timestamp: they are 0).
bool ParseBody(std::string_view body, RecordView& view);

// --- the Publish envelope's payload: a proto.Message from a publisher ---
struct PublishView {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  HeaderList headers;  // a name given twice: the last value only, as a protobuf map
  std::string_view ack_inbox;
  std::string_view correlation_id;
  uint64_t ack_policy = 0;      // any number; negative ones as protobuf's varint has them
  int64_t expected_offset = 0;  // Message.offset
};
// False where libprotobuf would refuse to parse too (malformed, strings that are not UTF-8), and
// past limits::kMaxHeaders names. `view` is reset and reused as in ParseRecord.
bool ParsePublish(std::string_view message, PublishView& view);

}  // namespace bascule::wire
