#include "core/log/cut.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/log/batch_scanner.h"
#include "core/log/file_owner.h"
#include "core/log/recovery.h"

namespace bascule::log {
namespace {

// A missing index costs the next start a scan.
absl::Status RemoveIndex(FileSystem& fs, const std::string& directory, Offset base) {
  const absl::Status removed = fs.Remove(JoinPath(directory, IndexFileName(base)));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

SegmentFooter EmptyFacts(Offset base) {
  SegmentFooter facts;
  facts.base_offset = facts.end_offset = base;
  facts.data_end = FilePosition(kSegmentHeaderBytes);
  return facts;
}

}  // namespace

absl::StatusOr<CutPlan> PlanCut(FileSystem& fs, const std::string& directory, Segment segment,
                                Offset to, const std::vector<std::shared_ptr<File>>& unsynced) {
  BASCULE_CHECK_LE(segment.base(), to);
  const FilePosition data_end = segment.footer.data_end;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(segment.path, OpenMode::kReadWrite));
  SegmentFooter facts = EmptyFacts(segment.base());
  std::vector<IndexEntry> index;
  BatchScanner scanner(*file, facts.data_end, data_end);
  while (true) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome == BatchScanner::Outcome::kEnd && facts.end_offset == to) break;
    const bool sound = outcome == BatchScanner::Outcome::kBatch &&
                       scanner.header().base_offset == facts.end_offset;
    if (!sound && facts.end_offset < to) {
      return absl::DataLossError(Concat(segment.path, " is damaged at byte ", facts.data_end,
                                        ", before the offset ", to, " at which it is to be cut"));
    }
    if (!sound || scanner.header().end() > to) break;
    NoteBatch(facts, index, scanner.bytes(), scanner.position());
  }
  for (const std::shared_ptr<File>& older : unsynced) RETURN_IF_ERROR(older->Sync());
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(fs.SyncDir(directory));
  CutPlan plan;
  plan.file = std::move(file);
  segment.sealed = false;
  segment.footer = std::move(facts);
  segment.index = std::move(index);
  segment.has_index = true;
  segment.file_bytes = segment.footer.data_end.value();
  segment.open_file = plan.file;
  plan.segment = std::move(segment);
  return plan;
}

absl::Status CarryOut(FileSystem& fs, const std::string& directory, PartitionKey key,
                      const CutPlan& plan, LogBounds& bounds) {
  if (bounds.end > plan.end()) {
    bounds.end = plan.end();
    ++bounds.sequence;
    RETURN_IF_ERROR(StoreLogBounds(fs, directory, {key, bounds}));
  }
  // The newest first, and all before the cut: what a crash leaves has no hole.
  for (const std::string& path : plan.removed) RETURN_IF_ERROR(fs.Remove(path));
  // Its entries would point into what is written there next.
  RETURN_IF_ERROR(RemoveIndex(fs, directory, plan.segment.base()));
  RETURN_IF_ERROR(fs.SyncDir(directory));
  RETURN_IF_ERROR(plan.file->Truncate(plan.segment.footer.data_end.value()));
  return plan.file->Sync();
}

absl::StatusOr<RecoveredLog> BeginLogAnew(FileSystem& fs, const RecoveryRequest& request,
                                          Offset at) {
  const PartitionKey key{request.stream, request.partition};
  const std::string& directory = request.directory;
  const absl::StatusOr<StoredLogBounds> found = LoadLogBounds(fs, directory);
  LogBounds bounds;
  if (found.ok()) {
    if (found->key != key) {
      return ForeignFile(fs, directory, {JoinPath(directory, kLogBoundsFileName), found->key}, key);
    }
    bounds = found->bounds;
  } else if (!absl::IsNotFound(found.status()) && !absl::IsDataLoss(found.status())) {
    return found.status();
  }
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, fs.List(directory));
  // Without bounds the log begins where its first segment does: what a crash leaves of it lacks nothing.
  if (!found.ok()) {
    std::optional<Offset> first;
    for (const DirectoryEntry& entry : entries) {
      const std::optional<Offset> base = ParseSegmentFileName(entry.name);
      if (base && (!first || *base < *first)) first = base;
    }
    bounds.start = first.value_or(at);
  }
  // First nothing vouches for what is to go, then it goes, the newest first.
  const auto store = [&](Offset start, Offset end) -> absl::Status {
    bounds = {start, end, bounds.sequence + 1};
    RETURN_IF_ERROR(StoreLogBounds(fs, directory, {key, bounds}));
    return fs.SyncDir(directory);
  };
  RETURN_IF_ERROR(store(bounds.start, bounds.start));
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    const std::optional<Offset> base = ParseSegmentFileName(entry->name);
    if (!base) continue;
    RETURN_IF_ERROR(RemoveIndex(fs, directory, *base));
    RETURN_IF_ERROR(fs.Remove(JoinPath(directory, entry->name)));
  }
  RETURN_IF_ERROR(fs.SyncDir(directory));
  RETURN_IF_ERROR(store(at, at));
  return RecoverLog(fs, request);
}

}  // namespace bascule::log
