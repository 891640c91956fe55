#include "core/env/posix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/env/posix_error.h"

namespace bascule::internal {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kPrivateFileMode = 0600;
// What the kernel can count; past it positions are negative, and so somebody's mistake.
constexpr auto kMaxPosition = static_cast<uint64_t>(std::numeric_limits<off_t>::max());

// How a read that must not wait is done on the file system that holds the file.
enum class NoWait {
  kKernelDecides,  // preadv2(RWF_NOWAIT)
  kAlwaysMemory,   // the file system has no disk
  kNever,          // nobody can tell what is in memory: every read counts as a disk read
};

// Which file of the machine it is.
struct FileId {
  uint64_t inode = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  bool operator==(const FileId&) const = default;
};

// Of what `path` leads to, or of the open file when it is empty; an errno on failure. Not by stat(),
// which also asks for the times: a kernel whose times are fine where somebody looks at them (ext4,
// XFS and Btrfs since Linux 6.13) then gives the next write a time of its own, and the inode with it
// to the journal, which makes every write that is followed by a look dearer.
int ReadFileId(int fd, const char* path, FileId& out, mode_t* type = nullptr) {
  struct statx file {};
  const int flags = *path == '\0' ? AT_EMPTY_PATH : 0;
  if (statx(fd, path, flags, STATX_INO | STATX_TYPE, &file) != 0) return errno;
  out = FileId{file.stx_ino, file.stx_dev_major, file.stx_dev_minor};
  if (type != nullptr) *type = file.stx_mode & S_IFMT;
  return 0;
}

const char* NameOf(mode_t type) {
  switch (type) {
    case S_IFDIR:
      return "a directory";
    case S_IFIFO:
      return "a named pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "a device";
  }
}

// What stands in the place of a file: nothing is read from it, and nothing is waited for.
absl::Status NoRegularFile(const std::string& path, mode_t type) {
  return absl::FailedPreconditionError(
      absl::StrCat("open ", path, ": it is ", NameOf(type), " and no regular file; move it away"));
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override {
    // What must survive was synced before; a failing close can only be told, and the descriptor is
    // gone all the same.
    if (close(fd_) != 0) LogWarning(ErrnoStatus(errno, "close", path_).message());
  }

  absl::Status WriteAt(FilePosition position, std::string_view data) override;
  absl::StatusOr<size_t> ReadAt(FilePosition position, char* out, size_t n) override;
  absl::StatusOr<size_t> ReadAtNoWait(FilePosition position, char* out, size_t n) override;
  absl::Status Sync() override;
  absl::Status Truncate(uint64_t size) override;
  absl::StatusOr<uint64_t> Size() override;
  absl::Status CheckInPlace() override;
  const std::string& path() const override { return path_; }
  // Before anything else is asked. An errno on failure.
  int Identify(mode_t& type) { return ReadFileId(fd_, "", id_, &type); }

 private:
  absl::Status Error(int error, const char* operation) const {
    return ErrnoStatus(error, operation, path_);
  }
  NoWait FallBack() const;

  const int fd_;
  const std::string path_;
  FileId id_;  // nobody else's while it is open
  std::atomic<NoWait> no_wait_{NoWait::kKernelDecides};
};

absl::Status PosixFile::WriteAt(FilePosition position, std::string_view data) {
  uint64_t at = position.value();
  BASCULE_CHECK_LE(at, kMaxPosition - data.size());
  while (!data.empty()) {
    const ssize_t written = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(at));
    if (written < 0) {
      if (errno == EINTR) continue;
      return Error(errno, "write");
    }
    // The kernel gives no reason for a write of nothing; going on could spin forever.
    if (written == 0) return Error(EIO, "write");
    data.remove_prefix(static_cast<size_t>(written));
    at += static_cast<uint64_t>(written);
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> PosixFile::ReadAt(FilePosition position, char* out, size_t n) {
  while (true) {
    const ssize_t got = pread(fd_, out, n, static_cast<off_t>(position.value()));
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return Error(errno, "read");
  }
}

NoWait PosixFile::FallBack() const {
  struct statfs file_system {};
  if (fstatfs(fd_, &file_system) != 0) return NoWait::kNever;
  const bool in_memory = file_system.f_type == TMPFS_MAGIC || file_system.f_type == RAMFS_MAGIC;
  return in_memory ? NoWait::kAlwaysMemory : NoWait::kNever;
}

absl::StatusOr<size_t> PosixFile::ReadAtNoWait(FilePosition position, char* out, size_t n) {
  while (true) {
    switch (no_wait_.load(std::memory_order_relaxed)) {
      case NoWait::kAlwaysMemory:
        return ReadAt(position, out, n);
      case NoWait::kNever:
        return absl::UnavailableError(
            absl::StrCat("read ", path_, ": its file system cannot read without waiting"));
      case NoWait::kKernelDecides:
        break;
    }
    iovec target{out, n};
    const ssize_t got = preadv2(fd_, &target, 1, static_cast<off_t>(position.value()), RWF_NOWAIT);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EAGAIN)
      return absl::UnavailableError(absl::StrCat("read ", path_, ": not in memory"));
    // Kernels and file systems without the flag answer in these two ways; asked once per file.
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
      no_wait_.store(FallBack(), std::memory_order_relaxed);
    } else if (errno != EINTR) {
      return Error(errno, "read");
    }
  }
}

absl::Status PosixFile::Sync() {
  // Not repeated on any error, EINTR included: only the first answer says what became of the pages.
  if (fdatasync(fd_) != 0) return Error(errno, "sync");
  return absl::OkStatus();
}

absl::Status PosixFile::Truncate(uint64_t size) {
  BASCULE_CHECK_LE(size, kMaxPosition);
  while (ftruncate(fd_, static_cast<off_t>(size)) != 0) {
    if (errno != EINTR) return Error(errno, "truncate");
  }
  return absl::OkStatus();
}

absl::Status PosixFile::CheckInPlace() {
  FileId there;
  if (const int error = ReadFileId(AT_FDCWD, path_.c_str(), there); error != 0)
    return Error(error, "look for");
  if (there == id_) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("look for ", path_, ": another file has its name"));
}

absl::StatusOr<uint64_t> PosixFile::Size() {
  struct stat file {};
  if (fstat(fd_, &file) != 0) return Error(errno, "stat");
  return static_cast<uint64_t>(file.st_size);
}

int FlagsOf(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kReplace:
    case OpenMode::kReplacePrivate:
      return O_RDWR | O_CREAT | O_TRUNC;
  }
  CheckFailed(__FILE__, __LINE__, "a known OpenMode", "");
}

// A socket, and a directory or device that cannot be opened so, are named for what they are.
absl::Status OpenFailed(int error, const std::string& path) {
  FileId id;
  mode_t type;
  const bool other = error == ENXIO || error == EISDIR || error == ENODEV;
  if (other && ReadFileId(AT_FDCWD, path.c_str(), id, &type) == 0 && type != S_IFREG)
    return NoRegularFile(path, type);
  return ErrnoStatus(error, "open", path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<File>> OpenPosixFile(const std::string& path, OpenMode mode) {
  const bool is_private = mode == OpenMode::kReplacePrivate;
  int fd;
  do {
    // Without O_NONBLOCK a named pipe is opened when somebody opens its other end.
    fd = open(path.c_str(), FlagsOf(mode) | O_CLOEXEC | O_NONBLOCK,
              is_private ? kPrivateFileMode : kFileMode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return OpenFailed(errno, path);
  auto file = std::make_unique<PosixFile>(fd, path);
  mode_t type;
  if (const int error = file->Identify(type); error != 0)
    return ErrnoStatus(error, "look at", path);
  if (type != S_IFREG) return NoRegularFile(path, type);
  // One that was there keeps its mode otherwise.
  if (is_private && fchmod(fd, kPrivateFileMode) != 0)
    return ErrnoStatus(errno, "set the mode of", path);
  return file;
}

}  // namespace bascule::internal
