#include "replication/meta/table/meta_table.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"

namespace bascule::metadata {
namespace {

// Results kept for one process; a sequence so far above its first unanswered one is refused. Part
// of what the commands mean: never changed without a feature level.
constexpr uint64_t kKeptResults = 4096;
// What is kept of a result's text, from this feature level on: the rest was said once. Part of what the
// commands mean.
constexpr size_t kKeptTextBytes = 160;
constexpr uint32_t kShortTextsLevel = 2;

// The largest table that the leader lets requests make can be sent as a snapshot.
constexpr size_t kMostResultsBytes = limits::kClusterMembers * kKeptResults * (kKeptTextBytes + 32);
constexpr size_t kMostBrokersBytes =
    2 * limits::kClusterMembers * (6 * limits::kPeerNameBytes + limits::kKiB);
static_assert(limits::kMaxStreamsBytes + kMostResultsBytes + kMostBrokersBytes + limits::kMiB <=
              limits::kMaxRaftSnapshotBytes);

absl::Status Shortened(const absl::Status& result) {
  if (result.message().size() <= kKeptTextBytes) return result;
  return absl::Status(result.code(), result.message().substr(0, kKeptTextBytes));
}

}  // namespace

MetaTable::Applied MetaTable::Apply(MetadataIndex index, std::string_view bytes) {
  applied_ = index;
  meta::Command command;
  const bool parsed = command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  const MetaCommand* kind = parsed ? FindCommand(command.command_case()) : nullptr;
  if (kind == nullptr) {
    return {absl::UnimplementedError(
                Concat("metadata command ", index,
                       " is unknown to this version of the program; install a newer one")),
            {}};
  }
  if (command.origin_incarnation() == 0) return kind->apply(*this, index, command);
  if (const std::optional<absl::Status> known = Admit(command)) return {*known, {}};
  Applied applied = kind->apply(*this, index, command);
  clients_[command.origin()].results[command.sequence()] =
      feature_level_ >= kShortTextsLevel ? Shortened(applied.result) : applied.result;
  return applied;
}

bool MetaTable::Grows(std::string_view bytes) {
  meta::Command command;
  if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return true;
  const MetaCommand* kind = FindCommand(command.command_case());
  return kind != nullptr && kind->grows;
}

// nullopt: carry it out. What an earlier sequence may still be asked for is kept until `answered`
// says that nobody will.
std::optional<absl::Status> MetaTable::Admit(const meta::Command& command) {
  const RegisteredBroker* broker = FindBroker(command.origin());
  if (broker == nullptr || broker->incarnation != command.origin_incarnation()) {
    return absl::FailedPreconditionError(
        Concat("the process of broker ", command.origin(),
               " that asked is not registered (any more): it was replaced or removed"));
  }
  Client& client = clients_[command.origin()];
  const uint64_t sequence = command.sequence();
  if (sequence > 0 && command.answered() < sequence) {
    client.answered = std::max(client.answered, command.answered());
    client.results.erase(client.results.begin(), client.results.upper_bound(client.answered));
  }
  if (sequence <= client.answered) {
    return absl::AbortedError(Concat("request ", sequence, " of broker ", command.origin(),
                                     " was answered before and is not carried out again"));
  }
  if (const auto it = client.results.find(sequence); it != client.results.end()) return it->second;
  if (sequence - client.answered > kKeptResults) {
    return absl::ResourceExhaustedError(Concat("broker ", command.origin(), " has more than ",
                                               kKeptResults, " unanswered metadata requests"));
  }
  return std::nullopt;
}

std::optional<absl::Status> MetaTable::Kept(const CommandOrigin& origin) const {
  const RegisteredBroker* broker = FindBroker(origin.broker);
  const auto client = clients_.find(origin.broker);
  if (broker == nullptr || broker->incarnation != origin.incarnation || client == clients_.end()) {
    return std::nullopt;
  }
  const auto it = client->second.results.find(origin.sequence);
  if (it == client->second.results.end()) return std::nullopt;
  return it->second;
}

void MetaTable::ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) {
  applied_ = std::max(applied_, index);
  members_ = members;
}

}  // namespace bascule::metadata
