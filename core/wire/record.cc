#include "core/wire/record.h"

#include "absl/container/flat_hash_map.h"
#include "core/base/limits.h"

namespace bascule::wire {
namespace {

constexpr uint32_t kEntryName = 1;
constexpr uint32_t kEntryValue = 2;
// Up to here a linear search for a header of the same name is the fastest.
constexpr size_t kLinearHeaders = 16;

// A map entry: what is missing is empty, of what is given twice the last counts.
bool ParseHeader(std::string_view entry, std::string_view& name, std::string_view& value) {
  name = value = {};
  Field field;
  while (!entry.empty()) {
    if (!TakeField(entry, field, kMaxNesting - 1)) return false;
    if (field.type != kLengthDelimited) continue;
    if (field.field == kEntryName) {
      if (!IsValidUtf8(field.bytes)) return false;
      name = field.bytes;
    } else if (field.field == kEntryValue) {
      value = field.bytes;
    }
  }
  return true;
}

// Walks a proto.Message and hands its fields to `sink`: false where libprotobuf refuses the bytes,
// or where the sink does. Strings are checked even if the sink has no use for them, since
// libprotobuf checks them.
template <typename Sink>
bool WalkMessage(std::string_view in, Sink&& sink) {
  Field field;
  std::string_view name, value;
  while (!in.empty()) {
    if (!TakeField(in, field)) return false;
    if (field.type == kVarint) {
      sink.Integer(field.field, field.number);
      continue;
    }
    if (field.type != kLengthDelimited) continue;
    switch (field.field) {
      case kMessageKey:
      case kMessageValue:
        sink.Bytes(field.field, field.bytes);
        break;
      case kMessageStream:
      case kMessageSubject:
      case kMessageReply:
      case kMessageAckInbox:
      case kMessageCorrelationId:
        if (!IsValidUtf8(field.bytes)) return false;
        sink.Bytes(field.field, field.bytes);
        break;
      case kMessageHeaders:
        if (!ParseHeader(field.bytes, name, value) || !sink.Header(name, value)) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

struct RecordSink {
  RecordView& view;

  void Integer(uint32_t field, uint64_t number) {
    if (field == kMessageOffset) view.offset = Offset(static_cast<int64_t>(number));
    if (field == kMessageTimestamp) view.timestamp = Timestamp(static_cast<int64_t>(number));
  }
  void Bytes(uint32_t field, std::string_view bytes) {
    if (field == kMessageKey) view.key = bytes;
    if (field == kMessageValue) view.value = bytes;
    if (field == kMessageSubject) view.subject = bytes;
    if (field == kMessageReply) view.reply = bytes;
  }
  bool Header(std::string_view name, std::string_view value) {
    view.headers.emplace_back(name, value);
    return true;
  }
};

struct PublishSink {
  PublishView& view;
  absl::flat_hash_map<std::string_view, size_t> places{};  // of every name, once there are many

  void Integer(uint32_t field, uint64_t number) {
    if (field == kMessageOffset) view.expected_offset = static_cast<int64_t>(number);
    // An enum is an int32: the upper bits that a varint can hold are dropped.
    if (field == kMessageAckPolicy)
      view.ack_policy = static_cast<uint64_t>(static_cast<int32_t>(number));
  }
  void Bytes(uint32_t field, std::string_view bytes) {
    if (field == kMessageKey) view.key = bytes;
    if (field == kMessageValue) view.value = bytes;
    if (field == kMessageAckInbox) view.ack_inbox = bytes;
    if (field == kMessageCorrelationId) view.correlation_id = bytes;
  }
  bool Header(std::string_view name, std::string_view value) {
    const size_t place = PlaceOf(name);
    if (place < view.headers.size()) {
      view.headers[place].second = value;
      return true;
    }
    if (place >= limits::kMaxHeaders) return false;
    view.headers.emplace_back(name, value);
    return true;
  }
  // Where `name` stands in the list, or its end.
  size_t PlaceOf(std::string_view name) {
    const size_t count = view.headers.size();
    if (count < kLinearHeaders) {
      size_t place = 0;
      while (place < count && view.headers[place].first != name) ++place;
      return place;
    }
    if (places.empty()) {
      for (size_t i = 0; i < count; ++i) places.emplace(view.headers[i].first, i);
    }
    return places.try_emplace(name, count).first->second;
  }
};

}  // namespace

void AppendHeader(std::string& out, std::string_view name, std::string_view value) {
  const size_t entry =
      2 + VarintSize(name.size()) + name.size() + VarintSize(value.size()) + value.size();
  AppendVarint(out, Tag(kMessageHeaders, kLengthDelimited));
  AppendVarint(out, entry);
  AppendBytesField(out, kEntryName, name);
  AppendBytesField(out, kEntryValue, value);
}

bool ParseBody(std::string_view body, RecordView& view) {
  view.offset = Offset();
  view.timestamp = Timestamp();
  view.key.reset();
  view.value.reset();
  view.subject.reset();
  view.reply.reset();
  view.headers.clear();
  return WalkMessage(body, RecordSink{view});
}

bool ParseRecord(std::string_view record, RecordView& view) {
  Offset offset;
  Timestamp timestamp;
  std::string_view body;
  return ParseRecordPrefix(record, offset, timestamp, body) && ParseBody(record, view);
}

bool ParsePublish(std::string_view message, PublishView& view) {
  view.key.reset();
  view.value.reset();
  view.headers.clear();
  view.ack_inbox = view.correlation_id = {};
  view.ack_policy = 0;
  view.expected_offset = 0;
  return WalkMessage(message, PublishSink{view});
}

}  // namespace bascule::wire
