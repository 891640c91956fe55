// A metadata store on a simulated disk, for the tests of its parts.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "replication/meta/store/raft_store.h"
#include "replication/meta/store/store_format.h"
#include "tests/support/sim_file_system.h"

namespace bascule::raft_store {

inline const char kMetaDirectory[] = "/data/meta";

inline std::string MetaPath(std::string_view name) { return JoinPath(kMetaDirectory, name); }
inline std::string SegmentPath(uint64_t sequence) {
  return MetaPath(raft_store::SegmentFileName(sequence));
}
inline std::string SnapshotPath(uint64_t index, uint64_t term) {
  return MetaPath(ToFileName(raft_store::SnapshotName{raft::Index(index), raft::Term(term)}));
}
inline std::vector<raft::Entry> Entries(uint64_t first, uint64_t term,
                                        const std::vector<std::string>& data) {
  std::vector<raft::Entry> entries;
  for (const std::string& one : data) {
    entries.push_back(
        {raft::Index(first + entries.size()), raft::Term(term), raft::EntryType::kNormal, one});
  }
  return entries;
}
inline raft::SnapshotMeta Meta(uint64_t index, uint64_t term) {
  return {raft::Index(index),
          raft::Term(term),
          {{raft::NodeId(7), raft::NodeId(8)}, {raft::NodeId(9)}}};
}
inline raft::HardState HardStateOf(uint64_t term, uint64_t vote) {
  return {raft::Term(term), raft::NodeId(vote), raft::Index()};
}

class RaftStoreFiles {
 public:
  explicit RaftStoreFiles(RaftStoreOptions chosen = {4096, 0},
                          uint64_t capacity = uint64_t{1} << 40, uint64_t seed = 1)
      : options(chosen), fs(seed, capacity) {}

  absl::Status Create(const raft::SnapshotMeta& meta = {}, std::string_view state = "") {
    auto created =
        RaftStore::Create(fs, kMetaDirectory, options, {"cl", raft::NodeId(7)}, meta, state);
    if (created.ok()) store = *std::move(created);
    return created.status();
  }
  absl::Status TryOpen() {
    store.reset();
    auto opened = RaftStore::Open(fs, kMetaDirectory, options, found);
    if (opened.ok()) store = *std::move(opened);
    return opened.status();
  }
  void Open() {
    const absl::Status opened = TryOpen();
    REQUIRE_MESSAGE(opened.ok(), opened.ToString());
  }
  // The entry of this index alone, in term `term` (which is stored if it is new).
  absl::Status Put(uint64_t index, uint64_t term, const std::string& data, uint64_t commit = 0) {
    std::optional<raft::HardState> hard_state;
    if (term > term_) hard_state = HardStateOf(term_ = term, 0);
    return store->Save(hard_state, Entries(index, term, {data}), raft::Index(commit));
  }
  // Data of the entries that opening found.
  std::vector<std::string> Found() const {
    std::vector<std::string> data;
    for (const raft::Entry& entry : found.raft.entries) data.push_back(entry.data);
    return data;
  }
  // Opening is refused with a text that names the file and says what to do.
  void CheckRefused(const std::string& path) {
    const absl::Status opened = TryOpen();
    CHECK_MESSAGE(absl::IsDataLoss(opened), opened.ToString());
    const std::string text(FromAbsl(opened.message()));
    CHECK_MESSAGE(text.find(path) != std::string::npos, text);
    CHECK_MESSAGE(text.find("move /data/meta away and start the broker again") != std::string::npos,
                  text);
  }
  bool HasWarning(std::string_view part) const {
    for (const std::string& warning : found.warnings) {
      if (warning.find(part) != std::string::npos) return true;
    }
    return false;
  }
  // Of all files in the directory.
  std::vector<std::string> Names() {
    const auto entries = fs.List(kMetaDirectory);
    REQUIRE(entries.ok());
    std::vector<std::string> names;
    for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
    return names;
  }
  // Turns one bit of the byte at `at`.
  void Damage(const std::string& path, uint64_t at) { fs.FlipBit(path, at, 3); }
  void Overwrite(const std::string& path, const std::string& bytes) {
    const auto file = fs.Open(path, OpenMode::kReplace);
    REQUIRE(file.ok());
    REQUIRE((*file)->WriteAt(FilePosition(0), bytes).ok());
    REQUIRE((*file)->Sync().ok());
    REQUIRE(fs.SyncDir(kMetaDirectory).ok());
  }

  const RaftStoreOptions options;
  SimFileSystem fs;
  std::unique_ptr<RaftStore> store;
  StoredRaft found;

 private:
  uint64_t term_ = 0;
};

}  // namespace bascule::raft_store
