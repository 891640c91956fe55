#include "core/api/response_batch.h"

#include "core/wire/coding.h"

namespace bascule::api {
namespace {
// Field numbers of proto.PublishResponse and proto.PublishAsyncError.
constexpr uint32_t kAck = 1;
constexpr uint32_t kAsyncError = 2;
constexpr uint32_t kAckCorrelationId = 3;
constexpr uint32_t kErrorCode = 1;
constexpr uint32_t kErrorMessage = 2;
}  // namespace

void ResponseBatch::AddAck(const wire::AckView& ack) {
  thread_local std::string encoded;
  encoded.clear();
  wire::AppendAck(encoded, ack);
  wire::AppendBytesField(bytes, kAck, encoded);
  if (!ack.correlation_id.empty()) {
    wire::AppendBytesField(bytes, kAckCorrelationId, ack.correlation_id);
  }
  ends.push_back(static_cast<uint32_t>(bytes.size()));
}

void ResponseBatch::AddError(std::string_view correlation_id, const AsyncError& error) {
  std::string encoded;
  if (error.code != AsyncErrorCode::kUnknown) {
    wire::AppendVarintField(encoded, kErrorCode, static_cast<uint64_t>(error.code));
  }
  wire::AppendBytesField(encoded, kErrorMessage, error.message);
  wire::AppendBytesField(bytes, kAck, "");
  wire::AppendBytesField(bytes, kAsyncError, encoded);
  if (!correlation_id.empty()) wire::AppendBytesField(bytes, kAckCorrelationId, correlation_id);
  ends.push_back(static_cast<uint32_t>(bytes.size()));
}

}  // namespace bascule::api
