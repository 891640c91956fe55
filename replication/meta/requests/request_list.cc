// The requests that this version knows: a declaration and an entry each.
#include <algorithm>

#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"

namespace bascule::metadata {

extern const RequestKind kCreateStreamRequest;
extern const RequestKind kDeleteStreamRequest;
extern const RequestKind kUpdateStreamRequest;
extern const RequestKind kRaiseEpochRequest;
extern const RequestKind kRegisterBrokerRequest;
extern const RequestKind kAlterIsrRequest;
extern const RequestKind kMoveLeaderRequest;
extern const RequestKind kFenceSelfRequest;

namespace {

// What is no command: the frontend's, and the cluster's (ClusterControl).
constexpr RequestKind NoCommand(int number, std::string_view name, bool patient) {
  return {number, name, /*once=*/false, patient, nullptr, nullptr, nullptr, nullptr};
}
constexpr RequestKind kSettled =
    NoCommand(meta::Request::kSettledFieldNumber, "wait for a stream", /*patient=*/false);
constexpr RequestKind kClusterStatus =
    NoCommand(meta::Request::kClusterStatusFieldNumber, "describe the cluster", /*patient=*/false);
constexpr RequestKind kAddMember =
    NoCommand(meta::Request::kAddMemberFieldNumber, "add a broker", /*patient=*/true);
constexpr RequestKind kRemoveMember =
    NoCommand(meta::Request::kRemoveMemberFieldNumber, "remove a broker", /*patient=*/true);
constexpr RequestKind kTransfer =
    NoCommand(meta::Request::kTransferFieldNumber, "move the lead", /*patient=*/true);
constexpr RequestKind kJoin =
    NoCommand(meta::Request::kJoinFieldNumber, "join the cluster", /*patient=*/true);

constexpr const RequestKind* kRequestKinds[] = {
    &kCreateStreamRequest,
    &kDeleteStreamRequest,
    &kUpdateStreamRequest,
    &kRaiseEpochRequest,
    &kRegisterBrokerRequest,
    &kAlterIsrRequest,
    &kMoveLeaderRequest,
    &kFenceSelfRequest,
    &kSettled,
    &kClusterStatus,
    &kAddMember,
    &kRemoveMember,
    &kTransfer,
    &kJoin,
};

uint32_t PossibleLevel(const MetaTable& table) {
  uint32_t possible = kFeatureLevel;
  for (const auto& [id, broker] : table.brokers())
    possible = std::min(possible, broker.feature_level);
  return possible;
}

// The first of those brokers that hold the cluster back, and how many more.
std::string OlderThan(uint32_t level, const MetaTable& table) {
  std::string first;
  int more = -1;
  for (const auto& [id, broker] : table.brokers()) {
    if (broker.feature_level >= level) continue;
    if (++more == 0) first = Concat("broker ", id, " (feature level ", broker.feature_level, ")");
  }
  return more > 0 ? Concat(first, " and ", more, " more") : first;
}

}  // namespace

absl::Status CheckLevel(const MetaTable& table, std::string_view what, uint32_t level) {
  if (level <= table.feature_level()) return absl::OkStatus();
  if (level <= PossibleLevel(table))
    return absl::UnavailableError("the feature level is being raised");
  return absl::FailedPreconditionError(
      Concat(what, " needs feature level ", level, ", the cluster has ", table.feature_level(),
             ": bring ", OlderThan(level, table), " to this version first"));
}

std::span<const RequestKind* const> RequestKinds() { return kRequestKinds; }

const RequestKind* FindRequest(int number) {
  const auto found =
      std::find_if(std::begin(kRequestKinds), std::end(kRequestKinds),
                   [number](const RequestKind* kind) { return kind->number == number; });
  return found == std::end(kRequestKinds) ? nullptr : *found;
}

int32_t ReplicationOf(const StreamDescription& stream) {
  return stream.partitions.empty() ? 1 : static_cast<int32_t>(stream.partitions[0].replicas.size());
}

absl::Status CheckLevel(const MetaTable& table, const StreamOverrides& overrides) {
  const StreamSetting* newer = FindNewer(overrides, table.feature_level());
  if (newer == nullptr) return absl::OkStatus();
  return CheckLevel(table, newer->name, newer->level);
}

absl::Status CheckLevel(const MetaTable& table, const MetaCommand& command) {
  return CheckLevel(table, Concat("to ", command.name), command.feature_level);
}

}  // namespace bascule::metadata
