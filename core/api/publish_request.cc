#include "core/api/publish_request.h"

#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/wire/coding.h"

namespace bascule::api {
namespace {

// Field numbers of proto.PublishRequest.
enum RequestField : uint32_t {
  kKey = 1,
  kValue = 2,
  kStream = 3,
  kPartition = 4,
  kHeaders = 5,
  kAckInbox = 6,
  kCorrelationId = 7,
  kAckPolicy = 8,
  kExpectedOffset = 9,
};

bool TakeText(const wire::Field& field, std::string_view& out) {
  if (!wire::IsValidUtf8(field.bytes)) return false;
  out = field.bytes;
  return true;
}

bool ParseHeader(std::string_view entry, std::pair<std::string_view, std::string_view>& header) {
  wire::Field field;
  while (!entry.empty()) {
    if (!wire::TakeField(entry, field)) return false;
    if (field.type != wire::kLengthDelimited) continue;
    if (field.field == 1 && !TakeText(field, header.first)) return false;
    if (field.field == 2) header.second = field.bytes;
  }
  return true;
}

// What is past the limit is read and not kept.
bool TakeHeader(std::string_view entry, PublishRequestView& out) {
  std::pair<std::string_view, std::string_view> header;
  if (!ParseHeader(entry, header)) return false;
  if (++out.headers <= limits::kMaxHeaders) out.message.headers.push_back(header);
  return true;
}

bool TakeBytes(const wire::Field& field, PublishRequestView& out) {
  PublishMessage& message = out.message;
  switch (field.field) {
    case kKey:
      message.key = field.bytes;
      return true;
    case kValue:
      message.value = field.bytes;
      return true;
    case kStream:
      return TakeText(field, message.stream);
    case kAckInbox:
      return TakeText(field, message.ack_inbox);
    case kCorrelationId:
      return TakeText(field, message.correlation_id);
    case kHeaders:
      return TakeHeader(field.bytes, out);
    default:
      return true;
  }
}

}  // namespace

bool ParsePublishRequest(std::string_view bytes, PublishRequestView& out) {
  PublishMessage& message = out.message;
  message.key = message.value = message.stream = message.ack_inbox = message.correlation_id = {};
  message.headers.clear();
  out.headers = 0;
  message.ack_policy = 0;
  message.expected_offset = 0;
  out.partition = 0;
  wire::Field field;
  while (!bytes.empty()) {
    if (!wire::TakeField(bytes, field)) return false;
    // As protobuf does: a known number with another wire type is an unknown field.
    if (field.type == wire::kLengthDelimited && !TakeBytes(field, out)) return false;
    if (field.type != wire::kVarint) continue;
    if (field.field == kPartition) out.partition = static_cast<int32_t>(field.number);
    if (field.field == kAckPolicy) message.ack_policy = static_cast<int32_t>(field.number);
    if (field.field == kExpectedOffset)
      message.expected_offset = static_cast<int64_t>(field.number);
  }
  return true;
}

absl::Status CheckHeaders(size_t headers) {
  if (headers <= limits::kMaxHeaders) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat("a message may have ", limits::kMaxHeaders,
                                           " headers at most, this one has ", headers));
}

}  // namespace bascule::api
