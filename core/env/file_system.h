// The disk as an interface. Each call says what survives a crash. Two implementations: POSIX, and a
// simulated disk in tests/support that loses, tears and corrupts on request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

// An open file. Reads and Sync: any thread, at any time. WriteAt and Truncate: one thread at a time
// over overlapping bytes (distinct ranges may be written at once). Errors carry the path and the
// system's text; ENOSPC is ResourceExhausted, a missing file NotFound, everything else Internal
// (I/O errors) or FailedPrecondition.
class File {
 public:
  virtual ~File() = default;
  // Writes all of `data`, extending the file when needed. At once visible to readers; survives a
  // crash of the process, not of the machine. On error any part may have been written.
  virtual absl::Status WriteAt(FilePosition position, std::string_view data) = 0;
  // Reads up to `n` bytes; may return fewer than asked, 0 only at the end of the file.
  virtual absl::StatusOr<size_t> ReadAt(FilePosition position, char* out, size_t n) = 0;
  // The same from memory only: Unavailable when a byte at `position` would have to come from the
  // disk.
  virtual absl::StatusOr<size_t> ReadAtNoWait(FilePosition position, char* out, size_t n) = 0;
  // When it returns OK, all bytes written before the call and the file's size survive a machine
  // crash (its directory entry needs SyncDir). After an error the state of unsynced bytes is
  // unknown; calling again proves nothing.
  virtual absl::Status Sync() = 0;
  // Durable after Sync.
  virtual absl::Status Truncate(uint64_t size) = 0;
  virtual absl::StatusOr<uint64_t> Size() = 0;
  // OK when path() still leads to this file; NotFound when it was removed, renamed or replaced, so
  // that what is written here is lost with the last descriptor.
  virtual absl::Status CheckInPlace() = 0;
  virtual const std::string& path() const = 0;
};

// Reads exactly `n` bytes; DataLoss naming the file when it ends before.
absl::Status ReadFully(File& file, FilePosition position, char* out, size_t n);
// The whole file; ResourceExhausted when it is larger than `limit`.
absl::StatusOr<std::string> ReadWhole(File& file, size_t limit);

enum class OpenMode {
  kRead,            // must exist
  kReadWrite,       // must exist
  kCreate,          // must not exist
  kReplace,         // created or emptied
  kReplacePrivate,  // the same, and only the owner may read and write it, before anything is in it
};

struct DirectoryEntry {
  std::string name;
  bool is_directory;
};

struct DiskSpace {
  uint64_t available_bytes;  // to an unprivileged process
  uint64_t total_bytes;
};

// Held as long as the object lives; released by the system when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Any thread.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  // Atomic; survives a crash after SyncDir of the target's directory.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // A directory with all it holds; OK when absent.
  virtual absl::Status RemoveTree(const std::string& path) = 0;
  // Creates missing parents too and makes the new entries durable.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // Entries created, renamed or removed in `path` before the call survive a machine crash.
  virtual absl::Status SyncDir(const std::string& path) = 0;
  // Sorted by name.
  virtual absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  virtual absl::StatusOr<DiskSpace> Space(const std::string& path) = 0;
  // FailedPrecondition when another process (or an open lock of this one) holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// Replaces `path` by a file of `contents` so that a crash leaves the old or the new one, whole, and
// after OK the new one. `mode`: kReplace or kReplacePrivate.
absl::Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view contents,
                                 OpenMode mode = OpenMode::kReplace);

std::string JoinPath(std::string_view directory, std::string_view name);
std::string ParentPath(std::string_view path);

// The machine's disks; lives as long as the process.
FileSystem& RealFileSystem();

}  // namespace bascule
