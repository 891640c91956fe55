// A metadata group without consensus: one log that the test holds, followed by as many members as
// are attached; the test says who leads, who is cut off, and what becomes of what was proposed when
// the leader changed. The log outlives the members' processes. Header only.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "replication/metadata_log.h"
#include "tests/support/sim_executor.h"

namespace bascule {

class FakeMetadataGroup;

// One process of one member.
class FakeMetadataLog final : public MetadataLog, public MetadataGroup {
 public:
  FakeMetadataLog(FakeMetadataGroup& group, PeerId self, Executor& home, MetadataState& state)
      : group_(group), self_(self), home_(home), state_(state) {}

  void Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) override;
  void ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) override;
  std::string degraded() const override { return degraded_text; }
  MetadataRole role() const override { return role_; }
  void OnRoleChange(absl::AnyInvocable<void(const MetadataRole&)> observer) override {
    observer_ = std::move(observer);
  }
  void AddMember(const GroupMember& member, MetadataGroup::Done done) override;
  void RemoveMember(PeerId id, MetadataGroup::Done done) override;
  void TransferLeadership(PeerId to, MetadataGroup::Done done) override;
  GroupStatus Status() const override;
  void OnLeaderLost(PeerId leader) override { lost_leaders.push_back(leader); }

  MetadataIndex applied() const { return applied_; }
  std::string degraded_text;
  int refuse = 0;  // so many proposals are answered Unavailable
  int barriers = 0;
  std::vector<PeerId> lost_leaders;  // as this broker was told

 private:
  friend class FakeMetadataGroup;
  void ChangeMembers(std::vector<GroupMember> members, MetadataGroup::Done done);

  FakeMetadataGroup& group_;
  const PeerId self_;
  Executor& home_;
  MetadataState& state_;
  MetadataRole role_;
  MetadataIndex applied_;
  absl::AnyInvocable<void(const MetadataRole&)> observer_;
};

class FakeMetadataGroup {
 public:
  explicit FakeMetadataGroup(SimScheduler& scheduler) : scheduler_(scheduler) {}

  // A new process of `self`; applies the log up to now at once.
  std::unique_ptr<FakeMetadataLog> Attach(PeerId self, Executor& home, MetadataState& state) {
    auto log = std::make_unique<FakeMetadataLog>(*this, self, home, state);
    processes_[self] = log.get();
    if (base_.value() > 0) {
      BASCULE_CHECK(state.Restore(base_, base_snapshot_).ok());
      log->applied_ = base_;
    }
    (void)CatchUp(*log);
    log->role_ = {term_, leader_, leader_ == self};
    return log;
  }
  void Detach(PeerId self) { processes_.erase(self); }

  // From now on `leader` leads, after everything that is committed was applied there; 0 = nobody.
  void Elect(PeerId leader) {
    ++term_;
    leader_ = leader;
    for (Pending& pending : std::exchange(pending_, {})) {
      if (keep_on_change) Commit(pending.entry);
      Finish(pending, absl::UnknownError("the metadata leader changed"));
    }
    if (const auto it = processes_.find(leader); it != processes_.end()) (void)CatchUp(*it->second);
    Announce();
  }
  // Applies nothing more there, and it knows of no new leader, until it is healed.
  void Cut(PeerId id) { cut_.insert(id); }
  void Heal(PeerId id) {
    cut_.erase(id);
    const auto it = processes_.find(id);
    if (it == processes_.end()) return;
    (void)CatchUp(*it->second);
    Announce();
  }
  // What `from` has applied, instead of the log, for members that attach from now on or are healed.
  void Compact(MetadataIndex index, std::string snapshot) {
    base_ = index;
    base_snapshot_ = std::move(snapshot);
  }
  void SetMembers(std::vector<GroupMember> members) { members_ = std::move(members); }
  const std::vector<GroupMember>& members() const { return members_; }
  MetadataIndex last() const { return MetadataIndex(entries_.size()); }
  const std::string& command(MetadataIndex index) const {
    return entries_[index.value() - 1].command;
  }
  PeerId leader() const { return leader_; }

  std::string cluster_id = "cluster-1";
  Duration commit_delay = std::chrono::milliseconds(2);
  Duration follow_delay = std::chrono::milliseconds(3);
  bool keep_on_change =
      true;                 // what was proposed when the leader changed is committed all the same
  bool hold = false;        // nothing is committed until it is false
  std::set<PeerId> silent;  // do not answer appends

 private:
  friend class FakeMetadataLog;
  struct Entry {
    std::string command;
    std::vector<GroupMember> members;  // not empty: a change of the group
  };
  struct Pending {
    uint64_t term = 0;
    Entry entry;
    Executor* home = nullptr;
    absl::AnyInvocable<void(absl::Status)> done;
  };

  void Commit(const Entry& entry) {
    entries_.push_back(entry);
    if (!entry.members.empty()) members_ = entry.members;
  }
  static void Finish(Pending& pending, const absl::Status& status) {
    pending.home->Post([done = std::move(pending.done), status]() mutable { done(status); });
  }
  // The result of the last entry.
  absl::Status CatchUp(FakeMetadataLog& log) {
    absl::Status result;
    if (cut_.contains(log.self_)) return result;
    if (log.applied_ < base_) {
      BASCULE_CHECK(log.state_.Restore(base_, base_snapshot_).ok());
      log.applied_ = base_;
    }
    while (log.applied_ < last()) {
      ++log.applied_;
      const Entry entry = entries_[log.applied_.value() - 1];
      if (entry.members.empty()) {
        result = log.state_.Apply(log.applied_, entry.command);
      } else {
        log.state_.ApplyMembers(log.applied_, entry.members);
        result = absl::OkStatus();
      }
    }
    return result;
  }
  void Add(FakeMetadataLog& log, Entry entry, absl::AnyInvocable<void(absl::Status)> done) {
    pending_.push_back({term_, std::move(entry), &log.home_, std::move(done)});
    log.home_.After(commit_delay, [this, id = log.self_] { CommitPending(id); });
  }
  void CommitPending(PeerId id) {
    const auto process = processes_.find(id);
    if (process == processes_.end() || pending_.empty() || leader_ != id) return;
    if (hold) {
      process->second->home_.After(commit_delay, [this, id] { CommitPending(id); });
      return;
    }
    Pending pending = std::move(pending_.front());
    pending_.erase(pending_.begin());
    Commit(pending.entry);
    const absl::Status result = CatchUp(*process->second);
    pending.done(result);
    for (auto& [other, log] : processes_) {
      if (other == id) continue;
      log->home_.After(follow_delay, [this, other = other] {
        const auto it = processes_.find(other);
        if (it != processes_.end()) (void)CatchUp(*it->second);
      });
    }
  }
  void Announce() {
    for (auto& [id, log] : processes_) {
      const MetadataRole role{term_, leader_, leader_ == id};
      if (cut_.contains(id) || role == log->role_) continue;
      log->role_ = role;
      log->home_.Post([this, id = id, role] {
        const auto it = processes_.find(id);
        if (it == processes_.end() || !it->second->observer_) return;
        // An observer hears of the latest role only.
        if (it->second->role_ == role) it->second->observer_(role);
      });
    }
  }

  SimScheduler& scheduler_;
  uint64_t term_ = 0;
  PeerId leader_;
  std::vector<Entry> entries_;
  std::vector<Pending> pending_;
  std::vector<GroupMember> members_;
  std::map<PeerId, FakeMetadataLog*> processes_;
  std::set<PeerId> cut_;
  MetadataIndex base_;
  std::string base_snapshot_;
};

inline void FakeMetadataLog::Propose(std::string command,
                                     absl::AnyInvocable<void(absl::Status)> done) {
  if (!role_.leading || group_.leader_ != self_ || refuse > 0) {
    refuse = std::max(refuse - 1, 0);
    return done(absl::UnavailableError("the metadata log takes nothing"));
  }
  group_.Add(*this, {std::move(command), {}}, std::move(done));
}

inline void FakeMetadataLog::ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) {
  ++barriers;
  home_.After(group_.commit_delay,
              [this, id = self_, &group = group_, done = std::move(done)]() mutable {
                const auto self = group.processes_.find(id);
                if (self == group.processes_.end() || !group.processes_.contains(group.leader_) ||
                    group.cut_.contains(id) || self->second->role_.leader != group.leader_)
                  return done(absl::UnavailableError("no leader confirmed it"));
                (void)group.CatchUp(*self->second);
                done(absl::OkStatus());
              });
}

inline void FakeMetadataLog::ChangeMembers(std::vector<GroupMember> members,
                                           MetadataGroup::Done done) {
  if (!role_.leading || group_.leader_ != self_)
    return done(absl::UnavailableError("this broker does not lead"));
  for (const auto& pending : group_.pending_) {
    if (!pending.entry.members.empty())
      return done(absl::FailedPreconditionError("another change of the group is under way"));
  }
  group_.Add(*this, {"", std::move(members)}, std::move(done));
}

inline void FakeMetadataLog::AddMember(const GroupMember& member, MetadataGroup::Done done) {
  std::vector<GroupMember> members = group_.members_;
  std::erase_if(members, [&](const GroupMember& m) { return m.id == member.id; });
  members.push_back(member);
  ChangeMembers(std::move(members), std::move(done));
}

inline void FakeMetadataLog::RemoveMember(PeerId id, MetadataGroup::Done done) {
  std::vector<GroupMember> members = group_.members_;
  std::erase_if(members, [&](const GroupMember& m) { return m.id == id; });
  ChangeMembers(std::move(members), std::move(done));
}

inline void FakeMetadataLog::TransferLeadership(PeerId to, MetadataGroup::Done done) {
  if (!role_.leading) return done(absl::UnavailableError("this broker does not lead"));
  home_.Post([&group = group_, to, done = std::move(done)]() mutable {
    group.Elect(to);
    done(absl::OkStatus());
  });
}

inline GroupStatus FakeMetadataLog::Status() const {
  GroupStatus status;
  status.role = role_;
  status.cluster_id = group_.cluster_id;
  status.self = self_;
  status.commit = status.last = group_.last();
  status.applied = applied_;
  status.first = MetadataIndex(1);
  for (const GroupMember& member : group_.members_) {
    const auto process = group_.processes_.find(member.id);
    const bool active = process != group_.processes_.end() && !group_.cut_.contains(member.id) &&
                        !group_.silent.contains(member.id);
    const MetadataIndex match =
        process == group_.processes_.end() ? MetadataIndex() : process->second->applied_;
    status.members.push_back({member, match, active});
  }
  return status;
}

}  // namespace bascule
