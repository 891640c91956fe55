// What a data directory remembers of the cluster that it belongs to, or is to belong to: who has
// once been named a cluster by a peer starts none of its own, at later starts neither.
//
//   data/cluster.known   that a peer named a cluster: until this broker is a member
//   data/cluster         whose streams the directory holds (MetadataNode binds it)
#pragma once

#include <optional>
#include <string>

#include "core/base/status.h"
#include "core/env/file_system.h"

namespace bascule::metadata {

struct KnownCluster {
  std::string cluster_id;  // empty: some cluster; the note is damaged
  std::string named_by;    // who said so, for people
  std::string file;        // that says it
};

// Of either file. One that cannot be read as what it should be still says that there is a cluster.
// The first counts only for the namespace that it was written for.
absl::StatusOr<std::optional<KnownCluster>> ReadKnownCluster(FileSystem& fs,
                                                             const std::string& data_directory,
                                                             const std::string& cluster_namespace);
// Durably. The path of the note is KnownClusterFile.
absl::Status NoteKnownCluster(FileSystem& fs, const std::string& data_directory,
                              const std::string& cluster_namespace, const KnownCluster& known);
absl::Status ForgetKnownCluster(FileSystem& fs, const std::string& data_directory);
std::string KnownClusterFile(const std::string& data_directory);

}  // namespace bascule::metadata
