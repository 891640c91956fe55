#include "tests/sim/isr_checker.h"

#include <algorithm>

#include "core/base/text.h"

namespace bascule::isr {
namespace {

size_t Count(Offset offset) { return static_cast<size_t>(offset.value()); }

}  // namespace

void IsrChecker::Fail(std::string violation) {
  if (!violation_) violation_ = std::move(violation);
}

void IsrChecker::Look(const std::vector<IsrMachine>& machines, const IsrMetadata& metadata,
                      const Circumstances& circumstances) {
  shown_.resize(machines.size());
  for (const IsrMachine& machine : machines) {
    if (machine.complaint()) Fail(*machine.complaint());
    if (machine.up() && machine.Acting()) Commit(machine, machines, metadata, circumstances);
  }
  for (size_t b = 0; b < machines.size(); ++b) {
    if (machines[b].up()) {
      CheckShown(b, machines[b]);
      if (machines[b].Acting()) CheckLeader(b, machines[b]);
    }
    for (size_t other = b + 1; other < machines.size(); ++other)
      CheckSameRecords(machines[b], machines[other]);
  }
  const MetadataState& now = metadata.now();
  const PartitionDescription& partition = now.partition;
  const auto members = static_cast<int>(partition.isr.size() + partition.elr.size());
  if (circumstances.durability == Durability::kFsync && !circumstances.min_isr_raised &&
      members + circumstances.lost_disks < now.min_isr) {
    Fail("fewer than min ISR replicas may lead, although no disk was lost");
  }
}

void IsrChecker::LookAtCommand(const MetadataState& before, const MetadataState& after) {
  const PartitionDescription& was = before.partition;
  const PartitionDescription& is = after.partition;
  if (is.leader_epoch < was.leader_epoch) Fail("a leader epoch goes back");
  if (is.leader != was.leader && is.leader_epoch == was.leader_epoch)
    Fail("another leader in the same epoch");
  const bool same = is.leader == was.leader && is.leader_epoch == was.leader_epoch &&
                    is.isr == was.isr && is.elr == was.elr;
  if (is.version < was.version || (!same && is.version == was.version))
    Fail("R1b: a change does not raise the version");
  if (!is.leader.empty() && !Contains(is.isr, is.leader)) Fail("R7: the leader is not in the ISR");
  for (const std::string& member : is.isr) {
    if (!after.IsLive(member)) Fail("R6: a fenced broker is in the ISR");
  }
}

void IsrChecker::Commit(const IsrMachine& leader, const std::vector<IsrMachine>& machines,
                        const IsrMetadata& metadata, const Circumstances& circumstances) {
  for (size_t at = committed_.size(); at < Count(leader.high_watermark()); ++at) {
    if (at >= leader.log().size()) return Fail("a leader commits what it has not");
    const Record record = leader.log()[at];
    committed_.push_back({record, leader.epoch()});
    if (metadata.now().partition.leader_epoch > leader.epoch()) ++stale_commits_;
    const bool promised = circumstances.durability == Durability::kFsync &&
                          circumstances.lost_disks == 0 && circumstances.damages == 0;
    const auto copies =
        std::count_if(machines.begin(), machines.end(), [&](const IsrMachine& machine) {
          return machine.durable().size() > at && machine.durable()[at] == record;
        });
    if (promised && copies < leader.min_isr())
      Fail(Concat("offset ", at, " is committed with ", copies, " durable copies"));
  }
}

void IsrChecker::CheckShown(size_t number, const IsrMachine& machine) {
  const size_t shown = Count(machine.high_watermark());
  for (size_t at = 0; at < shown; ++at) {
    if (at >= committed_.size() || at >= machine.log().size() ||
        machine.log()[at] != committed_[at].record) {
      return Fail(Concat("a reader on ", BrokerName(static_cast<int>(number)), " sees at offset ",
                         at, " what is not committed, or was lost"));
    }
  }
  Shown& before = shown_[number];
  if (before.reopened == machine.reopened() && machine.high_watermark() < before.high_watermark)
    Fail("a high watermark goes back");
  before = {machine.reopened(), machine.high_watermark()};
}

void IsrChecker::CheckLeader(size_t number, const IsrMachine& machine) {
  for (size_t at = 0; at < committed_.size(); ++at) {
    if (committed_[at].epoch > machine.epoch()) continue;
    if (at >= machine.log().size() || machine.log()[at] != committed_[at].record) {
      return Fail(Concat("the leader ", BrokerName(static_cast<int>(number)), " of epoch ",
                         machine.epoch(), " lacks offset ", at, ", committed in epoch ",
                         committed_[at].epoch));
    }
  }
  const std::pair process(number, machine.incarnation());
  if (leaders_.emplace(machine.epoch(), process).first->second != process)
    Fail(Concat("two processes lead epoch ", machine.epoch()));
}

void IsrChecker::CheckSameRecords(const IsrMachine& one, const IsrMachine& other) {
  const size_t both = std::min(one.log().size(), other.log().size());
  for (size_t at = 0; at < both; ++at) {
    const Record& mine = one.log()[at];
    const Record& theirs = other.log()[at];
    if (mine.epoch == theirs.epoch && mine.serial != theirs.serial)
      return Fail(Concat("two records at offset ", at, " of epoch ", mine.epoch));
  }
}

}  // namespace bascule::isr
