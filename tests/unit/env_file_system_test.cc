#include "core/env/file_system.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "core/env/posix_error.h"
#include "tests/support/temp_dir.h"

namespace bascule {
namespace {

using absl::StatusCode;

std::unique_ptr<File> OpenOrDie(const std::string& path, OpenMode mode) {
  auto file = RealFileSystem().Open(path, mode);
  INFO(file.status().ToString());
  REQUIRE(file.ok());
  return std::move(*file);
}

bool Mentions(const absl::Status& status, const std::string& part) {
  return std::string(status.message()).find(part) != std::string::npos;
}

TEST_CASE("a file gives back what was written, at any position") {
  TempDir dir;
  const auto file = OpenOrDie(dir.Path("f"), OpenMode::kCreate);
  REQUIRE(file->WriteAt(FilePosition(0), "hello").ok());
  REQUIRE(file->WriteAt(FilePosition(8), "world").ok());
  REQUIRE(file->Sync().ok());
  CHECK(file->Size().value() == 13);
  CHECK(ReadWhole(*file, 13).value() == std::string("hello\0\0\0world", 13));

  char out[16];
  CHECK(file->ReadAt(FilePosition(8), out, sizeof(out)).value() == 5);
  CHECK(file->ReadAt(FilePosition(13), out, sizeof(out)).value() == 0);
  CHECK(file->ReadAt(FilePosition(99), out, sizeof(out)).value() == 0);

  REQUIRE(file->Truncate(4).ok());
  CHECK(ReadWhole(*file, 100).value() == "hell");
  CHECK(file->path() == dir.Path("f"));
}

TEST_CASE("a read that must not wait gives fresh bytes from memory or says Unavailable") {
  TempDir dir;
  const auto file = OpenOrDie(dir.Path("f"), OpenMode::kCreate);
  REQUIRE(file->WriteAt(FilePosition(0), "fresh").ok());
  char out[8];
  for (int i = 0; i < 2; ++i) {  // the second call takes the path remembered by the first
    const auto got = file->ReadAtNoWait(FilePosition(0), out, sizeof(out));
    if (got.ok()) {
      CHECK(std::string(out, *got) == "fresh");
      CHECK(file->ReadAtNoWait(FilePosition(5), out, sizeof(out)).value() == 0);
    } else {
      CHECK(got.status().code() == StatusCode::kUnavailable);
    }
  }
}

TEST_CASE("each mode opens what it says and nothing else") {
  TempDir dir;
  auto& fs = RealFileSystem();
  const std::string path = dir.Path("f");
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite}) {
    const absl::Status missing = fs.Open(path, mode).status();
    CHECK(missing.code() == StatusCode::kNotFound);
    CHECK(Mentions(missing, "open " + path + ": No such file"));
  }
  REQUIRE(OpenOrDie(path, OpenMode::kCreate)->WriteAt(FilePosition(0), "abc").ok());
  CHECK(fs.Open(path, OpenMode::kCreate).status().code() == StatusCode::kAlreadyExists);
  CHECK(OpenOrDie(path, OpenMode::kReadWrite)->Size().value() == 3);
  CHECK(OpenOrDie(path, OpenMode::kRead)->WriteAt(FilePosition(0), "x").code() ==
        StatusCode::kInternal);
  CHECK(OpenOrDie(path, OpenMode::kReplace)->Size().value() == 0);
}

TEST_CASE("a write that the system cuts short is an error that names the file") {
  TempDir dir;
  const auto file = OpenOrDie(dir.Path("f"), OpenMode::kCreate);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const absl::Status status = file->WriteAt(FilePosition(0), std::string(3000, 'x'));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old_handler);
  CHECK(status.code() == StatusCode::kInternal);
  CHECK(Mentions(status, "write " + dir.Path("f")));
  CHECK(file->Size().value() == 1000);
}

TEST_CASE("a full disk is ResourceExhausted") {
  const absl::Status status = internal::ErrnoStatus(ENOSPC, "write", "/x");
  CHECK(status.code() == StatusCode::kResourceExhausted);
  CHECK(Mentions(status, "write /x: No space left"));
}

TEST_CASE("what is no regular file is refused by name, and nobody waits for it") {
  TempDir dir;
  REQUIRE(mkfifo(dir.Path("pipe").c_str(), 0600) == 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  dir.Path("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(bind(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(RealFileSystem().CreateDirectories(dir.Path("folder")).ok());
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kReplace}) {
    for (const auto& [path, name] :
         std::vector<std::pair<std::string, std::string>>{{dir.Path("pipe"), "a named pipe"},
                                                          {dir.Path("socket"), "a socket"},
                                                          {dir.Path("folder"), "a directory"},
                                                          {"/dev/null", "a device"}}) {
      CAPTURE(path);
      const absl::Status status = RealFileSystem().Open(path, mode).status();
      CHECK(status.code() == StatusCode::kFailedPrecondition);
      CHECK(Mentions(status, "open " + path + ": it is " + name + " and no regular file"));
    }
  }
  close(socket_fd);
}

TEST_CASE("an exceeded quota is a full disk, a broken one is not") {
  for (const int full : {ENOSPC, EDQUOT})
    CHECK(internal::ErrnoStatus(full, "write", "/x").code() == StatusCode::kResourceExhausted);
  for (const int broken : {EIO, EROFS, EFBIG, EBADF})
    CHECK(internal::ErrnoStatus(broken, "write", "/x").code() != StatusCode::kResourceExhausted);
}

TEST_CASE(
    "reading exactly n bytes says DataLoss where the file ends, and the whole file respects its "
    "limit") {
  TempDir dir;
  const auto file = OpenOrDie(dir.Path("f"), OpenMode::kCreate);
  REQUIRE(file->WriteAt(FilePosition(0), "12345").ok());
  char out[8];
  CHECK(ReadFully(*file, FilePosition(1), out, 4).ok());
  CHECK(std::string(out, 4) == "2345");
  const absl::Status short_file = ReadFully(*file, FilePosition(1), out, 5);
  CHECK(short_file.code() == StatusCode::kDataLoss);
  CHECK(Mentions(short_file, dir.Path("f") + ": ends at 5"));
  CHECK(ReadWhole(*file, 4).status().code() == StatusCode::kResourceExhausted);
}

TEST_CASE(
    "directories are created with their parents, listed in order, removed with all they hold") {
  TempDir dir;
  auto& fs = RealFileSystem();
  REQUIRE(fs.CreateDirectories(dir.Path("a/b/c")).ok());
  REQUIRE(fs.CreateDirectories(dir.Path("a/b/c/")).ok());
  REQUIRE(WriteFileAtomically(fs, dir.Path("a/z"), "1").ok());
  REQUIRE(WriteFileAtomically(fs, dir.Path("a/b/x"), "2").ok());
  const auto entries = fs.List(dir.Path("a"));
  REQUIRE(entries.ok());
  REQUIRE(entries->size() == 2);
  CHECK((*entries)[0].name == "b");
  CHECK((*entries)[0].is_directory);
  CHECK((*entries)[1].name == "z");
  CHECK_FALSE((*entries)[1].is_directory);

  CHECK(fs.CreateDirectories(dir.Path("a/z/below")).code() == StatusCode::kInternal);
  CHECK(fs.SyncDir(dir.Path("a")).ok());
  CHECK(fs.RemoveTree(dir.Path("a")).ok());
  CHECK_FALSE(fs.Exists(dir.Path("a")));
  CHECK(fs.RemoveTree(dir.Path("a")).ok());
  CHECK(fs.List(dir.Path("a")).status().code() == StatusCode::kNotFound);
  CHECK(fs.SyncDir(dir.Path("a")).code() == StatusCode::kNotFound);
}

TEST_CASE("rename replaces, remove removes, both name what they miss") {
  TempDir dir;
  auto& fs = RealFileSystem();
  REQUIRE(WriteFileAtomically(fs, dir.Path("a"), "new").ok());
  REQUIRE(WriteFileAtomically(fs, dir.Path("b"), "old").ok());
  REQUIRE(fs.Rename(dir.Path("a"), dir.Path("b")).ok());
  CHECK_FALSE(fs.Exists(dir.Path("a")));
  CHECK(ReadWhole(*OpenOrDie(dir.Path("b"), OpenMode::kRead), 10).value() == "new");
  const absl::Status renamed = fs.Rename(dir.Path("a"), dir.Path("b"));
  CHECK(renamed.code() == StatusCode::kNotFound);
  CHECK(Mentions(renamed, dir.Path("a") + " to " + dir.Path("b")));
  REQUIRE(fs.Remove(dir.Path("b")).ok());
  CHECK(fs.Remove(dir.Path("b")).code() == StatusCode::kNotFound);
}

TEST_CASE("an atomic write leaves no temporary file, also when it fails") {
  TempDir dir;
  auto& fs = RealFileSystem();
  REQUIRE(WriteFileAtomically(fs, dir.Path("f"), "one").ok());
  REQUIRE(WriteFileAtomically(fs, dir.Path("f"), "two").ok());
  CHECK(ReadWhole(*OpenOrDie(dir.Path("f"), OpenMode::kRead), 10).value() == "two");
  REQUIRE(fs.CreateDirectories(dir.Path("d")).ok());
  CHECK_FALSE(WriteFileAtomically(fs, dir.Path("d"), "x").ok());
  CHECK(fs.List(dir.path())->size() == 2);
}

TEST_CASE("a private file is its owner's alone, also where another one was") {
  TempDir dir;
  auto& fs = RealFileSystem();
  REQUIRE(WriteFileAtomically(fs, dir.Path("f.tmp"), "left over, for the group too").ok());
  REQUIRE(WriteFileAtomically(fs, dir.Path("f"), "x", OpenMode::kReplacePrivate).ok());
  struct stat file {};
  REQUIRE(stat(dir.Path("f").c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);
}

TEST_CASE("a lock is held by one, until its object goes") {
  TempDir dir;
  auto& fs = RealFileSystem();
  auto first = fs.Lock(dir.Path("LOCK"));
  REQUIRE(first.ok());
  const absl::Status second = fs.Lock(dir.Path("LOCK")).status();
  CHECK(second.code() == StatusCode::kFailedPrecondition);
  CHECK(Mentions(second, dir.Path("LOCK")));
  first->reset();
  CHECK(fs.Lock(dir.Path("LOCK")).ok());
  CHECK(fs.Lock(dir.Path("none/LOCK")).status().code() == StatusCode::kNotFound);
}

TEST_CASE("a file that loses its name says so, however it lost it") {
  TempDir dir;
  auto& fs = RealFileSystem();
  const std::string path = dir.Path("d/f");
  const auto make = [&] {
    REQUIRE(fs.CreateDirectories(dir.Path("d")).ok());
    auto file = fs.Open(path, OpenMode::kReplace);
    REQUIRE(file.ok());
    CHECK((*file)->CheckInPlace().ok());
    return *std::move(file);
  };
  auto removed = make();
  REQUIRE(fs.Remove(path).ok());
  CHECK(absl::IsNotFound(removed->CheckInPlace()));
  auto replaced = make();
  CHECK(absl::IsNotFound(removed->CheckInPlace()));  // another one has its name
  REQUIRE(fs.Rename(path, dir.Path("d/g")).ok());
  CHECK(absl::IsNotFound(replaced->CheckInPlace()));
  auto moved = make();
  REQUIRE(fs.Rename(dir.Path("d"), dir.Path("e")).ok());
  CHECK(absl::IsNotFound(moved->CheckInPlace()));
  REQUIRE(fs.Rename(dir.Path("e"), dir.Path("d")).ok());
  CHECK(moved->CheckInPlace().ok());
  REQUIRE(fs.RemoveTree(dir.Path("d")).ok());
  CHECK(absl::IsNotFound(moved->CheckInPlace()));
}

TEST_CASE("space") {
  TempDir dir;
  auto& fs = RealFileSystem();
  const auto space = fs.Space(dir.path());
  REQUIRE(space.ok());
  CHECK(space->total_bytes > 0);
  CHECK(space->available_bytes <= space->total_bytes);
  CHECK(fs.Space(dir.Path("none")).status().code() == StatusCode::kNotFound);
}

TEST_CASE("paths join and have parents") {
  CHECK(JoinPath("a", "b") == "a/b");
  CHECK(JoinPath("a/", "b") == "a/b");
  CHECK(JoinPath("", "b") == "b");
  CHECK(JoinPath("/", "b") == "/b");
  CHECK(ParentPath("a/b") == "a");
  CHECK(ParentPath("a/b/") == "a");
  CHECK(ParentPath("a//b") == "a");
  CHECK(ParentPath("a") == ".");
  CHECK(ParentPath("/a") == "/");
  CHECK(ParentPath("/") == "/");
}

}  // namespace
}  // namespace bascule
