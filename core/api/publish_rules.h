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
#include "core/wire/ack.h"

namespace bascule::api {

// One partition as a place to publish to, and whose acks count for it.
struct PublishTarget {
  std::string stream;
  int32_t partition = 0;
  std::string subject;       // on which NATS takes messages to the partition
  std::string base_subject;  // the stream's
  std::string group;         // the stream's queue group; empty = none
  bool checks_offsets = false;
};

// The target of a request, with the checks that come before it in the wire contract's order. Keeps
// the last answer, since most sessions publish to one partition. One thread at a time.
class PublishTargets {
 public:
  explicit PublishTargets(const StreamCatalog& catalog) : catalog_(catalog) {}
  // NotFound "no such stream: <s>" or "no such partition: <n>"; InvalidArgument where a stream with
  // concurrency control meets policy NONE.
  absl::StatusOr<std::shared_ptr<const PublishTarget>> Find(std::string_view stream,
                                                            int32_t partition, int32_t ack_policy);

 private:
  const StreamCatalog& catalog_;
  std::shared_ptr<const CatalogEntry> entry_;
  int32_t partition_ = -1;
  std::shared_ptr<const PublishTarget> target_;
};

// What an ack is, as far as this broker knows.
enum class AckOrigin {
  kStranger,  // of no partition here: another cluster on the same NATS may record the message too
  kLeader,    // of a partition of this cluster, by its leader
  kReplacedLeader,  // ... whose leadership is over: what it stored may never be read
};
AckOrigin OriginOf(const wire::AckView& ack, const CatalogEntry* stream);

// Whether `ack` answers a publish to `target` (kTaken): it comes from the leader of a partition here,
// and names the target's subject and the stream, or, where the stream shares its subject through a
// queue group (NATS then hands a message to any one of them) and checks no offsets, another stream of
// that group. Streams that only overlap the subject store the message too; what became of it there is
// no answer. Null: a publish to a subject, which by contract the first ack of any stream answers.
AckVerdict VerdictOn(const wire::AckView& ack, const PublishTarget* target,
                     const StreamCatalog& catalog);

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
AsyncError AckFailure(uint64_t ack_error, bool outcome_unknown = false);
absl::Status AckFailureStatus(uint64_t ack_error, bool outcome_unknown = false);

}  // namespace bascule::api
