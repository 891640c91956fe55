#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/directory.hpp>
#include <boost/filesystem/operations.hpp>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/env/file_system.h"
#include "core/env/posix_error.h"
#include "core/env/posix_file.h"

namespace bascule {
namespace {

namespace bfs = boost::filesystem;
using boost::system::error_code;
using internal::ErrnoStatus;

// A descriptor that is only held, never written through.
class Descriptor {
 public:
  Descriptor(const char* path, int flags, mode_t mode) {
    do {
      fd_ = open(path, flags | O_CLOEXEC, mode);
    } while (fd_ < 0 && errno == EINTR);
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Descriptor held) : held_(std::move(held)) {}

 private:
  Descriptor held_;
};

// Boost's calls report through error codes, but what they allocate may throw, and so may its
// iterators.
template <typename Call>
auto Guarded(const char* operation, const std::string& path, Call call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(operation, " ", path, ": ", error.what()));
  }
}

absl::Status CreateMissing(FileSystem& fs, const std::string& path) {
  error_code error;
  const bfs::file_status status = bfs::status(path, error);
  if (bfs::is_directory(status)) return absl::OkStatus();
  if (bfs::exists(status)) return ErrnoStatus(ENOTDIR, "create directory", path);
  if (status.type() == bfs::status_error)
    return ErrnoStatus(error.value(), "create directory", path);
  const std::string parent = ParentPath(path);
  RETURN_IF_ERROR(CreateMissing(fs, parent));
  bfs::create_directory(path, error);  // one that another thread made meanwhile is no error
  if (error) return ErrnoStatus(error.value(), "create directory", path);
  const absl::Status durable = fs.SyncDir(parent);
  // A failed sync may have dropped the entry: taken back, so that whoever tries again makes it anew.
  if (!durable.ok()) bfs::remove(path, error);
  return durable;
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    return internal::OpenPosixFile(path, mode);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "rename", absl::StrCat(from, " to ", to));
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "remove", path);
  }

  absl::Status RemoveTree(const std::string& path) override {
    return Guarded("remove directory", path, [&]() -> absl::Status {
      error_code error;
      bfs::remove_all(path, error);
      if (error && error.value() != ENOENT)
        return ErrnoStatus(error.value(), "remove directory", path);
      return absl::OkStatus();
    });
  }

  absl::Status CreateDirectories(const std::string& path) override {
    return Guarded("create directory", path, [&] { return CreateMissing(*this, path); });
  }

  absl::Status SyncDir(const std::string& path) override {
    const Descriptor directory(path.c_str(), O_RDONLY | O_DIRECTORY, 0);
    if (directory.fd() < 0) return ErrnoStatus(errno, "open directory", path);
    if (fsync(directory.fd()) != 0) return ErrnoStatus(errno, "sync directory", path);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return Guarded("list", path, [&]() -> absl::StatusOr<std::vector<DirectoryEntry>> {
      error_code error;
      std::vector<DirectoryEntry> entries;
      bfs::directory_iterator it(path, error);
      for (; !error && it != bfs::directory_iterator(); it.increment(error)) {
        error_code gone;  // an entry removed meanwhile is listed as a file; opening it will tell
        entries.push_back({it->path().filename().string(), bfs::is_directory(it->status(gone))});
      }
      if (error) return ErrnoStatus(error.value(), "list", path);
      std::sort(entries.begin(), entries.end(),
                [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
      return entries;
    });
  }

  bool Exists(const std::string& path) override { return access(path.c_str(), F_OK) == 0; }

  absl::StatusOr<DiskSpace> Space(const std::string& path) override {
    struct statvfs disk {};
    if (statvfs(path.c_str(), &disk) != 0) return ErrnoStatus(errno, "read free space of", path);
    return DiskSpace{uint64_t{disk.f_bavail} * disk.f_frsize,
                     uint64_t{disk.f_blocks} * disk.f_frsize};
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Descriptor file(path.c_str(), O_RDWR | O_CREAT, 0640);
    if (file.fd() < 0) return ErrnoStatus(errno, "open lock", path);
    while (flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "lock", path);
      return absl::FailedPreconditionError(
          absl::StrCat("lock ", path, ": another process holds it; stop that process first"));
    }
    return std::make_unique<PosixFileLock>(std::move(file));
  }
};

}  // namespace

FileSystem& RealFileSystem() {
  static PosixFileSystem fs;
  return fs;
}

}  // namespace bascule
