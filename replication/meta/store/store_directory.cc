#include "replication/meta/store/store_directory.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/store/store_format.h"

namespace bascule::raft_store {
namespace {

constexpr size_t kBallastPieceBytes = size_t{64} << 10;

}  // namespace

absl::Status Unusable(const std::string& directory, const std::string& path,
                      std::string_view what) {
  return absl::DataLossError(
      Concat(path, " ", what, "; move ", directory,
             " away and start the broker again: it joins its cluster",
             " as a new member and fetches everything. A broker without a cluster needs ",
             directory, " back from a backup"));
}

absl::Status WrittenByNewer(const std::string& path) {
  return absl::FailedPreconditionError(
      Concat(path, " was written by a newer version of this program; install that version"));
}

absl::Status Failed(const absl::Status& status) {
  return absl::InternalError(
      Concat("the metadata store failed: ", FromAbsl(status.message()), "; restart the broker"));
}

StoreDirectory::StoreDirectory(FileSystem& fs, std::string path, uint64_t reserve_bytes,
                               uint64_t ballast_bytes)
    : fs_(fs),
      path_(std::move(path)),
      reserve_bytes_(reserve_bytes),
      ballast_bytes_(ballast_bytes) {
  // One that a crash left half made is made again.
  const auto file = fs_.Open(PathOf(kBallastName), OpenMode::kRead);
  if (!file.ok()) return;
  const absl::StatusOr<uint64_t> size = (*file)->Size();
  has_ballast_ = size.ok() && *size >= ballast_bytes_ && *size > 0;
}

absl::Status StoreDirectory::WriteTemporary(const std::string& path,
                                            const std::vector<std::string_view>& parts) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(path, OpenMode::kReplace));
  FilePosition at;
  for (const std::string_view part : parts) {
    RETURN_IF_ERROR(file->WriteAt(at, part));
    at += part.size();
  }
  return file->Sync();
}

absl::Status StoreDirectory::Publish(const std::string& name,
                                     const std::vector<std::string_view>& parts) {
  const std::string path = PathOf(name);
  const std::string temporary = path + ".tmp";
  RETURN_IF_ERROR(WithBallast([&] {
    absl::Status written = WriteTemporary(temporary, parts);
    if (written.ok()) written = fs_.Rename(temporary, path);
    // What cannot be removed either is overwritten by the next attempt.
    if (!written.ok()) fs_.Remove(temporary).IgnoreError();
    return written;
  }));
  const absl::Status synced = fs_.SyncDir(path_);
  return synced.ok() ? synced : Failed(synced);
}

absl::StatusOr<std::unique_ptr<File>> StoreDirectory::OpenForWriting(const std::string& name) {
  return fs_.Open(PathOf(name), OpenMode::kReadWrite);
}

absl::StatusOr<std::string> StoreDirectory::Read(const std::string& name) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(PathOf(name), OpenMode::kRead));
  return ReadWhole(*file, limits::kMaxRaftFileBytes);
}

absl::StatusOr<std::string> StoreDirectory::ReadBeginning(const std::string& name, size_t n) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(PathOf(name), OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::string bytes(std::min<uint64_t>(n, size), '\0');
  RETURN_IF_ERROR(ReadFully(*file, FilePosition(0), bytes.data(), bytes.size()));
  return bytes;
}

absl::StatusOr<std::vector<std::string>> StoreDirectory::Names() {
  ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, fs_.List(path_));
  std::vector<std::string> names;
  for (DirectoryEntry& entry : entries) {
    if (!entry.is_directory) names.push_back(std::move(entry.name));
  }
  return names;
}

absl::Status StoreDirectory::Remove(const std::string& name) {
  const absl::Status removed = fs_.Remove(PathOf(name));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

absl::Status StoreDirectory::RemoveDurably(const std::string& name) {
  RETURN_IF_ERROR(Remove(name));
  return fs_.SyncDir(path_);
}

absl::Status StoreDirectory::WithBallast(absl::FunctionRef<absl::Status()> write) {
  const absl::Status status = write();
  if (!absl::IsResourceExhausted(status) || !has_ballast_) return status;
  // Synced, because some file systems give the blocks back only then.
  has_ballast_ = false;
  const absl::Status removed = RemoveDurably(std::string(kBallastName));
  return removed.ok() ? write() : removed;
}

absl::Status StoreDirectory::WriteBallast() {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   fs_.Open(PathOf(kBallastName), OpenMode::kReplace));
  const std::string piece(kBallastPieceBytes, '\0');
  for (uint64_t at = 0; at < ballast_bytes_; at += piece.size()) {
    const std::string_view part(piece.data(),
                                std::min<uint64_t>(piece.size(), ballast_bytes_ - at));
    RETURN_IF_ERROR(file->WriteAt(FilePosition(at), part));
  }
  return file->Sync();  // else the blocks are a promise only
}

void StoreDirectory::MakeBallast() {
  if (has_ballast_ || ballast_bytes_ == 0 || !HasRoom(ballast_bytes_)) return;
  has_ballast_ = WriteBallast().ok();
  if (!has_ballast_) Remove(std::string(kBallastName)).IgnoreError();
}

bool StoreDirectory::HasRoom(uint64_t bytes) {
  const absl::StatusOr<DiskSpace> space = fs_.Space(path_);
  // Who cannot tell lets the write find out.
  return !space.ok() || space->available_bytes >= reserve_bytes_ + bytes;
}

}  // namespace bascule::raft_store
