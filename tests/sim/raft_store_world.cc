#include "tests/sim/raft_store_world.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/text.h"

namespace bascule {
namespace {

constexpr char kDirectory[] = "/data/meta";

}  // namespace

raft::Term RaftStoreWorld::State::TermAt(raft::Index index) const {
  if (index == snapshot.index) return snapshot.term;
  if (index < snapshot.index || index > last()) return raft::Term();
  return entries[index - snapshot.index - 1].term;
}

// The first `n` of the group are there; with none of them nothing is replaced.
void RaftStoreWorld::State::Replace(const std::vector<raft::Entry>& group, size_t n) {
  if (n == 0) return;
  entries.resize(group.front().index - snapshot.index - 1);
  entries.insert(entries.end(), group.begin(), group.begin() + static_cast<std::ptrdiff_t>(n));
}

void RaftStoreWorld::State::Install(const raft::SnapshotMeta& meta, const std::string& state) {
  std::vector<raft::Entry> rest;
  if (TermAt(meta.index) == meta.term) {
    for (const raft::Entry& entry : entries) {
      if (entry.index > meta.index) rest.push_back(entry);
    }
  }
  snapshot = meta;
  snapshot_state = state;
  entries = std::move(rest);
}

RaftStoreWorld::RaftStoreWorld(uint64_t seed, RaftStoreWorldOptions options)
    : seed_(seed), options_(options), rng_(seed), fs_(seed * 31 + 7, options.capacity) {
  identity_ = {Concat("cluster-", seed), raft::NodeId(seed * 977 + 1)};
}

std::string RaftStoreWorld::NewText() {
  std::string text = Concat("text ", ++texts_, " ");
  text.resize(text.size() + rng_.Below(options_.max_data), static_cast<char>('a' + rng_.Below(26)));
  return text;
}

raft::Configuration RaftStoreWorld::NewConfiguration() {
  raft::Configuration members;
  for (uint64_t id = 1; id <= Between(rng_, 1, 4); ++id) members.voters.push_back(raft::NodeId(id));
  if (rng_.Below(2) == 0) members.learners.push_back(raft::NodeId(77));
  return members;
}

void RaftStoreWorld::SetFaults(bool on) {
  SimFaultRates& rates = fs_.faults().rates;
  rates = SimFaultRates();
  rates.short_read = options_.short_read;
  if (!on) return;
  rates.write = options_.write_error;
  rates.sync = options_.sync_error;
  rates.sync_dir = options_.sync_dir_error;
  rates.rename = options_.rename_error;
}

void RaftStoreWorld::Create(int crashes) {
  SetFaults(false);
  if (rng_.Below(4) != 0) {
    known_.snapshot = {raft::Index(Between(rng_, 1, 5)), raft::Term(1), NewConfiguration()};
    known_.snapshot_state = NewText();
  }
  known_.hard_state = {known_.snapshot.term, raft::NodeId(), known_.snapshot.index};
  stored_commit_ = commit_ = known_.snapshot.index;
  for (; crashes >= 0; --crashes) {
    if (crashes > 0) PlanPowerOff(30);
    auto created = raft_store::RaftStore::Create(fs_, kDirectory, options_.store, identity_,
                                                 known_.snapshot, known_.snapshot_state);
    if (created.ok()) {
      store_ = *std::move(created);
      break;
    }
    REQUIRE_MESSAGE(crashes > 0, seed_, ": ", created.status().ToString());
    Crash();
    // The crash came before it was a member, or after.
    if (raft_store::RaftStore::Exists(fs_, kDirectory)) return Open();
  }
  SetFaults(true);
}

void RaftStoreWorld::PlanPowerOff(uint64_t within) {
  fs_.faults().PowerOffAfter(Between(rng_, 1, within));
}

void RaftStoreWorld::Crash() {
  store_.reset();
  fs_.Crash(rng_);
}

void RaftStoreWorld::Kill() {
  store_.reset();
  fs_.faults().PowerOn();
  fs_.Kill();
}

// --- life ---

void RaftStoreWorld::Live(int steps) {
  while (steps-- > 0 && !failed_ && store_ != nullptr) Step();
}

void RaftStoreWorld::Step() {
  const uint64_t kind = rng_.Below(100);
  if (kind < 50) return StepSave();
  if (kind < 60) return StepVote();
  if (kind < 70) return StepLocalSnapshot();
  if (kind < 74) return StepReceivedSnapshot();
  if (kind < 84) return StepCompact();
  if (kind < 97) return StepSettle();
  CheckLoadSnapshot();
}

void RaftStoreWorld::Call(const absl::Status& status, std::vector<State> after) {
  if (status.ok()) {
    known_ = after.back();
    possible_.clear();
    return;
  }
  CHECK_MESSAGE(!status.message().empty(), seed_);
  if (absl::IsResourceExhausted(status)) return;
  failed_ = true;
  possible_.insert(possible_.end(), after.begin(), after.end());
  // It stays refused.
  const absl::Status again = store_->Save(known_.hard_state, {}, commit_);
  CHECK_MESSAGE(absl::IsFailedPrecondition(again), seed_, ": ", again.ToString());
}

std::vector<raft::Entry> RaftStoreWorld::NewEntries() {
  // Mostly appended; at times another leader's take the place of what was not committed.
  raft::Index first = known_.last() + 1;
  const bool replaces = known_.last() > commit_ && rng_.Below(3) == 0;
  if (replaces) first = raft::Index(Between(rng_, commit_.value() + 1, known_.last().value()));
  raft::Term term = std::max(known_.hard_state.term, known_.snapshot.term);
  std::vector<raft::Entry> group(Between(rng_, 1, rng_.Below(8) == 0 ? 12 : 3));
  for (size_t i = 0; i < group.size(); ++i) {
    const bool change = rng_.Below(10) == 0;
    group[i] = {first + i, term, change ? raft::EntryType::kConfChange : raft::EntryType::kNormal,
                rng_.Below(20) == 0 ? "" : NewText()};
  }
  return group;
}

void RaftStoreWorld::StepSave() {
  std::optional<raft::HardState> hard_state;
  State begun = known_;
  if (rng_.Below(4) == 0) {
    begun.hard_state.term += Between(rng_, 1, 2);
    begun.hard_state.vote = raft::NodeId(rng_.Below(4));
    begun.hard_state.term = std::max(begun.hard_state.term, known_.snapshot.term);
    hard_state = begun.hard_state;
  }
  const State before = std::exchange(known_, begun);
  const std::vector<raft::Entry> group = NewEntries();
  known_ = before;
  const raft::Index last = group.back().index;
  commit_ = raft::Index(Between(rng_, commit_.value(), last.value()));
  std::vector<State> after;
  for (size_t n = 0; n <= group.size(); ++n) {
    after.push_back(begun);
    after.back().Replace(group, n);
  }
  const absl::Status status = store_->Save(hard_state, group, commit_);
  Call(status, after);
  if (status.ok()) {
    last_group_ = after;
    stored_commit_ = commit_;
  } else {
    commit_ = std::min(commit_, known_.last());
    // No room for the entries: the term may have been stored, and this member knows of it.
    if (!failed_ && hard_state.has_value()) {
      const absl::Status kept = store_->Save(hard_state, {}, commit_);
      Call(kept, {begun});
    }
  }
}

void RaftStoreWorld::StepVote() {
  State after = known_;
  after.hard_state.term = std::max(after.hard_state.term + 1, known_.snapshot.term);
  after.hard_state.vote = raft::NodeId(Between(rng_, 1, 3));
  Call(store_->Save(after.hard_state, {}, commit_), {after});
  for (State& state : last_group_) state.hard_state = known_.hard_state;
}

void RaftStoreWorld::StepLocalSnapshot() {
  if (commit_ <= known_.snapshot.index) return;
  const raft::Index index(Between(rng_, known_.snapshot.index.value() + 1, commit_.value()));
  const raft::SnapshotMeta meta{index, known_.TermAt(index), NewConfiguration()};
  State after = known_;
  after.Install(meta, NewText());
  const absl::Status status = store_->SaveSnapshot(meta, after.snapshot_state, false);
  Call(status, {after});
  if (!status.ok()) return;
  for (State& state : last_group_) state.Install(meta, after.snapshot_state);
  stored_commit_ = std::max(stored_commit_, index);
}

void RaftStoreWorld::StepReceivedSnapshot() {
  const raft::Index index(Between(rng_, commit_.value() + 1, known_.last().value() + 10));
  const raft::Term newest = std::max({known_.hard_state.term, known_.snapshot.term, raft::Term(1)});
  raft::SnapshotMeta meta{index, newest + rng_.Below(2), NewConfiguration()};
  if (known_.TermAt(index).value() > 0 && rng_.Below(3) == 0) meta.term = known_.TermAt(index);
  State after = known_;
  after.Install(meta, NewText());
  const absl::Status status = store_->SaveSnapshot(meta, after.snapshot_state, true);
  Call(status, {after});
  if (!status.ok()) return withdrawn_.push_back(after);
  for (State& state : last_group_) state.Install(meta, after.snapshot_state);
  stored_commit_ = commit_ = std::max(commit_, index);
  if (meta.term <= known_.hard_state.term) return;
  after.hard_state.term = meta.term;
  after.hard_state.vote = raft::NodeId();
  Call(store_->Save(after.hard_state, {}, commit_), {after});
}

void RaftStoreWorld::StepCompact() {
  const absl::Status status = store_->Compact(raft::Index(rng_.Below(commit_.value() + 1)));
  if (!status.ok()) failed_ = true;  // it need not be, but its disk is in a bad way
}

void RaftStoreWorld::StepSettle() {
  const raft::Index commit = std::min(commit_, known_.last());
  const absl::Status status = store_->MarkEnd(commit, known_.TermAt(commit));
  Call(status, {known_});
  if (!status.ok()) return;
  stored_commit_ = std::max(stored_commit_, std::min(commit_, known_.last()));
  last_group_.clear();
}

void RaftStoreWorld::CheckLoadSnapshot() {
  const auto loaded = store_->LoadSnapshot();
  if (known_.snapshot.index.value() == 0) {
    CHECK_MESSAGE(absl::IsNotFound(loaded.status()), seed_);
  } else if (!fs_.faults().power_is_off()) {
    REQUIRE_MESSAGE(loaded.ok(), seed_, ": ", loaded.status().ToString());
    CHECK_MESSAGE(loaded->first == known_.snapshot, seed_);
    CHECK_MESSAGE(*loaded->second == known_.snapshot_state, seed_);
  }
  CHECK(store_->bytes() > 0);
}

// --- after a crash ---

absl::Status RaftStoreWorld::TryOpen(raft_store::StoredRaft& stored) {
  auto opened = raft_store::RaftStore::Open(fs_, kDirectory, options_.store, stored);
  if (opened.ok()) store_ = *std::move(opened);
  return opened.status();
}

bool RaftStoreWorld::Admissible(const raft_store::StoredRaft& stored, State state) const {
  State found{stored.raft.hard_state, stored.raft.snapshot, stored.state, stored.raft.entries};
  if (options_.disk_lies) {
    // The one before it and the log say the same as a snapshot that is damaged or lost.
    if (found.snapshot.index < state.snapshot.index &&
        found.TermAt(state.snapshot.index) == state.snapshot.term) {
      found.Install(state.snapshot, state.snapshot_state);
    }
    // A leader's snapshot that was taken away again, but not by the disk. It is committed all the
    // same.
    for (const State& other : withdrawn_) {
      if (other.snapshot == found.snapshot && state.snapshot.index < found.snapshot.index)
        state.Install(other.snapshot, other.snapshot_state);
    }
  }
  raft::HardState expected = state.hard_state;
  if (expected.term < state.snapshot.term) expected = {state.snapshot.term, raft::NodeId(), {}};
  return found.hard_state.term == expected.term && found.hard_state.vote == expected.vote &&
         found.snapshot == state.snapshot && found.snapshot_state == state.snapshot_state &&
         found.entries == state.entries;
}

std::string RaftStoreWorld::Describe(const raft_store::StoredRaft& stored) const {
  const auto text = [](const raft::HardState& hard, const raft::SnapshotMeta& meta,
                       const std::vector<raft::Entry>& entries) {
    std::string out = Concat("term ", hard.term, " vote ", hard.vote, " snapshot ", meta.index, "/",
                             meta.term, " entries");
    for (const raft::Entry& entry : entries) out += Concat(" ", entry.index, "/", entry.term);
    return out;
  };
  return Concat("seed ", seed_, "\n found: ",
                text(stored.raft.hard_state, stored.raft.snapshot, stored.raft.entries),
                "\n known: ", text(known_.hard_state, known_.snapshot, known_.entries), "\n");
}

void RaftStoreWorld::Adopt(const raft_store::StoredRaft& stored) {
  known_.hard_state = stored.raft.hard_state;
  known_.snapshot = stored.raft.snapshot;
  known_.snapshot_state = stored.state;
  known_.entries = stored.raft.entries;
  possible_.clear();
  last_group_.clear();
  stored_commit_ = commit_ = stored.raft.hard_state.commit;
  failed_ = false;
  SetFaults(true);
}

void RaftStoreWorld::Open(int crashes) {
  raft_store::StoredRaft stored;
  SetFaults(false);
  absl::Status opened;
  for (; crashes >= 0; --crashes) {
    if (crashes > 0) PlanPowerOff(12);
    opened = TryOpen(stored);
    if (absl::IsResourceExhausted(opened)) {  // somebody makes room
      fs_.SetCapacity(2 * options_.capacity);
      opened = TryOpen(stored);
      fs_.SetCapacity(options_.capacity);
    }
    if (opened.ok() && crashes == 0) break;
    REQUIRE_MESSAGE((opened.ok() || crashes > 0), seed_, ": ", opened.ToString());
    if (opened.ok() || rng_.Below(3) > 0) {
      Crash();
    } else {
      Kill();
    }
  }
  REQUIRE_MESSAGE(opened.ok(), seed_, ": ", opened.ToString());
  possible_.push_back(known_);
  const bool found = std::any_of(possible_.begin(), possible_.end(),
                                 [&](const State& state) { return Admissible(stored, state); });
  REQUIRE_MESSAGE(found, Describe(stored));
  CHECK_MESSAGE(stored.identity.cluster_id == identity_.cluster_id, seed_);
  CHECK_MESSAGE(stored.identity.node == identity_.node, seed_);
  const raft::Index last = stored.raft.snapshot.index + stored.raft.entries.size();
  const raft::Index commit = stored.raft.hard_state.commit;
  CHECK_MESSAGE(commit >= stored.raft.snapshot.index, seed_);
  CHECK_MESSAGE(commit <= last, seed_);
  // A snapshot that is lost takes along what only it said of the commit index.
  if (stored.raft.snapshot.index == known_.snapshot.index) {
    CHECK_MESSAGE(commit >= stored_commit_, seed_, ": commit ", commit.value(), " of ",
                  stored_commit_.value());
  }
  Adopt(stored);
}

// --- damage ---

void RaftStoreWorld::FlipBitAndOpen() {
  Crash();  // whatever it left is durable now
  Open();
  Live(static_cast<int>(rng_.Below(20)));
  REQUIRE_FALSE(failed_);
  store_.reset();
  fs_.Crash(rng_, {UnsyncedFate::kKept, EntryFate::kKept});
  std::vector<DirectoryEntry> files = *fs_.List(kDirectory);
  const std::string path = JoinPath(kDirectory, files[rng_.Below(files.size())].name);
  const uint64_t size = fs_.VisibleBytes(path).size();
  if (size == 0) return Open();
  const uint64_t at = rng_.Below(rng_.Below(2) == 0 ? size : std::min<uint64_t>(size, 600));
  const int bit = static_cast<int>(rng_.Below(8));
  const uint64_t before = fs_.faults().Calls(kWrite);
  fs_.FlipBit(path, at, bit);
  raft_store::StoredRaft stored;
  const absl::Status opened = TryOpen(stored);
  if (opened.ok()) {
    ++accepted_;
    last_group_.push_back(known_);
    const bool found = std::any_of(last_group_.begin(), last_group_.end(),
                                   [&](const State& state) { return Admissible(stored, state); });
    REQUIRE_MESSAGE(found, Describe(stored), path, " byte ", at, " bit ", bit);
    return Adopt(stored);
  }
  ++refused_;
  const std::string text(FromAbsl(opened.message()));
  REQUIRE_MESSAGE(absl::IsDataLoss(opened), seed_, ": ", opened.ToString());
  CHECK_MESSAGE(text.find(kDirectory) != std::string::npos, text);
  CHECK_MESSAGE(text.find("start the broker again") != std::string::npos, text);
  CHECK_MESSAGE(fs_.faults().Calls(kWrite) == before, "a refused store is left as it is: ", text);
  fs_.FlipBit(path, at, bit);
  Open();
}

void RaftStoreWorld::MoveDurably(const std::string& from, const std::string& to) {
  REQUIRE(fs_.Rename(from, to).ok());
  REQUIRE(fs_.SyncDir(kDirectory).ok());
  REQUIRE(fs_.SyncDir(ParentPath(kDirectory)).ok());
}

void RaftStoreWorld::LoseFileAndOpen() {
  Crash();
  Open();
  Live(static_cast<int>(rng_.Below(30)));
  REQUIRE_FALSE(failed_);
  store_.reset();
  fs_.Crash(rng_, {UnsyncedFate::kKept, EntryFate::kKept});
  std::vector<DirectoryEntry> files = *fs_.List(kDirectory);
  const std::string name = files[rng_.Below(files.size())].name;
  if (name == "identity") return Open();
  const std::string path = JoinPath(kDirectory, name);
  const std::string aside = JoinPath("/data", name);
  MoveDurably(path, aside);
  raft_store::StoredRaft stored;
  const absl::Status opened = TryOpen(stored);
  if (!opened.ok()) {
    ++refused_;
    REQUIRE_MESSAGE(absl::IsDataLoss(opened), seed_, ": ", opened.ToString());
    MoveDurably(aside, path);
    return Open();
  }
  ++accepted_;
  REQUIRE_MESSAGE(Admissible(stored, known_), Describe(stored), "without ", name);
  Adopt(stored);
}

}  // namespace bascule
