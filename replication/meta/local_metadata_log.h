// A metadata log in local files: one broker's. Commands are checksummed records, synced in groups;
// past a number of them a snapshot replaces the log. Layout in FORMAT.md beside it.
//
// What a crash may leave: a torn tail (cut: nobody was answered; of a group that was written but
// not synced any part may be there), a snapshot written but the log not yet emptied (records up to
// the snapshot's index are skipped), temporary files (overwritten). A bad record that a later one
// says was durable, or a bad snapshot, is damage: Open refuses, with a text that says what to do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/env/executor.h"
#include "core/env/file_system.h"
#include "replication/meta/metadata_log.h"

namespace bascule {

class LocalMetadataLog final : public MetadataLog {
 public:
  // Commands after which a snapshot is taken.
  static constexpr uint64_t kSnapshotEvery = 4096;

  // Restores `state` from `directory` (created when missing). Blocks; before the metadata thread
  // serves anything.
  static absl::StatusOr<std::unique_ptr<LocalMetadataLog>> Open(FileSystem& fs, Executor& home,
                                                                std::string directory,
                                                                MetadataState& state);

  void Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) override;
  void ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) override;
  std::string degraded() const override { return degraded_; }
  MetadataIndex applied() const { return applied_; }

 private:
  struct Proposal {
    std::string command;
    absl::AnyInvocable<void(absl::Status)> done;
  };
  LocalMetadataLog(FileSystem& fs, Executor& home, std::string directory, MetadataState& state);
  absl::Status LoadSnapshot();
  absl::Status LoadRecords();
  absl::Status ApplyRecords(std::string_view bytes);
  absl::Status OpenEmptyLog();
  void WriteQueued();
  absl::Status Write(std::string_view records);
  bool OldLogStands();
  void TakeSnapshot();

  FileSystem& fs_;
  Executor& home_;
  const std::string directory_;
  MetadataState& state_;
  std::unique_ptr<File> file_;
  FilePosition end_;
  MetadataIndex applied_;
  MetadataIndex snapshot_index_;
  std::vector<Proposal> queue_;
  std::string degraded_;
};

}  // namespace bascule
