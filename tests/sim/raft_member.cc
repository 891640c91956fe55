#include "tests/sim/raft_member.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule {

using raft::Index;
using raft::Message;
using raft::Role;

void RaftMember::Found(const raft::Configuration& configuration) {
  const raft::Entry founding{Index(1), raft::Term(1), raft::EntryType::kNormal, "founded"};
  checker_.SetConfiguration(configuration);
  disk_.hard.term = founding.term;
  disk_.snapshot = {founding.index, founding.term, configuration};
  disk_.state = checker_.OnApply(id(), founding, founding.term, 0);
}

void RaftMember::Start() {
  BASCULE_CHECK(!up());
  absl::StatusOr<std::unique_ptr<raft::Raft>> restored =
      raft::Raft::Restore(options_, disk_.Restore());
  if (!restored.ok()) {
    return checker_.Fail(Concat(id(), " cannot start: ", restored.status().message()));
  }
  raft_ = *std::move(restored);
  applied_ = disk_.snapshot.index;
  state_ = disk_.state;
  committed_ = Index();
  led_ = raft::Term();
  role_ = Role::kFollower;
  checker_.OnRestore(id(), disk_.snapshot, state_);
  if (trace_.on()) {
    trace_.Add(id(), " starts in term ", disk_.hard.term, ", vote ", disk_.hard.vote, ", snapshot ",
               disk_.snapshot.index, ", log to ", disk_.last(), ", commit ", disk_.hard.commit,
               ", of ", ToText(disk_.snapshot.configuration));
  }
}

void RaftMember::Crash(RaftWriteCut cut) {
  if (ready_ && cut.hard_state) {
    if (ready_->hard_state) {
      disk_.hard.term = ready_->hard_state->term;
      disk_.hard.vote = ready_->hard_state->vote;
    }
    if (!ready_->snapshot || cut.snapshot) {
      if (ready_->snapshot) disk_.Install(*ready_->snapshot, received_[ready_->snapshot->index]);
      const size_t count = std::min(cut.entries, ready_->entries.size());
      disk_.Append(ready_->entries, count, commit_to_write_);
      if (count > 0) checker_.OnDurable(id(), disk_, ready_->entries.front().index);
    }
  }
  if (trace_.on()) {
    trace_.Add(id(), " crashes",
               !ready_ ? ""
                       : Concat(" while writing, ", cut.entries, " of ", ready_->entries.size(),
                                " entries survive"));
  }
  ready_.reset();
  raft_.reset();
  proposals_.clear();
  reads_.clear();
  received_.clear();
}

std::vector<Message> RaftMember::Take() {
  ready_ = raft_->TakeReady();
  commit_to_write_ = raft_->log().committed();
  std::vector<Message> early = std::exchange(ready_->early, {});
  Check(early);
  return early;
}

std::vector<Message> RaftMember::Write() {
  if (ready_->hard_state) {
    disk_.hard.term = ready_->hard_state->term;
    disk_.hard.vote = ready_->hard_state->vote;
  }
  if (ready_->snapshot) disk_.Install(*ready_->snapshot, received_[ready_->snapshot->index]);
  if (!ready_->entries.empty()) {
    disk_.Append(ready_->entries, ready_->entries.size(), commit_to_write_);
    checker_.OnDurable(id(), disk_, ready_->entries.front().index);
  }
  std::vector<Message> messages = std::exchange(ready_->messages, {});
  Check(messages);
  NoteLeadership();
  return messages;
}

void RaftMember::Check(const std::vector<Message>& messages) {
  for (const Message& message : messages) checker_.OnSend(disk_, message);
}

void RaftMember::Finish() {
  if (ready_->snapshot) {
    applied_ = ready_->snapshot->index;
    state_ = received_[applied_];
    received_.erase(received_.begin(), received_.upper_bound(applied_));
    checker_.OnRestore(id(), *ready_->snapshot, state_);
    if (trace_.on()) trace_.Add(id(), " restores the snapshot at ", applied_);
  }
  for (const raft::Entry& entry : ready_->committed) {
    if (entry.index != applied_ + 1) {
      checker_.Fail(Concat(id(), " applies entry ", entry.index, " after ", applied_));
    }
    if (trace_.on()) trace_.Add(id(), " applies ", ToText(entry));
    state_ = checker_.OnApply(id(), entry, raft_->term(), state_);
    applied_ = entry.index;
    const auto proposal = proposals_.find(entry.index);
    if (proposal == proposals_.end()) continue;
    if (proposal->second.term == entry.term) {
      checker_.OnAcknowledged(entry.index, entry.term, proposal->second.data);
      ++acknowledged_;
    }
    proposals_.erase(proposal);
  }
  for (const raft::ReadState& read : ready_->reads) {
    const auto asked = reads_.find(read.context);
    if (asked != reads_.end() && !asked->second.at) asked->second.at = read.index;
  }
  for (const std::string& context : ready_->failed_reads) reads_.erase(context);
  ServeReads();
  ready_.reset();
  raft_->Advance();
  NoteLeadership();
  if (raft_->log().committed() < committed_) {
    checker_.Fail(Concat(id(), ": the commit falls from ", committed_));
  }
  committed_ = raft_->log().committed();
}

void RaftMember::ServeReads() {
  for (auto it = reads_.begin(); it != reads_.end();) {
    if (!it->second.at || *it->second.at > applied_) {
      ++it;
      continue;
    }
    if (trace_.on()) trace_.Add(id(), " serves read ", it->first, " at ", applied_);
    checker_.OnRead(id(), it->second.must_see, applied_);
    it = reads_.erase(it);
  }
}

void RaftMember::NoteLeadership() {
  if (trace_.on() && raft_->role() != role_) {
    trace_.Add(id(), " is ", ToText(raft_->role()), " in term ", raft_->term());
  }
  role_ = raft_->role();
  if (role_ != Role::kLeader || raft_->term() == led_ || disk_.hard.term != raft_->term()) return;
  led_ = raft_->term();
  checker_.OnLeader(id(), led_, raft_->log());
}

void RaftMember::Step(Message message, uint64_t snapshot_state) {
  if (message.snapshot) received_[message.snapshot->index] = snapshot_state;
  const std::string text = trace_.on() ? ToText(message) : std::string();
  const absl::Status status = raft_->Step(std::move(message));
  if (trace_.on()) {
    trace_.Add(text, status.ok() ? "" : Concat("  refused: ", status.message()));
    NoteLeadership();
  }
}

bool RaftMember::Propose(std::string data) {
  const auto place = raft_->Propose(data);
  if (!place.ok()) return false;
  if (trace_.on()) trace_.Add(id(), " is asked for ", data, " at ", place->first);
  proposals_[place->first] = {place->second, std::move(data)};
  return true;
}

bool RaftMember::ProposeConfChange(const raft::ConfChange& change) {
  const auto place = raft_->ProposeConfChange(change);
  if (!place.ok()) return false;
  const raft::RaftLog& log = raft_->log();
  if (trace_.on()) trace_.Add(id(), " is asked for ", ToText(log.At(place->first)));
  for (Index at = std::max(log.applied() + 1, log.first()); at < place->first; ++at) {
    if (log.At(at).type != raft::EntryType::kConfChange) continue;
    checker_.Fail(Concat(id(), " takes a membership change at ", place->first, " while that at ",
                         at, " is not applied"));
  }
  if (log.TermAt(log.applied()) != raft_->term()) {
    checker_.Fail(Concat(id(), " takes a membership change at ", place->first,
                         " before anything of its term is applied"));
  }
  proposals_[place->first] = {place->second, EncodeConfChange(change)};
  return true;
}

bool RaftMember::Read(std::string context) {
  if (!raft_->ReadIndex(context).ok()) return false;
  if (trace_.on()) trace_.Add(id(), " is asked for read ", context, ", seen ", checker_.seen());
  reads_[std::move(context)] = {checker_.seen(), std::nullopt};
  return true;
}

void RaftMember::TakeSnapshot(uint64_t trailing) {
  if (ready_ || applied_ <= disk_.snapshot.index) return;
  const std::optional<raft::Term> term = disk_.TermAt(applied_);
  if (!term) {
    return checker_.Fail(Concat(id(), " has applied ", applied_, ", which is not on its disk"));
  }
  const raft::SnapshotMeta meta{applied_, *term, raft_->configuration()};
  disk_.Fold(meta, state_);
  const Index through = applied_.value() > trailing ? applied_ - trailing : Index();
  if (trace_.on()) trace_.Add(id(), " takes a snapshot at ", applied_, ", keeps from ", through);
  raft_->Compact(through, meta);
}

}  // namespace bascule
