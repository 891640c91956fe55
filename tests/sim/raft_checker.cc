#include "tests/sim/raft_checker.h"

#include <utility>

#include "core/base/text.h"

namespace bascule {
namespace {

using raft::Index;
using raft::Message;
using raft::MessageType;
using raft::Term;

// FNV-1a over what is applied, so that a state names its whole history.
uint64_t Fold(uint64_t state, const raft::Entry& entry) {
  constexpr uint64_t kPrime = 0x100000001b3u;
  state = (state ^ entry.index.value()) * kPrime;
  state = (state ^ entry.term.value()) * kPrime;
  for (const char c : entry.data) state = (state ^ static_cast<uint8_t>(c)) * kPrime;
  return state;
}

}  // namespace

void RaftChecker::Fail(std::string violation) {
  if (!violation_) violation_ = std::move(violation);
}

void RaftChecker::OnLeader(raft::NodeId id, Term term, const raft::RaftLog& log) {
  const auto [known, first] = leaders_.emplace(term, id);
  if (!first) {
    if (known->second != id) {
      Fail(Concat("term ", term, " has two leaders, ", known->second, " and ", id));
    }
    return;
  }
  for (size_t at = sequence_.size(); at > 0; --at) {
    const Applied& applied = sequence_[at - 1];
    if (applied.in_term >= term) continue;  // may have been committed in a later term than its own
    const Index index(at);
    if (index > log.last() || (index + 1 >= log.first() && !log.Holds(index, applied.term))) {
      Fail(Concat("leader ", id, " of term ", term, " lacks entry ", index, " of term ",
                  applied.term, ", which is committed"));
    }
    return;  // if it holds this one it holds those before it (OnDurable)
  }
}

void RaftChecker::OnDurable(raft::NodeId id, const RaftDisk& disk, Index from) {
  for (Index at = from; at <= disk.last(); ++at) {
    const raft::Entry& entry = disk.entries[at - disk.snapshot.index - 1];
    const Term before = disk.TermAt(at - 1).value_or(Term());
    if (stored_.size() <= at.value()) stored_.resize(at.value() + 1);
    bool known = false;
    for (Stored& stored : stored_[at.value()]) {
      if (stored.term != entry.term) continue;
      known = true;
      if (stored.before == Term()) stored.before = before;
      const bool continues = before == Term() || stored.before == before;
      if (!continues || stored.type != entry.type || stored.data != entry.data) {
        Fail(Concat("entry ", at, " of term ", entry.term, " at ", id,
                    " is not what another log has there, or follows another entry"));
      }
    }
    if (!known) stored_[at.value()].push_back({entry.term, before, entry.type, entry.data});
  }
}

void RaftChecker::OnSend(const RaftDisk& disk, const Message& message) {
  const bool pre_vote = message.type == MessageType::kPreVote ||
                        (message.type == MessageType::kPreVoteResponse && !message.reject);
  if (!pre_vote && message.term > disk.hard.term) {
    return Fail(Concat(message.from, " sends a ", ToText(message.type), " in term ", message.term,
                       " while its disk is in term ", disk.hard.term));
  }
  // What was promised in a term that has passed since is not on the disk any more, rightly: the
  // step that ended the term knew of the promise.
  if (message.term == disk.hard.term) CheckPromise(disk, message);
}

void RaftChecker::CheckVote(raft::NodeId voter, Term term, raft::NodeId candidate) {
  const auto [vote, first] = votes_.emplace(std::pair(term, voter), candidate);
  if (!first && vote->second != candidate) {
    Fail(Concat(voter, " votes for ", vote->second, " and for ", candidate, " in term ", term));
  }
}

void RaftChecker::CheckPromise(const RaftDisk& disk, const Message& message) {
  if (message.type == MessageType::kVote) CheckVote(message.from, message.term, message.from);
  if (message.type == MessageType::kVoteResponse && !message.reject) {
    CheckVote(message.from, message.term, message.to);
  }
  if (message.type == MessageType::kVote && disk.hard.vote != message.from) {
    Fail(Concat(message.from, " asks for votes in term ", message.term,
                " before its own is on its disk"));
  }
  if (message.type == MessageType::kVoteResponse && !message.reject &&
      disk.hard.vote != message.to) {
    Fail(Concat(message.from, " votes for ", message.to, " in term ", message.term,
                ", but its disk says ", disk.hard.vote));
  }
  if (message.type == MessageType::kAppendResponse && !message.reject &&
      message.index > disk.last()) {
    Fail(Concat(message.from, " acknowledges entry ", message.index, ", but its disk ends at ",
                disk.last()));
  }
}

void RaftChecker::OnAcknowledge(const RaftDisk& disk, const Message& message,
                                const raft::RaftLog& leader) {
  if (message.type != MessageType::kAppendResponse || message.reject ||
      message.term != disk.hard.term || message.index == Index()) {
    return;
  }
  const std::optional<Term> there = leader.TermAt(message.index);
  const std::optional<Term> here = disk.TermAt(message.index);
  if (message.index > leader.last() || (there && here && *there != *here)) {
    Fail(Concat(message.from, " acknowledges entry ", message.index, " to leader ", message.to,
                " of term ", message.term, ", whose log has another one there, or none"));
  }
}

bool RaftChecker::IsOnMajority(const raft::Configuration& configuration,
                               const raft::Entry& entry) const {
  size_t on = 0;
  for (const raft::NodeId id : configuration.voters) {
    const auto disk = disks_.find(id);
    if (disk == disks_.end()) continue;
    const bool folded = disk->second->snapshot.index >= entry.index;
    if (folded || disk->second->TermAt(entry.index) == entry.term) ++on;
  }
  return on > configuration.voters.size() / 2;
}

// Who committed the entry may not have applied the change before it yet: then the configuration
// before that decided.
void RaftChecker::CheckMajority(const raft::Entry& entry) {
  if (!IsOnMajority(configuration_, entry) && !IsOnMajority(before_, entry)) {
    Fail(Concat("entry ", entry.index, " of term ", entry.term,
                " is applied, but is not on the disks of a majority"));
  }
  if (entry.type != raft::EntryType::kConfChange) return;
  if (const auto change = raft::DecodeConfChange(entry.data)) {
    before_ = configuration_;
    Apply(*change, configuration_);
  }
}

uint64_t RaftChecker::OnApply(raft::NodeId id, const raft::Entry& entry, Term term,
                              uint64_t state) {
  const size_t at = entry.index.value();
  if (at == sequence_.size() + 1) {
    if (at > 1) CheckMajority(entry);
    sequence_.push_back({entry.term, entry.type, entry.data, term, Fold(state, entry)});
    return sequence_.back().state;
  }
  if (at == 0 || at > sequence_.size()) {
    Fail(Concat(id, " applies entry ", at, " while ", sequence_.size(), " are known"));
    return state;
  }
  const Applied& known = sequence_[at - 1];
  const uint64_t next = Fold(state, entry);
  if (known.term != entry.term || known.type != entry.type || known.data != entry.data ||
      known.state != next) {
    Fail(Concat(id, " applies entry ", at, " of term ", entry.term, " (", entry.data,
                "), another applied one of term ", known.term, " (", known.data, ")"));
  }
  return next;
}

void RaftChecker::OnRestore(raft::NodeId id, const raft::SnapshotMeta& snapshot, uint64_t state) {
  const size_t at = snapshot.index.value();
  if (at == 0) return;
  if (at > sequence_.size() || sequence_[at - 1].state != state ||
      sequence_[at - 1].term != snapshot.term) {
    Fail(Concat(id, " restores a snapshot at ", at, " of term ", snapshot.term,
                " which is not the state that was applied there"));
  }
}

void RaftChecker::OnAcknowledged(Index index, Term term, const std::string& data) {
  if (index.value() > sequence_.size() || sequence_[index.value() - 1].term != term ||
      sequence_[index.value() - 1].data != data) {
    return Fail(Concat("the proposal ", data, " was acknowledged at ", index,
                       ", where something else was applied"));
  }
  ++acknowledged_;
  seen_ = std::max(seen_, index);
}

void RaftChecker::OnRead(raft::NodeId id, Index must_see, Index applied) {
  ++reads_;
  if (applied < must_see) {
    Fail(Concat("a read at ", id, " sees everything up to ", applied,
                ", but when it was asked others had seen ", must_see));
  }
  seen_ = std::max(seen_, applied);
}

}  // namespace bascule
