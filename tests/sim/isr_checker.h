// What must hold of a replicated partition, looked at over all its brokers after every step:
//
//   an acting leader holds every record that was committed in its own or an earlier epoch
//   two leaders never commit different records at one offset; one process leads an epoch
//   what is below any replica's high watermark is the committed record, and it never goes back
//   records of the same epoch and offset are the same; R3 keeps exactly what two logs have in common
//   with fsync and no disk lost, min ISR replicas have a record on disk when it is committed
//   the leader is a live member of the ISR, nobody in the ISR is fenced; another leader has another
//   epoch, and whatever changes raises the version
//   while min ISR is not raised and data stays, ISR and ELR together have min ISR members
//
// The first violation is kept.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/isr_machine.h"

namespace bascule::isr {

class IsrChecker {
 public:
  struct Committed {
    Record record;
    LeaderEpoch epoch;  // of the leader that committed it
  };
  struct Circumstances {
    Durability durability = Durability::kFsync;
    int lost_disks = 0;
    int damages = 0;
    bool min_isr_raised = false;
  };

  void Look(const std::vector<IsrMachine>& machines, const IsrMetadata& metadata,
            const Circumstances& circumstances);
  // What one command made of the partition.
  void LookAtCommand(const MetadataState& before, const MetadataState& after);
  void Fail(std::string violation);
  const std::optional<std::string>& violation() const { return violation_; }
  const std::vector<Committed>& committed() const { return committed_; }
  int stale_commits() const { return stale_commits_; }

 private:
  struct Shown {
    uint64_t reopened = 0;
    Offset high_watermark;
  };
  void Commit(const IsrMachine& leader, const std::vector<IsrMachine>& machines,
              const IsrMetadata& metadata, const Circumstances& circumstances);
  void CheckShown(size_t number, const IsrMachine& machine);
  void CheckLeader(size_t number, const IsrMachine& machine);
  void CheckSameRecords(const IsrMachine& one, const IsrMachine& other);

  std::vector<Committed> committed_;
  std::map<LeaderEpoch, std::pair<size_t, Incarnation>> leaders_;
  std::vector<Shown> shown_;
  int stale_commits_ = 0;
  std::optional<std::string> violation_;
};

}  // namespace bascule::isr
