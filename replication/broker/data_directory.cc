#include "replication/broker/data_directory.h"

#include "absl/strings/numbers.h"
#include "core/base/crc32c.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::broker {
namespace {

constexpr int kVersion = 1;
constexpr int kIdLength =
    8;  // clients fetch every stream's metadata, ids included: short ones keep that small
constexpr size_t kMaxFileBytes = 4096;

absl::Status CheckVersion(FileSystem& fs, const std::string& directory) {
  const std::string path = JoinPath(directory, "VERSION");
  const auto file = fs.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return WriteFileAtomically(fs, path, Concat(kVersion, "\n"));
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const std::string text, ReadWhole(**file, kMaxFileBytes));
  int version = 0;
  if (!absl::SimpleAtoi(text, &version)) {
    return absl::DataLossError(
        Concat(path, " is damaged: write the number ", kVersion, " into it"));
  }
  if (version > kVersion) {
    return absl::FailedPreconditionError(Concat(directory, " has format ", version,
                                                ", this program knows up to ", kVersion,
                                                "; start the newer program that wrote it"));
  }
  return absl::OkStatus();
}

// Only the operator can know the id again; a new one would be another broker, with this one's data.
constexpr char kItsId[] =
    "the id that this broker had (its log and `bascule cluster status` on another broker show it)";

std::string EncodeIdentity(const std::string& id) { return Concat(id, " ", Crc32c(id), "\n"); }

absl::StatusOr<std::string> ParseIdentity(const std::string& path, const std::string& text) {
  const size_t space = text.find(' ');
  const std::string id = text.substr(0, space);
  if (space == std::string::npos || EncodeIdentity(id) != text) {
    return absl::DataLossError(
        Concat(path,
               " is damaged; restore it from a backup, or remove it and start once "
               "with --id ID, ID being ",
               kItsId));
  }
  return id;
}

absl::StatusOr<std::string> LoadOrMakeIdentity(FileSystem& fs, Rng& rng,
                                               const std::string& directory,
                                               const std::string& wanted) {
  const std::string path = JoinPath(directory, "server");
  const auto file = fs.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) {
    if (wanted.empty() && fs.Exists(JoinPath(directory, "meta"))) {
      return absl::DataLossError(Concat(path,
                                        " is missing although the directory holds data; restore it "
                                        "from a backup, or start once with --id ID, ID being ",
                                        kItsId));
    }
    const std::string id = wanted.empty() ? RandomToken(rng, kIdLength) : wanted;
    RETURN_IF_ERROR(WriteFileAtomically(fs, path, EncodeIdentity(id)));
    return id;
  }
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const std::string text, ReadWhole(**file, kMaxFileBytes));
  ASSIGN_OR_RETURN(std::string id, ParseIdentity(path, text));
  if (!wanted.empty() && wanted != id) {
    LogWarning("server id ", wanted, " is configured, but ", directory, " belongs to ", id,
               ": that one is used");
  }
  return id;
}

}  // namespace

absl::StatusOr<DataDirectory> DataDirectory::Open(FileSystem& fs, Rng& rng, const std::string& path,
                                                  const std::string& wanted_id) {
  DataDirectory directory;
  directory.path_ = path;
  RETURN_IF_ERROR(fs.CreateDirectories(path));
  ASSIGN_OR_RETURN(directory.lock_, fs.Lock(JoinPath(path, "LOCK")));
  RETURN_IF_ERROR(CheckVersion(fs, path));
  RETURN_IF_ERROR(fs.CreateDirectories(JoinPath(path, "streams")));
  ASSIGN_OR_RETURN(directory.server_id_, LoadOrMakeIdentity(fs, rng, path, wanted_id));
  directory.incarnation_ = rng.Next();
  return directory;
}

absl::StatusOr<size_t> DataDirectory::CountPartitions(FileSystem& fs) const {
  const std::string streams = JoinPath(path_, "streams");
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> found, fs.List(streams));
  size_t count = 0;
  for (const DirectoryEntry& stream : found) {
    if (!stream.is_directory) continue;
    ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> partitions,
                     fs.List(JoinPath(streams, stream.name)));
    for (const DirectoryEntry& partition : partitions) count += partition.is_directory ? 1 : 0;
  }
  return count;
}

}  // namespace bascule::broker
