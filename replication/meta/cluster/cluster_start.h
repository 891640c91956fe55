// What a data directory, as it was found, leads to when its broker starts. Pure: whoever starts the
// broker looks, asks here, and carries it out.
//
//   found                                 alone                   configured as part of a cluster
//   an older copy                         refused                 leaves its part in the group, joins
//   a member of a metadata group          opened                  opened
//   one that has received nothing yet     as if there were none   joins on: the cluster knows it
//   a log of before clusters              upgraded                upgraded: it starts the cluster
//   none, and no streams                  founds a group of one   joins; starts one where it may
//   none, but a cluster was named to it   refused                 joins that one
//   none, but streams                     refused: it was lost    joins; BindingOf says what of them
#pragma once

#include <optional>
#include <string>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "replication/meta/cluster/cluster_note.h"

namespace bascule::metadata {

struct FoundDirectory {
  std::string path;
  bool older_copy = false;  // so its record says
  bool member = false;      // data/meta has an identity
  bool received = false;    // of a member: something of its cluster's metadata
  bool legacy = false;      // a log of before clusters
  size_t streams = 0;       // that have a directory
  std::optional<KnownCluster> known;
};

enum class StartWay : uint8_t { kOpen, kUpgrade, kFound, kJoin };

struct StartPlan {
  StartWay way = StartWay::kOpen;
  bool leave_old_part = false;  // once it has joined anew
  // kJoin: where nobody has a cluster this broker may be who starts one. Else it is a member already,
  // or was one, so that there is a cluster.
  bool may_start = false;
  // There was metadata here before this start: what there is of streams belongs to it.
  bool had_metadata = false;
  // Another process may use this broker's id: to be looked for before anything is done under it.
  // Who has just joined was let in as the only one.
  bool look_before = false;
};

// FailedPrecondition says what to do instead.
absl::StatusOr<StartPlan> PlanStart(const FoundDirectory& found, bool clustered);

// Whose streams a directory holds stands in data/cluster: stream ids mean nothing in another.
enum class Binding : uint8_t {
  kBound,      // to this cluster
  kBind,       // to be written
  kBindEmpty,  // likewise; it owes all to the cluster first, since it holds nothing of it
};
// What can be said of it before the cluster is known, and is to be said before this broker is taken in
// anew: it would lose its place. `bound`: data/cluster as it was found, or nothing. FailedPrecondition,
// and DataLoss when it is damaged, say what to do instead.
absl::Status CheckBinding(const FoundDirectory& found, bool had_metadata,
                          const std::optional<std::string>& bound);
// The same, and FailedPrecondition when it is another cluster's.
absl::StatusOr<Binding> BindingOf(const FoundDirectory& found, bool had_metadata,
                                  const std::string& cluster_id,
                                  const std::optional<std::string>& bound);
std::string BindingText(const std::string& cluster_id);  // what data/cluster says
// What data/cluster says; nullopt: there is none.
absl::StatusOr<std::optional<std::string>> ReadBinding(FileSystem& fs,
                                                       const std::string& data_directory);
std::string BindingFile(const std::string& data_directory);

}  // namespace bascule::metadata
