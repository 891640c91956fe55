// The metadata store while it runs: what a call costs, what it promises, what it refuses.
#include "replication/meta/store/raft_store.h"

#include <doctest/doctest.h>

#include "tests/unit/raft_store_files.h"

namespace bascule::raft_store {
namespace {

using Texts = std::vector<std::string>;

size_t CountFiles(RaftStoreFiles& files, std::string_view prefix) {
  size_t count = 0;
  for (const std::string& name : files.Names()) {
    if (std::string_view(name).starts_with(prefix)) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("raft store: a new directory has an identity last, and is created once") {
  RaftStoreFiles files;
  CHECK_FALSE(RaftStore::Exists(files.fs, kMetaDirectory));
  CHECK(absl::IsNotFound(files.TryOpen()));
  REQUIRE(files.Create(Meta(5, 2), "state").ok());
  CHECK(RaftStore::Exists(files.fs, kMetaDirectory));
  CHECK(files.store->identity().cluster_id == "cl");
  CHECK(absl::IsAlreadyExists(files.Create()));
  files.Open();
  CHECK(files.found.identity.node == raft::NodeId(7));
  CHECK(files.found.raft.hard_state == raft::HardState{raft::Term(2), {}, raft::Index(5)});
  CHECK(files.found.raft.snapshot == Meta(5, 2));
  CHECK(files.found.state == "state");
  CHECK(files.found.raft.entries.empty());
  CHECK(files.found.warnings.empty());
}

TEST_CASE("raft store: a vote is kept that is given in a term that is known already, each time") {
  RaftStoreFiles files;
  REQUIRE(files.Create(Meta(5, 2), "state").ok());
  for (uint64_t term = 3; term < 6; ++term) {
    for (const raft::NodeId vote : {raft::NodeId(), raft::NodeId(7)}) {
      const raft::HardState state{raft::Term(term), vote, raft::Index(5)};
      REQUIRE(files.store->Save(state, {}, raft::Index(5)).ok());
      files.store.reset();
      files.Open();
      CHECK(files.found.raft.hard_state == state);
    }
  }
}

TEST_CASE("raft store: what a creation left that never came to an identity does not count") {
  for (uint64_t calls = 1; calls < 40; ++calls) {
    RaftStoreFiles files({4096, 8192});
    files.fs.faults().PowerOffAfter(calls);
    const absl::Status created = files.Create(Meta(5, 2), "old");
    files.store.reset();
    SimRng rng(calls);
    files.fs.Crash(rng, {UnsyncedFate::kKept, EntryFate::kKept});
    if (RaftStore::Exists(files.fs, kMetaDirectory)) {
      files.Open();
      CHECK(files.found.state == "old");
      continue;
    }
    CHECK_FALSE(created.ok());
    CHECK(absl::IsNotFound(files.TryOpen()));
    REQUIRE(files.Create(Meta(3, 1), "new").ok());
    files.Open();
    CHECK(files.found.raft.snapshot == Meta(3, 1));
    CHECK(files.found.state == "new");
    CHECK(CountFiles(files, "snapshot-") == 1);
  }
}

TEST_CASE("raft store: a group of entries costs one write and one sync, whatever its size") {
  RaftStoreFiles files({uint64_t{1} << 20, 0});
  REQUIRE(files.Create().ok());
  REQUIRE(files.Put(1, 1, "first").ok());
  const auto calls = [&](SimOpMask mask) { return files.fs.faults().Calls(mask); };
  const uint64_t writes = calls(kWrite);
  const uint64_t syncs = calls(kSync);
  const uint64_t changes = calls(kChangingOps);
  const auto entries = Entries(2, 1, Texts(100, "entry"));
  REQUIRE(files.store->Save(std::nullopt, entries, raft::Index(1)).ok());
  CHECK(calls(kWrite) == writes + 1);
  CHECK(calls(kSync) == syncs + 1);
  CHECK(calls(kChangingOps) == changes + 2);
  CHECK_FALSE(files.fs.HasUnsyncedBytes(SegmentPath(1)));
  // A commit index alone is not worth a sync.
  REQUIRE(files.store->Save(raft::HardState{raft::Term(1), {}, raft::Index(9)}, {}, raft::Index(9))
              .ok());
  CHECK(calls(kChangingOps) == changes + 2);
}

TEST_CASE("raft store: term and vote are written twice, each copy synced before the next") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  const std::string path = MetaPath("hardstate");
  std::vector<std::string> at_sync;
  files.fs.OnSync([&](const std::string&) { at_sync.push_back(files.fs.DurableBytes(path)); });
  REQUIRE(files.store->Save(HardStateOf(4, 8), {}, {}).ok());
  files.fs.OnSync(nullptr);
  REQUIRE(at_sync.size() == 2);
  raft_store::HardStateCopy copy;
  const auto term_of = [&](const std::string& bytes, size_t block) {
    REQUIRE(raft_store::DecodeHardState(std::string_view(bytes).substr(block * 4096), copy) ==
            raft_store::Soundness::kSound);
    return copy.term.value();
  };
  CHECK(term_of(at_sync[1], 0) == 4);  // the first copy is durable when the second is synced
  CHECK(term_of(at_sync[1], 1) == 0);
  CHECK(term_of(files.fs.DurableBytes(path), 1) == 4);
  files.Open();
  CHECK(files.found.raft.hard_state.vote == raft::NodeId(8));
}

TEST_CASE("raft store: entries that replace others win, and what was replaced stays away") {
  RaftStoreFiles files({512, 0});
  REQUIRE(files.Create().ok());
  for (uint64_t i = 1; i <= 20; ++i) REQUIRE(files.Put(i, 1, Concat("old ", i)).ok());
  CHECK(CountFiles(files, "log-") > 2);
  REQUIRE(files.Put(7, 2, "new 7").ok());
  for (int times = 0; times < 3; ++times) {
    files.Open();
    CHECK(files.Found() == Texts{"old 1", "old 2", "old 3", "old 4", "old 5", "old 6", "new 7"});
  }
  for (uint64_t i = 8; i <= 20; ++i) REQUIRE(files.Put(i, 2, Concat("new ", i)).ok());
  files.Open();
  CHECK(files.Found().size() == 20);
  CHECK(files.Found()[7] == "new 8");
  CHECK(files.found.raft.entries[6].term == raft::Term(2));
}

TEST_CASE("raft store: the commit index comes back as far as entries or marks carried it") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  REQUIRE(files.Put(1, 1, "a").ok());
  REQUIRE(files.Put(2, 1, "b", 1).ok());
  files.Open();
  CHECK(files.found.raft.hard_state.commit == raft::Index(1));
  REQUIRE(files.store->MarkEnd(raft::Index(2), raft::Term(1)).ok());
  const uint64_t changes = files.fs.faults().Calls(kChangingOps);
  REQUIRE(files.store->MarkEnd(raft::Index(2), raft::Term(1)).ok());
  CHECK(files.fs.faults().Calls(kChangingOps) == changes);
  files.Open();
  CHECK(files.found.raft.hard_state.commit == raft::Index(2));
  REQUIRE(files.Put(3, 1, "c", 99).ok());  // never past the log
  files.Open();
  CHECK(files.found.raft.hard_state.commit == raft::Index(3));
}

TEST_CASE("raft store: compaction leaves the log of the older snapshot, and the terms") {
  RaftStoreFiles files({512, 0});
  REQUIRE(files.Create(Meta(1, 1), "s1").ok());
  for (uint64_t i = 2; i <= 60; ++i) REQUIRE(files.Put(i, 1, Concat("entry ", i), i).ok());
  const size_t all = CountFiles(files, "log-");
  REQUIRE(files.store->Compact(raft::Index(50)).ok());
  CHECK(CountFiles(files, "log-") == all);  // no snapshot covers them
  REQUIRE(files.store->SaveSnapshot(Meta(30, 1), "s30", false).ok());
  REQUIRE(files.store->Compact(raft::Index(30)).ok());
  CHECK(CountFiles(files, "log-") == all);  // the older one stands at 1
  REQUIRE(files.store->SaveSnapshot(Meta(50, 1), "s50", false).ok());
  CHECK(CountFiles(files, "snapshot-") == 2);
  const uint64_t bytes = files.store->bytes();
  REQUIRE(files.store->Compact(raft::Index(20)).ok());
  const size_t some = CountFiles(files, "log-");
  CHECK(some < all);
  CHECK(files.store->bytes() < bytes);
  REQUIRE(files.store->Compact(raft::Index(50)).ok());
  CHECK(CountFiles(files, "log-") < some);
  files.Open();
  CHECK(files.found.raft.snapshot.index == raft::Index(50));
  CHECK(files.Found().size() == 10);
  // From the older one on all is still there.
  files.Damage(SnapshotPath(50, 1), 60);
  files.Open();
  CHECK(files.found.raft.snapshot.index == raft::Index(30));
  CHECK(files.Found().size() == 30);
  CHECK(files.found.raft.hard_state.commit == raft::Index(60));
}

TEST_CASE("raft store: a received snapshot keeps the log that continues it and drops any other") {
  for (const uint64_t term : {1, 2}) {
    RaftStoreFiles files;
    REQUIRE(files.Create().ok());
    for (uint64_t i = 1; i <= 5; ++i) REQUIRE(files.Put(i, 1, Concat("entry ", i)).ok());
    REQUIRE(files.store->SaveSnapshot(Meta(3, term), "received", true).ok());
    REQUIRE(files.store->SaveSnapshot(Meta(2, 1), "late", true).ok());
    const auto loaded = files.store->LoadSnapshot();
    REQUIRE(loaded.ok());
    CHECK(loaded->first == Meta(3, term));
    CHECK(*loaded->second == "received");
    const uint64_t reads = files.fs.faults().Calls(kOpen);
    CHECK(files.store->LoadSnapshot()->second == loaded->second);  // not read twice
    CHECK(files.fs.faults().Calls(kOpen) == reads);
    if (term == 2) REQUIRE(files.Put(4, 2, "next").ok());
    files.Open();
    CHECK(files.Found() == (term == 1 ? Texts{"entry 4", "entry 5"} : Texts{"next"}));
    CHECK(files.found.raft.hard_state.term == raft::Term(term));
  }
}

TEST_CASE("raft store: a snapshot of a later term than ours takes the vote of our own term along") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  REQUIRE(files.store->Save(HardStateOf(3, 8), {}, {}).ok());
  REQUIRE(files.store->SaveSnapshot(Meta(9, 3), "same term", true).ok());
  files.Open();
  CHECK(files.found.raft.hard_state.vote == raft::NodeId(8));
  REQUIRE(files.store->SaveSnapshot(Meta(19, 5), "later", true).ok());
  files.Open();
  CHECK(files.found.raft.hard_state == raft::HardState{raft::Term(5), {}, raft::Index(19)});
}

TEST_CASE("raft store: below the reserve appends are refused before anything is written") {
  RaftStoreFiles files({4096, 20'000}, 80'000);
  REQUIRE(files.Create().ok());
  REQUIRE(files.fs.Exists(MetaPath("ballast")));
  CHECK(files.store->HasRoom());
  uint64_t last = 0;
  absl::Status status;
  while ((status = files.Put(last + 1, 1, std::string(500, 'x'))).ok()) REQUIRE(++last < 200);
  CHECK_MESSAGE(absl::IsResourceExhausted(status), status.ToString());
  CHECK(status.message().find("/data/meta") != std::string::npos);
  CHECK_FALSE(files.store->HasRoom());
  files.fs.SetCapacity(75'000);
  const uint64_t changes = files.fs.faults().Calls(kChangingOps);
  CHECK(absl::IsResourceExhausted(files.Put(last + 1, 1, "small")));
  CHECK(files.fs.faults().Calls(kChangingOps) == changes);
  // Votes need no room, and a snapshot has the ballast.
  files.fs.SetCapacity(1);
  REQUIRE(files.store->Save(HardStateOf(2, 8), {}, {}).ok());
  files.fs.SetCapacity(61'000);
  REQUIRE(files.store->SaveSnapshot(Meta(last, 1), std::string(4000, 's'), false).ok());
  CHECK_FALSE(files.fs.Exists(MetaPath("ballast")));
  files.fs.SetCapacity(400'000);
  CHECK(files.store->HasRoom());
  CHECK(files.fs.Exists(MetaPath("ballast")));
  REQUIRE(files.Put(last + 1, 3, "again").ok());
  files.Open();
  CHECK(files.Found() == Texts{"again"});
}

TEST_CASE("raft store: opening finds room on a full disk") {
  RaftStoreFiles files({4096, 8192}, 100'000);
  REQUIRE(files.Create().ok());
  for (uint64_t i = 1; i <= 6; ++i) REQUIRE(files.Put(i, 1, std::string(500, 'x')).ok());
  files.fs.SetCapacity(1);
  CHECK(absl::IsResourceExhausted(files.TryOpen()));
  uint64_t used = 0;
  for (const std::string& name : files.Names()) {
    used += files.fs.VisibleBytes(MetaPath(name)).size();
  }
  files.fs.SetCapacity(used + 8192 + 4096);
  files.Open();
  CHECK(files.Found().size() == 6);
}

TEST_CASE("raft store: a disk that fills up in a write keeps nothing of it, after a crash too") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    RaftStoreFiles files;
    REQUIRE(files.Create().ok());
    REQUIRE(files.Put(1, 1, "first").ok());
    files.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted);
    const auto group = Entries(2, 1, Texts(3, std::string(60 * seed, 'x')));
    CHECK(absl::IsResourceExhausted(files.store->Save(std::nullopt, group, {})));
    if (seed % 2 == 0) REQUIRE(files.Put(2, 1, "second").ok());
    files.store.reset();
    SimRng rng(seed);
    files.fs.Crash(rng);
    files.Open();
    CHECK(files.Found() == (seed % 2 == 0 ? Texts{"first", "second"} : Texts{"first"}));
  }
}

TEST_CASE(
    "raft store: after a failed write or sync nothing more is taken until it is opened again") {
  struct Fault {
    SimOpMask op;
    absl::StatusCode code;
  };
  // A full disk that shows in the sync only is as bad as any failed sync.
  for (const Fault fault :
       {Fault{kWrite, absl::StatusCode::kInternal}, Fault{kSync, absl::StatusCode::kInternal},
        Fault{kSync, absl::StatusCode::kResourceExhausted}}) {
    RaftStoreFiles files;
    REQUIRE(files.Create().ok());
    REQUIRE(files.Put(1, 1, "first").ok());
    files.fs.faults().FailAfter(1, fault.op, fault.code);
    const absl::Status failed = files.Put(2, 1, "second");
    CHECK_MESSAGE(absl::IsInternal(failed), failed.ToString());
    CHECK(failed.message().find("restart the broker") != std::string::npos);
    const uint64_t changes = files.fs.faults().Calls(kChangingOps);
    CHECK(absl::IsFailedPrecondition(files.Put(2, 1, "second")));
    CHECK(absl::IsFailedPrecondition(files.store->Save(HardStateOf(9, 1), {}, {})));
    CHECK(absl::IsFailedPrecondition(files.store->SaveSnapshot(Meta(1, 1), "", false)));
    CHECK(absl::IsFailedPrecondition(files.store->MarkEnd({}, {})));
    CHECK(absl::IsFailedPrecondition(files.store->Compact({})));
    CHECK(files.fs.faults().Calls(kChangingOps) == changes);
    files.Open();
    CHECK(files.Found().front() == "first");
    // What it found is durable now, though the sync of it had failed.
    const Texts found = files.Found();
    files.store.reset();
    SimRng rng(1);
    files.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
    files.Open();
    CHECK(files.Found() == found);
  }
}

TEST_CASE("raft store: without room for the new log a received snapshot is not kept either") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  REQUIRE(files.Put(1, 1, "first").ok());
  // Three writes of the snapshot's file, then the first of the segment.
  files.fs.faults().FailAfter(4, kWrite, absl::StatusCode::kResourceExhausted);
  CHECK(absl::IsResourceExhausted(files.store->SaveSnapshot(Meta(9, 1), "state", true)));
  CHECK(absl::IsNotFound(files.store->LoadSnapshot().status()));
  REQUIRE(files.Put(2, 1, "second").ok());
  files.Open();
  CHECK(files.Found() == Texts{"first", "second"});
  REQUIRE(files.store->SaveSnapshot(Meta(9, 1), "state", true).ok());
  files.Open();
  CHECK(files.found.raft.snapshot == Meta(9, 1));
}

TEST_CASE("raft store: what is too large is refused, and nothing else suffers") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  const std::string huge((size_t{16} << 20) + 1, 'x');
  CHECK(absl::IsInvalidArgument(files.Put(1, 1, huge)));
  raft::SnapshotMeta many = Meta(4, 1);
  many.configuration.voters.resize(5000);
  CHECK(absl::IsInvalidArgument(files.store->SaveSnapshot(many, "", true)));
  REQUIRE(files.store->Save(HardStateOf(1, 0), Entries(1, 1, {"fine"}), {}).ok());
  files.Open();
  CHECK(files.Found() == Texts{"fine"});
  CHECK(absl::IsInvalidArgument(RaftStore::Create(files.fs, "/other", files.options,
                                                  {std::string(300, 'c'), raft::NodeId(1)}, {}, "")
                                    .status()));
}

}  // namespace bascule::raft_store
