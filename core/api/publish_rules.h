// What Publish and PublishAsync have in common: where a message goes, and how refusals are worded.
// Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/ports/bus_publisher.h"
#include "core/ports/stream_catalog.h"

namespace bascule {

// The NATS subject of a stream's partition, with the checks that come before it in the wire
// contract's order. Keeps the last answer, since most sessions publish to one partition. One thread
// at a time.
class PublishTargets {
 public:
  explicit PublishTargets(const StreamCatalog& catalog) : catalog_(catalog) {}
  // NotFound "no such stream: <s>" or "no such partition: <n>"; InvalidArgument where a stream with
  // concurrency control meets policy NONE. The view is good until the next call.
  absl::StatusOr<std::string_view> Subject(std::string_view stream, int32_t partition,
                                           int32_t ack_policy);

 private:
  const StreamCatalog& catalog_;
  std::shared_ptr<const CatalogEntry> entry_;
  int32_t partition_ = -1;
  std::string subject_;
};

// InvalidArgument "nats: maximum payload exceeded" when what the message carries alone is more than
// NATS takes, so that it is not copied first. The bus tests the whole envelope.
absl::Status CheckPayload(const PublishMessage& message, int64_t max_payload);

// Texts as clients know them. `failure` comes from BusPublisher.
std::string BusFailureText(const absl::Status& failure);

// The code numbers of proto.PublishAsyncError.
enum class AsyncErrorCode : int32_t {
  kUnknown = 0,
  kBadRequest = 1,
  kNotFound = 2,
  kInternal = 3,
  kReadonly = 4,
  kIncorrectOffset = 5,
  kEncryptionFailed = 6,
};
struct AsyncError {
  AsyncErrorCode code = AsyncErrorCode::kUnknown;
  std::string message;
};
// For what PublishTargets refused.
AsyncError ToAsyncError(const absl::Status& refusal);
// For a non-zero Ack.ackError: as a response of PublishAsync, and as the status of Publish.
AsyncError AckFailure(uint64_t ack_error);
absl::Status AckFailureStatus(uint64_t ack_error);

}  // namespace bascule
