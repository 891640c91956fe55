// A disk that can be crashed. What the real one may do, this one does on request, and the same
// again for the same seed.
//
// Two things are kept of every file and directory: what processes see, and what a sync has made
// durable. Crash() throws the difference away, or lets an unlucky part of it survive; Kill() ends
// only the process, so that the difference stays.
//
//   SimFileSystem fs(seed);
//   ... the product runs on fs ...
//   fs.faults().PowerOffAfter(17);        // or FailAfter(3, kSync, absl::StatusCode::kInternal)
//   ... until its calls fail ...
//   fs.Crash(rng);                        // handles and locks of before are dead
//   ... the product opens its files again; check what it finds ...
//
// One thread. Must outlive its files and locks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/env/file_system.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_directory.h"
#include "tests/support/sim_faults.h"
#include "tests/support/sim_rng.h"

namespace bascule {

struct SimCrash {
  UnsyncedFate unsynced = UnsyncedFate::kAny;
  EntryFate entries = EntryFate::kSome;
};

class SimFileSystem final : public FileSystem {
 public:
  explicit SimFileSystem(uint64_t seed, uint64_t capacity_bytes = uint64_t{1} << 40)
      : rng_(seed), capacity_bytes_(capacity_bytes) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status SyncDir(const std::string& path) override;
  absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) override;
  bool Exists(const std::string& path) override;
  absl::StatusOr<DiskSpace> Space(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

  // The machine dies and comes back, power on; planned faults stay planned.
  void Crash(Rng& rng, SimCrash crash = {});
  // The process dies: what it wrote stays in the page cache, unsynced.
  void Kill();

  // Plans, rates and counters.
  SimFaults& faults() { return faults_; }
  // Bytes of all files together; may fall below what is used (then nothing can be written).
  void SetCapacity(uint64_t bytes) { capacity_bytes_ = bytes; }
  // Called inside each File::Sync, after it has decided which bytes it covers and before they are
  // durable: the place to let time pass (`clock.Advance`), to write more, or to crash in the
  // middle. nullptr: no call.
  void OnSync(std::function<void(const std::string& path)> hook) { on_sync_ = std::move(hook); }

  // --- damage and inspection; `path` names an existing file ---
  // Turns bit `bit` (0-7) of the byte at `position`, on the disk and for readers.
  void FlipBit(const std::string& path, uint64_t position, int bit);
  // Cuts (or zero-extends) the file behind everybody's back, durably.
  void TruncateDurably(const std::string& path, uint64_t size);
  // What readers see, and what a Crash with kLost would leave of the bytes.
  std::string VisibleBytes(const std::string& path) const;
  std::string DurableBytes(const std::string& path) const;
  // Whether a Crash with kLost would change what readers see of this file (its name apart).
  bool HasUnsyncedBytes(const std::string& path) const;

 private:
  friend class SimFile;
  friend class SimFileLock;
  absl::Status Write(const std::string& path, SimNode& node, uint64_t position,
                     std::string_view data);
  absl::Status Sync(const std::string& path, SimNode& node, uint64_t process);
  absl::Status Truncate(const std::string& path, SimNode& node, uint64_t size);
  absl::StatusOr<size_t> Read(const std::string& path, SimNode& node, uint64_t position, char* out,
                              size_t n);
  uint64_t AvailableBytes() const;
  void CountSize(const SimNode& node, uint64_t size_before);
  void CountGone(uint64_t bytes);
  SimNode& ExistingFile(const std::string& path) const;

  SimRng rng_;
  uint64_t capacity_bytes_;
  uint64_t used_bytes_ = 0;
  SimTree tree_;
  SimFaults faults_;
  std::function<void(const std::string& path)> on_sync_;
  uint64_t process_ = 1;  // handles and locks remember theirs; those of another process are dead
  std::map<const SimNode*, SimNodePtr> locked_;
};

}  // namespace bascule
