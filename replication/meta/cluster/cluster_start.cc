#include "replication/meta/cluster/cluster_start.h"

#include "core/base/text.h"
#include "core/env/file_system.h"

namespace bascule::metadata {
namespace {

std::string MetaOf(const FoundDirectory& found) { return JoinPath(found.path, "meta"); }

// An absent metadata log beside existing data is lost, not new: with a new one stream ids would be
// given out again, and one stream would serve, or remove, another's records.
absl::StatusOr<StartPlan> PlanAlone(const FoundDirectory& found, StartPlan plan) {
  if (found.streams > 0) {
    return absl::FailedPreconditionError(
        Concat(MetaOf(found), " is missing, but ", found.path, " holds the data of ", found.streams,
               " streams; restore meta from a backup, or move the whole directory ",
               "away to start empty"));
  }
  if (found.known) {
    return absl::FailedPreconditionError(
        Concat(found.path, " is to be part of the cluster ", found.known->cluster_id, " (says ",
               found.known->file, "), but this broker is configured as no cluster member: set ",
               "cluster.listen and cluster.join, or move the whole directory away to start empty"));
  }
  plan.way = StartWay::kFound;
  return plan;
}

}  // namespace

absl::StatusOr<StartPlan> PlanStart(const FoundDirectory& found, bool clustered) {
  StartPlan plan;
  plan.had_metadata = found.older_copy || found.member || found.legacy;
  plan.look_before = !clustered || plan.had_metadata;
  if (found.older_copy) {
    if (!clustered) {
      return absl::FailedPreconditionError(
          Concat(found.path,
                 " is an older copy of what a cluster knows of this broker and has "
                 "to join it again: set cluster.listen as before and start it"));
    }
    plan.leave_old_part = true;
    plan.way = StartWay::kJoin;
    return plan;
  }
  if (found.member && found.received) return plan;
  if (!found.member && found.legacy) {
    plan.way = StartWay::kUpgrade;
    return plan;
  }
  if (!clustered) return PlanAlone(found, plan);
  plan.way = StartWay::kJoin;
  plan.may_start = !found.member;
  return plan;
}

absl::StatusOr<Binding> BindingOf(const FoundDirectory& found, bool had_metadata,
                                  const std::string& cluster_id,
                                  const std::optional<std::string>& bound) {
  if (bound && *bound == BindingText(cluster_id)) return Binding::kBound;
  if (bound) {
    return absl::FailedPreconditionError(
        Concat(found.path, " holds streams of another cluster (", BindingFile(found.path),
               " names it), this one is ", cluster_id,
               "; move the whole directory away to join with an empty one"));
  }
  // Bound to none yet, it holds nothing that the cluster was promised.
  if (found.streams == 0) return Binding::kBindEmpty;
  if (had_metadata) return Binding::kBind;
  return absl::FailedPreconditionError(
      Concat(found.path, " holds the data of ", found.streams,
             " streams, but nothing says of which cluster: restore ", MetaOf(found),
             " from a backup, or move the whole directory away to join with an empty one"));
}

std::string BindingText(const std::string& cluster_id) { return Concat(cluster_id, "\n"); }

std::string BindingFile(const std::string& data_directory) {
  return JoinPath(data_directory, "cluster");
}

}  // namespace bascule::metadata
