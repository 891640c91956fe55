// The files of one store: made under a temporary name and renamed when they are on the disk; read
// whole; and the room that is kept for them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/status.h"
#include "core/env/file_system.h"

namespace bascule::raft_store {

// Damage that cannot be healed. `what` begins with a verb: "is damaged at byte 12".
absl::Status Unusable(const std::string& directory, const std::string& path, std::string_view what);
absl::Status WrittenByNewer(const std::string& path);
// A write or sync failed: what the disk holds is only known after the next opening. Never
// ResourceExhausted, whatever `status` says.
absl::Status Failed(const absl::Status& status);

// One thread.
class StoreDirectory {
 public:
  // `ballast_bytes` 0: none is kept.
  StoreDirectory(FileSystem& fs, std::string path, uint64_t reserve_bytes, uint64_t ballast_bytes);

  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view name) const { return JoinPath(path_, name); }

  // A file of these parts, one after the other, in the place of what has the name.
  // ResourceExhausted: no room, even without the ballast; nothing has changed. Anything else: a
  // crash decides whether it is the old file or the new one.
  absl::Status Publish(const std::string& name, const std::vector<std::string_view>& parts);
  absl::StatusOr<std::unique_ptr<File>> OpenForWriting(const std::string& name);
  absl::StatusOr<std::string> Read(const std::string& name);
  // The first `n` bytes, or all if there are fewer.
  absl::StatusOr<std::string> ReadBeginning(const std::string& name, size_t n);
  absl::StatusOr<std::vector<std::string>> Names();
  // OK when there is none. Not durable: leftovers of a crash are known as such.
  absl::Status Remove(const std::string& name);
  // Durable, so that a crash does not bring the file back.
  absl::Status RemoveDurably(const std::string& name);

  // Calls `write`, and once more without the ballast when there was no room with it.
  absl::Status WithBallast(absl::FunctionRef<absl::Status()> write);
  // Makes the ballast again when it is gone and there is room for it above the reserve. Failing is
  // no error: it is tried again later.
  void MakeBallast();
  uint64_t ballast_bytes() const { return has_ballast_ ? ballast_bytes_ : 0; }
  // Whether `bytes` more leave the reserve free.
  bool HasRoom(uint64_t bytes);

 private:
  absl::Status WriteTemporary(const std::string& path, const std::vector<std::string_view>& parts);
  absl::Status WriteBallast();

  FileSystem& fs_;
  const std::string path_;
  const uint64_t reserve_bytes_;
  const uint64_t ballast_bytes_;
  bool has_ballast_ = false;
};

}  // namespace bascule::raft_store
