// The tree of the simulated disk, twice: the names processes see and the names the disk holds, with
// what is pending between the two per directory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/env/rng.h"
#include "tests/support/sim_content.h"

namespace bascule {

struct SimNode;
using SimNodePtr = std::shared_ptr<SimNode>;

// What a machine crash leaves of the directory changes that no SyncDir covered.
enum class EntryFate {
  kLost,  // none
  kSome,  // of each directory the first few, as its journal was written
  kKept,  // all
};

// A change of one directory's names, or two names of it at once (a rename inside the directory).
struct SimEntryChange {
  std::string name;
  SimNodePtr target;     // null: the name goes away
  std::string old_name;  // of a rename inside the directory: goes away in the same instant
  // A rename between directories is two changes. The old name never goes away on disk before the
  // new one is there (the file would be gone); whoever synced only the new directory may find both.
  SimNodePtr moved;               // on the change that takes the old name away: what moved
  std::shared_ptr<bool> on_disk;  // on both: whether the new name has reached the disk
};

struct SimNode {
  explicit SimNode(bool directory) : is_directory(directory) {}

  const bool is_directory;
  bool linked = true;  // has a name that processes see
  SimContent content;  // of a file
  // Of a directory:
  std::map<std::string, SimNodePtr> entries;  // what processes see
  std::map<std::string, SimNodePtr> durable_entries;
  std::vector<SimEntryChange> pending;
};

class SimTree {
 public:
  SimTree() : root_(std::make_shared<SimNode>(true)) {}

  // Null when absent. Paths are split at '/'; empty parts and "." do not count.
  SimNodePtr Find(const std::string& path) const;
  // The directory that holds (or would hold) `path` and the last part in `*name`; null when there
  // is none.
  SimNodePtr FindParent(const std::string& path, std::string* name) const;

  static void Link(SimNode& directory, const std::string& name, SimNodePtr target);
  static void Unlink(SimNode& directory, const std::string& name);
  static void Move(SimNode& from, const std::string& old_name, SimNode& to,
                   const std::string& new_name);
  // The new directory is durable at once.
  static SimNodePtr MakeDirectory(SimNode& parent, const std::string& name);
  // Unlinks everything below `directory`, depth first.
  static void UnlinkAll(SimNode& directory);

  static void SyncDirectory(SimNode& directory);
  // A random first part reached the disk; the rest never will, though processes go on seeing it.
  static void FailSyncDirectory(SimNode& directory, Rng& rng);
  void Crash(EntryFate entries, UnsyncedFate unsynced, Rng& rng);

  // Bytes of all files that processes see.
  uint64_t UsedBytes() const;
  static uint64_t UsedBytes(const SimNode& node);

 private:
  SimNodePtr root_;
};

}  // namespace bascule
