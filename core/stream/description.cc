#include "core/stream/description.h"

#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/stream/subject.h"

namespace bascule {
namespace {

absl::Status CheckName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("Name cannot be empty");
  if (name.size() > limits::kMaxStreamNameBytes) {
    return absl::InvalidArgumentError(Concat("Name is invalid: it has ", name.size(),
                                             " bytes, at most ", limits::kMaxStreamNameBytes,
                                             " are allowed"));
  }
  if (!IsPlainText(name)) {
    return absl::InvalidArgumentError(
        "Name is invalid: it must be UTF-8 text without control characters");
  }
  return absl::OkStatus();
}

absl::Status CheckSubject(const StreamSpec& spec) {
  if (spec.subject.size() > limits::kMaxSubjectBytes) {
    return absl::InvalidArgumentError(Concat("Subject is invalid: it has ", spec.subject.size(),
                                             " bytes, at most ", limits::kMaxSubjectBytes,
                                             " are allowed"));
  }
  // Partition n listens on "<subject>.<n>", which NATS refuses after a `>`.
  const bool tail_wildcard = !spec.subject.empty() && spec.subject.back() == '>';
  if (!IsValidSubject(spec.subject) || (tail_wildcard && spec.partitions > 1)) {
    return absl::InvalidArgumentError("Subject is invalid");
  }
  return absl::OkStatus();
}

// What NATS is told of a partition is one line: its subject, the queue group, a number.
absl::Status CheckLine(const StreamSpec& spec) {
  const std::string last = PartitionSubject(spec.subject, PartitionId(spec.partitions - 1));
  const size_t group = spec.group.empty() ? 0 : spec.group.size() + 1;
  const size_t line = last.size() + 1 + group + limits::kNatsSidDigits;
  if (line <= limits::kNatsControlLineBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat(
      "Subject is invalid: with the suffix of its last partition and the queue group it has ",
      last.size() + group, " bytes, NATS takes ",
      limits::kNatsControlLineBytes - limits::kNatsSidDigits - 1,
      "; shorten the subject or the group"));
}

// A queue group is a word of the NATS protocol.
absl::Status CheckGroup(std::string_view group) {
  if (group.size() <= limits::kMaxSubjectBytes && IsPlainText(group) &&
      group.find(' ') == std::string_view::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "Group is invalid: it must be UTF-8 text without white space or control characters");
}

absl::Status CheckPartitions(int32_t partitions) {
  if (partitions >= 1 && partitions <= limits::kMaxPartitionsPerStream) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat(
      "Invalid partitions ", partitions, ": a stream has 1 to ", limits::kMaxPartitionsPerStream));
}

absl::Status CheckReplicationFactor(int32_t factor, int brokers) {
  if (factor <= 0) return absl::InvalidArgumentError(Concat("Invalid replicationFactor ", factor));
  if (factor > brokers) {
    return absl::InvalidArgumentError(
        Concat("Invalid replicationFactor ", factor, ", cluster size ", brokers));
  }
  return absl::OkStatus();
}

}  // namespace

int32_t OpenReplicationFactor(const StreamSpec& spec, int32_t setting, int brokers) {
  constexpr int kSafe = 3;
  if (setting != 0) return setting;
  return brokers >= kSafe && !spec.one_replica_unless_set ? kSafe : 1;
}

absl::Status NormalizeAndValidate(StreamSpec& spec, int brokers, int32_t open_factor) {
  if (spec.partitions == 0) spec.partitions = 1;
  if (spec.replication_factor == 0) spec.replication_factor = open_factor;
  if (spec.replication_factor == -1) spec.replication_factor = brokers;
  RETURN_IF_ERROR(CheckName(spec.name));
  RETURN_IF_ERROR(CheckSubject(spec));
  if (IsReservedStream(spec.name)) return absl::InvalidArgumentError("Stream is reserved");
  RETURN_IF_ERROR(CheckGroup(spec.group));
  RETURN_IF_ERROR(CheckPartitions(spec.partitions));
  RETURN_IF_ERROR(CheckLine(spec));
  RETURN_IF_ERROR(ValidateOverrides(spec.overrides));
  RETURN_IF_ERROR(CheckReplicationFactor(spec.replication_factor, brokers));
  return CheckMinIsr(spec.overrides, spec.replication_factor);
}

bool IsReservedStream(std::string_view name) { return name == "__cursors" || name == "__activity"; }

std::string PartitionSubject(std::string_view base, PartitionId id) {
  return id.value() == 0 ? std::string(base) : Concat(base, ".", id);
}

}  // namespace bascule
