#include "core/api/publish_rules.h"

#include "core/base/text.h"

namespace bascule::api {
namespace {
constexpr int32_t kPolicyNone = static_cast<int32_t>(AckPolicy::kNone);
constexpr uint64_t kUnavailable = 1;  // Ack.Error UNKNOWN: what a partition says that cannot write
constexpr uint64_t kIncorrectOffset = 2;  // Ack.Error
constexpr uint64_t kTooLarge = 3;
constexpr uint64_t kEncryption = 4;
}  // namespace

absl::StatusOr<std::shared_ptr<const PublishTarget>> PublishTargets::Find(std::string_view stream,
                                                                          int32_t partition,
                                                                          int32_t ack_policy) {
  std::shared_ptr<const CatalogEntry> entry = catalog_.Find(stream);
  if (entry == nullptr)
    return catalog_.Missing(absl::NotFoundError(Concat("no such stream: ", stream)));
  if (partition < 0 || static_cast<size_t>(partition) >= entry->stream.partitions.size()) {
    return absl::NotFoundError(Concat("no such partition: ", partition));
  }
  if (ack_policy == kPolicyNone && entry->settings.optimistic_concurrency_control) {
    return absl::InvalidArgumentError("stream with concurrency control must have AckPolicy set");
  }
  // Entries are replaced, never changed: the same entry means the same target.
  if (entry != entry_ || partition != partition_) {
    const StreamDescription& s = entry->stream;
    target_ = std::make_shared<const PublishTarget>(
        PublishTarget{s.name, partition, PartitionSubject(s.subject, PartitionId(partition)),
                      s.subject, s.group, entry->settings.optimistic_concurrency_control});
    entry_ = std::move(entry);
    partition_ = partition;
  }
  return target_;
}

AckOrigin OriginOf(const wire::AckView& ack, const CatalogEntry* entry) {
  if (entry == nullptr) return AckOrigin::kStranger;
  const StreamDescription& stream = entry->stream;
  if (stream.id != StreamId(ack.stream_id) || stream.created != Timestamp(ack.stream_created) ||
      ack.partition < 0 || static_cast<size_t>(ack.partition) >= stream.partitions.size()) {
    return AckOrigin::kStranger;
  }
  // A later leadership than is known here is news; an earlier one is over.
  const PartitionDescription& partition = stream.partitions[static_cast<size_t>(ack.partition)];
  return LeaderEpoch(ack.leader_epoch) < partition.leader_epoch ? AckOrigin::kReplacedLeader
                                                                : AckOrigin::kLeader;
}

AckVerdict VerdictOn(const wire::AckView& ack, const PublishTarget* target,
                     const StreamCatalog& catalog) {
  const std::shared_ptr<const CatalogEntry> entry = catalog.Find(ack.stream);
  const AckOrigin origin = OriginOf(ack, entry.get());
  // Nobody else will say what became of it (R14).
  if (origin == AckOrigin::kReplacedLeader && !ack.outcome_unknown) return AckVerdict::kReplaced;
  if (target == nullptr) return AckVerdict::kTaken;
  if (origin == AckOrigin::kStranger || ack.message_subject != target->subject)
    return AckVerdict::kForeign;
  const bool asked = ack.stream == target->stream && ack.partition == target->partition;
  const bool of_group = ack.stream != target->stream && !target->group.empty() &&
                        !target->checks_offsets && entry->stream.group == target->group &&
                        entry->stream.subject == target->base_subject;
  return asked || of_group ? AckVerdict::kTaken : AckVerdict::kForeign;
}

absl::Status CheckPayload(const PublishMessage& message, int64_t max_payload) {
  if (max_payload <= 0) return absl::OkStatus();
  size_t bytes = message.key.size() + message.value.size();
  for (const auto& [name, value] : message.headers) bytes += name.size() + value.size();
  if (bytes <= static_cast<uint64_t>(max_payload)) return absl::OkStatus();
  return absl::InvalidArgumentError("nats: maximum payload exceeded");
}

std::string BusFailureText(const absl::Status& failure) {
  return Concat("failed to publish to NATS: ", failure.message());
}

AsyncError ToAsyncError(const absl::Status& refusal) {
  AsyncErrorCode code = AsyncErrorCode::kInternal;
  if (absl::IsNotFound(refusal)) code = AsyncErrorCode::kNotFound;
  if (absl::IsInvalidArgument(refusal)) code = AsyncErrorCode::kBadRequest;
  if (absl::IsFailedPrecondition(refusal)) code = AsyncErrorCode::kReadonly;
  return {code, std::string(refusal.message())};
}

AsyncError AckFailure(uint64_t ack_error, bool outcome_unknown) {
  if (outcome_unknown) {
    return {AsyncErrorCode::kUnknown,
            "outcome unknown: the partition's leader changed before the message was committed; it "
            "may be stored or not"};
  }
  switch (ack_error) {
    case kIncorrectOffset:
      return {AsyncErrorCode::kIncorrectOffset, "incorrect expected offset"};
    case kTooLarge:
      return {AsyncErrorCode::kBadRequest, "message exceeds max replication size"};
    case kEncryption:
      return {AsyncErrorCode::kEncryptionFailed, "encryption failed on partition"};
    case kUnavailable:
      return {AsyncErrorCode::kUnknown,
              "not stored: the partition takes no messages now (free disk space is below the "
              "reserve, or its disk failed)"};
    default:
      return {AsyncErrorCode::kUnknown, "unknown error"};
  }
}

absl::Status AckFailureStatus(uint64_t ack_error, bool outcome_unknown) {
  const AsyncError failure = AckFailure(ack_error, outcome_unknown);
  switch (failure.code) {
    case AsyncErrorCode::kBadRequest:
      return absl::InvalidArgumentError(failure.message);
    case AsyncErrorCode::kEncryptionFailed:
      return absl::InternalError(failure.message);
    default:  // by contract a wrong offset is Unknown here, with a text of its own
      return absl::UnknownError(failure.message);
  }
}

}  // namespace bascule::api
