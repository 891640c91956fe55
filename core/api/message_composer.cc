#include "core/api/message_composer.h"

#include <cstring>

#include "core/wire/coding.h"
#include "core/wire/record.h"

namespace bascule::api {
namespace {

constexpr uint32_t kEntryKey = 1;
constexpr uint32_t kEntryValue = 2;

size_t FieldBytes(uint32_t field, size_t length) {
  return wire::VarintSize(wire::Tag(field, wire::kLengthDelimited)) + wire::VarintSize(length) +
         length;
}

size_t EntryBytes(std::string_view name, std::string_view value) {
  return FieldBytes(kEntryKey, name.size()) + FieldBytes(kEntryValue, value.size());
}

size_t HeaderBytes(std::string_view name, std::string_view value) {
  return FieldBytes(wire::kMessageHeaders, EntryBytes(name, value));
}

char* PutBytes(char* out, uint32_t field, std::string_view bytes) {
  out = wire::PutVarint(out, wire::Tag(field, wire::kLengthDelimited));
  out = wire::PutVarint(out, bytes.size());
  std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

char* PutHeader(char* out, std::string_view name, std::string_view value) {
  out = wire::PutVarint(out, wire::Tag(wire::kMessageHeaders, wire::kLengthDelimited));
  out = wire::PutVarint(out, EntryBytes(name, value));
  out = PutBytes(out, kEntryKey, name);
  return PutBytes(out, kEntryValue, value);
}

void AppendHeader(std::string& out, std::string_view name, std::string_view value) {
  const size_t before = out.size();
  out.resize(before + HeaderBytes(name, value));
  PutHeader(out.data() + before, name, value);
}

char* PutSuffix(char* out, const RecordPiece& piece) {
  if (piece.own_subject) out = PutHeader(out, wire::kSubjectHeader, *piece.own_subject);
  if (piece.own_reply) out = PutHeader(out, wire::kReplyHeader, *piece.own_reply);
  return out;
}

// Takes the length-delimited value that follows `tag` at the front of `body`; nullopt when `body`
// starts otherwise. `malformed` is set when the value is cut short.
std::optional<std::string_view> TakeIf(std::string_view& body, uint32_t field, bool& malformed) {
  const uint32_t tag = wire::Tag(field, wire::kLengthDelimited);  // below 128: one byte
  if (body.empty() || static_cast<unsigned char>(body.front()) != tag) return std::nullopt;
  std::string_view rest = body.substr(1);
  uint64_t length = 0;
  if (!wire::TakeVarint(rest, length) || length > rest.size()) {
    malformed = true;
    return std::nullopt;
  }
  body = rest.substr(length);
  return rest.substr(0, length);
}

}  // namespace

MessageComposer::MessageComposer(std::string_view stream, PartitionId partition,
                                 std::string_view partition_subject) {
  wire::AppendBytesField(prefix_, wire::kMessageStream, stream);
  if (partition.value() != 0) {
    wire::AppendVarintField(prefix_, wire::kMessagePartition,
                            static_cast<uint64_t>(partition.value()));
  }
  wire::AppendBytesField(prefix_, wire::kMessageSubject, partition_subject);
  AppendHeader(prefix_, wire::kSubjectHeader, partition_subject);
  AppendHeader(prefix_, wire::kReplyHeader, "");
}

std::optional<RecordPiece> MessageComposer::Inspect(std::string_view record) const {
  Offset offset;
  Timestamp timestamp;
  std::string_view body;
  if (!wire::ParseRecordPrefix(record, offset, timestamp, body)) return std::nullopt;
  RecordPiece piece;
  piece.record = record;
  // The order of a body's fields is part of the record format, so nothing past the reply has to be
  // looked at.
  bool malformed = false;
  TakeIf(body, wire::kMessageKey, malformed);
  TakeIf(body, wire::kMessageValue, malformed);
  piece.own_subject = TakeIf(body, wire::kMessageSubject, malformed);
  piece.own_reply = TakeIf(body, wire::kMessageReply, malformed);
  if (malformed) return std::nullopt;
  if (piece.own_subject)
    piece.suffix_bytes += HeaderBytes(wire::kSubjectHeader, *piece.own_subject);
  if (piece.own_reply) piece.suffix_bytes += HeaderBytes(wire::kReplyHeader, *piece.own_reply);
  return piece;
}

char* MessageComposer::Put(char* out, const RecordPiece& piece) const {
  std::memcpy(out, prefix_.data(), prefix_.size());
  out += prefix_.size();
  std::memcpy(out, piece.record.data(), piece.record.size());
  return PutSuffix(out + piece.record.size(), piece);
}

std::string MessageComposer::Suffix(const RecordPiece& piece) const {
  std::string suffix(piece.suffix_bytes, '\0');
  PutSuffix(suffix.data(), piece);
  return suffix;
}

}  // namespace bascule::api
