#include "replication/meta/cluster/cluster_note.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"

namespace bascule::metadata {
namespace {

constexpr size_t kMaxBytes = 4096;
constexpr size_t kNamedByBytes = 1024;  // escaped four times as long at most

// A missing file is nullopt.
absl::StatusOr<std::optional<std::string>> ReadIfThere(FileSystem& fs, const std::string& path) {
  const auto file = fs.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const uint64_t size, (*file)->Size());
  if (size > kMaxBytes * 2) return std::string();  // nothing that was written here
  ASSIGN_OR_RETURN(std::string text, ReadWhole(**file, kMaxBytes * 2));
  return std::optional<std::string>(std::move(text));
}

// Three lines, what could break one escaped, and their checksum.
std::string Encode(const std::string& cluster_namespace, const KnownCluster& known) {
  const std::string lines =
      Concat(absl::CEscape(known.cluster_id), "\n", absl::CEscape(cluster_namespace), "\n",
             absl::CEscape(known.named_by.substr(0, kNamedByBytes)), "\n");
  return Concat(lines, Crc32c(lines), "\n");
}

}  // namespace

std::string KnownClusterFile(const std::string& data_directory) {
  return JoinPath(data_directory, "cluster.known");
}

absl::StatusOr<std::optional<KnownCluster>> ReadKnownCluster(FileSystem& fs,
                                                             const std::string& data_directory,
                                                             const std::string& cluster_namespace) {
  const std::string bound = JoinPath(data_directory, "cluster");
  ASSIGN_OR_RETURN(const auto binding, ReadIfThere(fs, bound));
  if (binding.has_value()) {
    std::string id = binding->ends_with('\n') ? binding->substr(0, binding->size() - 1) : "";
    return KnownCluster{std::move(id), "this data directory", bound};
  }
  const std::string path = KnownClusterFile(data_directory);
  ASSIGN_OR_RETURN(const auto text, ReadIfThere(fs, path));
  if (!text.has_value()) return std::nullopt;
  KnownCluster damaged{"", "a note that is damaged", path};
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  if (lines.size() != 5) return damaged;
  KnownCluster known{"", "", path};
  std::string noted_namespace;
  if (!absl::CUnescape(lines[0], &known.cluster_id) ||
      !absl::CUnescape(lines[1], &noted_namespace) || !absl::CUnescape(lines[2], &known.named_by) ||
      Encode(noted_namespace, known) != *text)
    return damaged;
  if (noted_namespace != cluster_namespace) return std::nullopt;
  return known;
}

absl::Status NoteKnownCluster(FileSystem& fs, const std::string& data_directory,
                              const std::string& cluster_namespace, const KnownCluster& known) {
  return WriteFileAtomically(fs, KnownClusterFile(data_directory),
                             Encode(cluster_namespace, known));
}

absl::Status ForgetKnownCluster(FileSystem& fs, const std::string& data_directory) {
  const std::string path = KnownClusterFile(data_directory);
  if (!fs.Exists(path)) return absl::OkStatus();
  RETURN_IF_ERROR(fs.Remove(path));
  return fs.SyncDir(data_directory);
}

}  // namespace bascule::metadata
