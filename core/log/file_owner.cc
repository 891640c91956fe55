#include "core/log/file_owner.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/text.h"
#include "core/log/log_bounds.h"
#include "core/log/segment_format.h"

namespace bascule::log {
namespace {

absl::StatusOr<SegmentHeader> ReadHeader(FileSystem& fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, OpenMode::kRead));
  std::string bytes(kSegmentHeaderBytes, '\0');
  RETURN_IF_ERROR(ReadFully(*file, FilePosition(0), bytes.data(), bytes.size()));
  return ParseSegmentHeader(bytes);
}

bool IsSegment(std::string_view name) {
  const std::string_view entering = ParseEnteringName(name);
  return ParseSegmentFileName(entering.empty() ? name : entering).has_value();
}

// Cuts the last name off `path`.
std::string_view TakeName(std::string_view& path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == path.npos ? path : path.substr(slash + 1);
  path.remove_suffix(name.size());
  return name;
}

}  // namespace

std::vector<OwnedFile> ReadOwners(FileSystem& fs, const std::string& directory,
                                  const PartitionKey* until) {
  std::vector<OwnedFile> owners;
  const absl::StatusOr<std::vector<DirectoryEntry>> entries = fs.List(directory);
  if (!entries.ok()) return owners;
  for (const DirectoryEntry& entry : *entries) {
    const std::string path = JoinPath(directory, entry.name);
    if (entry.name == kLogBoundsFileName) {
      if (const auto stored = LoadLogBounds(fs, directory); stored.ok())
        owners.push_back({path, stored->key});
    } else if (IsSegment(entry.name)) {
      if (const auto header = ReadHeader(fs, path); header.ok())
        owners.push_back({path, {header->stream, header->partition}});
    }
    if (until != nullptr && !owners.empty() && owners.back().owner == *until) break;
  }
  return owners;
}

std::optional<PartitionKey> OwnerByPlace(std::string_view directory) {
  const std::string_view partition = TakeName(directory);
  const std::string_view stream = TakeName(directory);
  uint64_t stream_id;
  int32_t number;
  if (TakeName(directory) != "streams" || !absl::SimpleAtoi(ToAbsl(stream), &stream_id) ||
      !absl::SimpleAtoi(ToAbsl(partition), &number))
    return std::nullopt;
  return PartitionKey{StreamId(stream_id), PartitionId(number)};
}

std::string ForeignText(const OwnedFile& file, const PartitionKey& wanted) {
  return Concat(file.path, " belongs to stream id ", file.owner.stream, " partition ",
                file.owner.partition, ", not to stream id ", wanted.stream, " partition ",
                wanted.partition);
}

absl::Status ForeignFile(FileSystem& fs, const std::string& directory, const OwnedFile& file,
                         const PartitionKey& wanted) {
  const std::vector<OwnedFile> owners = ReadOwners(fs, directory, &wanted);
  const bool others = std::any_of(owners.begin(), owners.end(),
                                  [&](const OwnedFile& one) { return one.owner == wanted; });
  std::string_view remedy = "move the directory back to its place";
  if (others && file.path.ends_with(kLogBoundsFileName)) {
    remedy =
        "the segments beside it do: move this file alone out of the directory, the log opens "
        "without it";
  } else if (others) {
    remedy =
        "files beside it do: move this file alone out of the directory, and restore the one "
        "that stood there from a copy";
  }
  return absl::FailedPreconditionError(Concat(ForeignText(file, wanted), "; ", remedy));
}

}  // namespace bascule::log
