// The metadata of the cluster: deterministic state that only numbered commands change. Apply is
// total and reads no clock, no random number, no unordered container, no local setting and no limit
// that another version may have raised, so every broker that applies the same commands has the same
// table. A command costs what it changes (and a logarithm), never all streams. On the metadata
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replication/meta/table/command.h"
#include "replication/meta/table/table_state.h"

namespace bascule::meta {
class Command;
class Snapshot;
}  // namespace bascule::meta

namespace bascule::metadata {

class MetaTable final : private TableState {
 public:
  using Applied = CommandOutcome;
  using TableState::Brokers;
  using TableState::Streams;

  // A command whose origin and sequence are kept gives the kept result and changes nothing. That of
  // a process that is not registered (any more): FailedPrecondition; of a sequence that is
  // answered: Aborted.
  Applied Apply(MetadataIndex index, std::string_view command);
  // Whether the command makes the table larger; the others must get through on a full disk.
  static bool Grows(std::string_view command);
  void ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members);
  std::string Snapshot() const;
  // `index`: of the last command that is in it. DataLoss: it is none. Unimplemented: a newer
  // version's. Nothing is changed then.
  absl::Status Restore(MetadataIndex index, std::string_view snapshot);

  using TableState::answering;
  using TableState::applied;
  using TableState::brokers;
  using TableState::cluster_id;
  using TableState::doubtful;
  using TableState::feature_level;
  using TableState::Find;
  using TableState::FindBroker;
  using TableState::IsLive;
  using TableState::LoadOf;
  using TableState::members;
  using TableState::OnlyReplicas;
  using TableState::stream_bytes;
  using TableState::streams;
  using TableState::SuccessorOf;
  // What became of a command that this origin sent before; nullopt: nothing is known of it.
  std::optional<absl::Status> Kept(const CommandOrigin& origin) const;
  // Offline only: the table goes on behind `through`.
  void SkipTo(MetadataIndex through);

 private:
  std::optional<absl::Status> Admit(const meta::Command& command);
  void SaveBrokers(meta::Snapshot& snapshot) const;
  absl::Status RestoreStreams(const meta::Snapshot& snapshot);
  void RestoreBrokers(const meta::Snapshot& snapshot);
};

// What leads from one table to another, in an order that can be applied: deletions first.
std::vector<MetaDelta> Differences(const MetaTable& before, const MetaTable& after);

}  // namespace bascule::metadata
