#include "replication/meta/cluster/cluster_start.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/limits.h"
#include "core/base/text.h"

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

// A line with an id.
bool IsBinding(const std::string& text) {
  if (text.size() < 2 || text.size() > limits::kMaxClusterIdBytes + 1 || text.back() != '\n')
    return false;
  return std::all_of(text.begin(), text.end() - 1,
                     [](const char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
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

absl::Status CheckBinding(const FoundDirectory& found, bool had_metadata,
                          const std::optional<std::string>& bound) {
  // Bound to none yet, a directory without streams holds nothing that the cluster was promised.
  const bool needed = !had_metadata && found.streams > 0;
  if (bound && !IsBinding(*bound)) {
    const std::string file = BindingFile(found.path);
    return absl::DataLossError(Concat(
        file, " is damaged: ",
        needed || (found.older_copy && found.streams > 0)
            ? Concat("write the id of the cluster whose streams are in ", found.path,
                     " into it, as a line (bascule cluster status on another broker shows it)")
            : "remove it and start again, it is not needed to know its cluster"));
  }
  if (bound || !needed) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat(found.path, " holds the data of ", found.streams,
             " streams, but nothing says of which cluster: restore ", MetaOf(found),
             " from a backup, or move the whole directory away to join with an empty one"));
}

absl::StatusOr<Binding> BindingOf(const FoundDirectory& found, bool had_metadata,
                                  const std::string& cluster_id,
                                  const std::optional<std::string>& bound) {
  RETURN_IF_ERROR(CheckBinding(found, had_metadata, bound));
  if (!bound) return found.streams == 0 ? Binding::kBindEmpty : Binding::kBind;
  if (*bound == BindingText(cluster_id)) return Binding::kBound;
  return absl::FailedPreconditionError(
      Concat(found.path, " holds streams of another cluster (", BindingFile(found.path),
             " names it), this one is ", cluster_id,
             "; move the whole directory away to join with an empty one"));
}

std::string BindingText(const std::string& cluster_id) { return Concat(cluster_id, "\n"); }

std::string BindingFile(const std::string& data_directory) {
  return JoinPath(data_directory, "cluster");
}

absl::StatusOr<std::optional<std::string>> ReadBinding(FileSystem& fs,
                                                       const std::string& data_directory) {
  const auto file = fs.Open(BindingFile(data_directory), OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RETURN_IF_ERROR(file.status());
  // No more than shows that it is too long.
  ASSIGN_OR_RETURN(const uint64_t size, (*file)->Size());
  std::string text(std::min<uint64_t>(size, limits::kMaxClusterIdBytes + 2), '\0');
  RETURN_IF_ERROR(ReadFully(**file, FilePosition(0), text.data(), text.size()));
  return std::optional<std::string>(std::move(text));
}

}  // namespace bascule::metadata
