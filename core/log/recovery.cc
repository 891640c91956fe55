#include "core/log/recovery.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/log/file_owner.h"
#include "core/log/found_segment.h"

namespace bascule::log {
namespace {

// Of a segment's name between two renames.

std::string Range(Offset from, Offset to) {
  return Concat("offsets ", from.value(), " to ", to.value() - 1);
}

class Recovery {
 public:
  Recovery(FileSystem& fs, const RecoveryRequest& request)
      : fs_(fs),
        request_(request),
        directory_(request.directory),
        stream_(request.stream),
        partition_(request.partition),
        point_(request.point),
        known_(request.known_end) {}

  absl::StatusOr<RecoveredLog> Run() {
    RETURN_IF_ERROR(FindFiles());
    RETURN_IF_ERROR(FindBounds());
    RETURN_IF_ERROR(Inspect());
    RETURN_IF_ERROR(Decide());
    RETURN_IF_ERROR(Finish());
    return std::move(result_);
  }

 private:
  absl::Status FindFiles();
  absl::Status GiveNameBack(const std::string& entering);
  absl::Status FindBounds();
  absl::Status KeepBounds();
  absl::Status StoreBounds(const LogBounds& bounds);
  absl::Status RemoveDropped(std::vector<std::string> dropped);
  absl::Status Inspect();
  absl::Status Decide();
  absl::Status SettleBadPlaces(size_t i);
  absl::Status CutAt(size_t i, const BadPlace& bad);
  absl::Status RemoveFrom(size_t i);
  bool Vouched(const Segment& segment) const;
  absl::Status MakeDurable();
  absl::Status WriteAgain(FoundSegment& candidate);
  absl::Status EnterAgain(const std::vector<std::string>& paths);
  absl::Status Finish();
  absl::Status CreateActive(Offset base);
  void Damage(Offset from, Offset to, std::string cause);
  std::string Path(const std::string& name) const { return JoinPath(directory_, name); }

  FileSystem& fs_;
  const RecoveryRequest& request_;
  const std::string& directory_;
  const StreamId stream_;
  const PartitionId partition_;
  const std::optional<RecoveryPoint>& point_;
  const std::optional<KnownEnd>& known_;
  std::vector<Offset> bases_;
  std::vector<FoundSegment> candidates_;
  std::optional<LogBounds> bounds_;  // as found on the disk
  std::optional<Offset> start_;      // of the log, if anything says so
  Offset durable_;   // everything below was on the disk, here or where it was committed
  Offset synced_;    // everything below a sync of ours has covered, or is known to be lost
  Offset mark_;      // no offset below is given again: what is missing is lost
  Offset expected_;  // end of what has been decided
  bool cut_ = false;
  RecoveredLog result_;
};

void Recovery::Damage(Offset from, Offset to, std::string cause) {
  if (to <= from) return;
  result_.notes.push_back(Concat("DAMAGED: ", Range(from, to), " are lost: ", cause));
  result_.damaged.push_back({from, to, std::move(cause)});
}

absl::Status Recovery::FindFiles() {
  if (!fs_.Exists(directory_)) {
    const bool held_data =
        (point_ && point_->active.end_offset > Offset(0)) || (known_ && known_->given > Offset(0));
    if (held_data) result_.notes.push_back(Concat(directory_, " is missing although it held data"));
    RETURN_IF_ERROR(fs_.CreateDirectories(directory_));
  }
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, fs_.List(directory_));
  for (const DirectoryEntry& entry : entries) {
    if (const auto base = ParseSegmentFileName(entry.name)) {
      bases_.push_back(*base);
    } else if (absl::EndsWith(entry.name, ".tmp")) {
      RETURN_IF_ERROR(fs_.Remove(Path(entry.name)));
    } else if (!ParseEnteringName(entry.name).empty()) {
      RETURN_IF_ERROR(GiveNameBack(entry.name));
    }
  }
  std::sort(bases_.begin(), bases_.end());
  return absl::OkStatus();
}

// A crash took the second of EnterAgain's renames.
absl::Status Recovery::GiveNameBack(const std::string& entering) {
  const std::string name(ParseEnteringName(entering));
  const auto base = ParseSegmentFileName(name);
  BASCULE_CHECK(base);
  if (fs_.Exists(Path(name))) {
    result_.notes.push_back(Concat("removed ", Path(entering), ": ", name, " was made meanwhile"));
    return fs_.Remove(Path(entering));
  }
  bases_.push_back(*base);
  return fs_.Rename(Path(entering), Path(name));
}

absl::Status Recovery::FindBounds() {
  if (point_) start_ = point_->log_start;
  const absl::StatusOr<StoredLogBounds> found = LoadLogBounds(fs_, directory_);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  if (absl::IsDataLoss(found.status())) {
    result_.notes.push_back(
        Concat(found.status().message(), "; where the log begins is taken from ",
               start_ ? "recovery.points" : "its first segment, and made durable anew"));
    return fs_.Remove(Path(kLogBoundsFileName));
  }
  RETURN_IF_ERROR(found.status());
  if (found->key != PartitionKey{stream_, partition_}) {
    return ForeignFile(fs_, directory_, {Path(kLogBoundsFileName), found->key},
                       {stream_, partition_});
  }
  bounds_ = found->bounds;
  start_ = bounds_->start;
  return absl::OkStatus();
}

// What is known of both ends is durable before offsets are given.
absl::Status Recovery::KeepBounds() {
  LogBounds& now = result_.bounds;
  now.start = start_.value_or(Offset(0));  // no segment, and nobody knows: a new log
  now.end = std::max(now.start, mark_);
  now.sequence = bounds_ ? bounds_->sequence : 0;
  // A lag of `end` is made good by the recovery point, unless that is all that is left.
  const bool end_matters = expected_ < mark_;
  if (bounds_ && (bounds_->end >= now.end || !end_matters)) {
    now = *bounds_;
    // They may be what a failed sync left in the page cache.
    return end_matters ? StoreBounds(now) : absl::OkStatus();
  }
  ++now.sequence;
  return StoreBounds(now);
}

absl::Status Recovery::StoreBounds(const LogBounds& bounds) {
  RETURN_IF_ERROR(StoreLogBounds(fs_, directory_, {{stream_, partition_}, bounds}));
  const absl::Status entered = fs_.SyncDir(directory_);
  // A failed sync may have dropped the entry of a new file, and no later one would bring it.
  if (!entered.ok() && !bounds_) (void)fs_.Remove(Path(kLogBoundsFileName));
  return entered;
}

absl::Status Recovery::RemoveDropped(std::vector<std::string> dropped) {
  if (dropped.empty()) return absl::OkStatus();
  // The page cache may show bounds whose sync failed: the disk has to have them before files go on
  // their word, or it would miss what retention took.
  const LogBounds bounds = bounds_.value_or(LogBounds{*start_, *start_, 1});
  RETURN_IF_ERROR(StoreBounds(bounds));
  bounds_ = bounds;
  for (const std::string& path : dropped) {
    result_.notes.push_back(Concat("removed ", path, ": retention had dropped it"));
    RETURN_IF_ERROR(fs_.Remove(path));
  }
  return fs_.SyncDir(directory_);
}

absl::Status Recovery::Inspect() {
  if (point_) durable_ = point_->active.end_offset;
  if (bounds_) durable_ = std::max(durable_, bounds_->end);
  if (start_) durable_ = std::max(durable_, *start_);
  if (known_) durable_ = std::max(durable_, known_->durable);
  synced_ = durable_;
  std::vector<std::string> dropped;
  for (size_t i = 0; i < bases_.size(); ++i) {
    if (start_ && bases_[i] < *start_) {
      ASSIGN_OR_RETURN(const FoundSegment before,
                       OpenSegment(fs_, request_, bases_[i], OpenMode::kRead));
      dropped.push_back(before.segment.path);
      continue;
    }
    std::optional<Offset> next_base;
    if (i + 1 < bases_.size()) next_base = bases_[i + 1];
    ASSIGN_OR_RETURN(FoundSegment found, FindSegment(fs_, request_, bases_[i], next_base));
    durable_ = std::max(durable_, found.evidence);
    if (found.segment.sealed || !request_.replicated) synced_ = std::max(synced_, found.evidence);
    candidates_.push_back(std::move(found));
  }
  mark_ = durable_;
  if (known_) mark_ = std::max(mark_, known_->given);
  return RemoveDropped(std::move(dropped));
}

// Everything from segment `i` on goes: later segments first, so that a crash in between is
// recovered the same way.
absl::Status Recovery::RemoveFrom(size_t i) {
  std::vector<std::string> removed;
  while (candidates_.size() > i) {
    const Segment& segment = candidates_.back().segment;
    removed.push_back(segment.path);
    result_.notes.push_back(
        Concat("removed ", segment.path, ": it holds nothing that was durable"));
    result_.cut_bytes += segment.footer.data_end.value();
    RETURN_IF_ERROR(fs_.Remove(segment.path));
    candidates_.pop_back();
  }
  const absl::Status durable = fs_.SyncDir(directory_);
  if (durable.ok()) return durable;
  // A failed sync may have dropped the removals, and no later one would bring them: the names are
  // put back, empty, so that whoever tries again removes them anew.
  for (const std::string& path : removed) (void)fs_.Open(path, OpenMode::kReplace);
  return durable;
}

absl::Status Recovery::CutAt(size_t i, const BadPlace& bad) {
  RETURN_IF_ERROR(RemoveFrom(i + 1));
  FoundSegment& candidate = candidates_[i];
  const uint64_t removed = candidate.segment.file_bytes - bad.position.value();
  candidate.segment.footer = bad.facts_before;
  candidate.segment.index.resize(bad.index_before);
  RETURN_IF_ERROR(candidate.file->Truncate(bad.position.value()));
  RETURN_IF_ERROR(candidate.file->Sync());
  candidate.segment.file_bytes = bad.position.value();
  result_.cut_bytes += removed;
  result_.notes.push_back(
      Concat("cut a torn tail of ", removed, " bytes off ", candidate.segment.path, " at offset ",
             bad.facts_before.end_offset.value(), "; nothing acknowledged was in it"));
  cut_ = true;
  return absl::OkStatus();
}

absl::Status Recovery::SettleBadPlaces(size_t i) {
  for (const BadPlace& bad : candidates_[i].bad) {
    const Offset from = bad.facts_before.end_offset;
    // The next segment begins here: behind the data is no batch but a torn footer; sealing mends it.
    if (i + 1 < candidates_.size() && candidates_[i + 1].segment.base() == from) break;
    if (from >= mark_) return CutAt(i, bad);
    if (!bad.resumes_at) break;  // the rest of this file: what follows in the walk names the range
    Damage(from, *bad.resumes_at,
           Concat(candidates_[i].segment.path, " is damaged at byte ", bad.position.value()));
  }
  return absl::OkStatus();
}

absl::Status Recovery::Decide() {
  if (start_) expected_ = *start_;
  for (size_t i = 0; i < candidates_.size() && !cut_; ++i) {
    FoundSegment& candidate = candidates_[i];
    const Offset base = candidate.segment.base();
    if (i == 0 && !start_) start_ = expected_ = base;
    // Nothing in it is known to be on the disk, its header included: made anew.
    if (known_ && base >= known_->given) return RemoveFrom(i);
    if (base < expected_) {
      return absl::DataLossError(
          Concat(candidate.segment.path, " overlaps the segment before it, which ends at ",
                 expected_.value(), "; move one of the two out of the directory"));
    }
    const bool empty = candidate.segment.end() == base && candidate.bad.empty();
    if (base > expected_ && expected_ >= mark_) return RemoveFrom(i);
    if (!candidate.header_ok && empty && base >= mark_) return RemoveFrom(i);
    Damage(expected_, base,
           Concat("the segments between ", expected_.value(), " and ", candidate.segment.path,
                  " are missing or damaged"));
    if (!candidate.header_ok)
      result_.notes.push_back(Concat(candidate.segment.path, ": header is damaged"));
    RETURN_IF_ERROR(SettleBadPlaces(i));
    expected_ = candidate.segment.end();
  }
  return absl::OkStatus();
}

absl::Status Recovery::CreateActive(Offset base) {
  Segment segment;
  segment.path = Path(SegmentFileName(base));
  segment.footer.base_offset = segment.footer.end_offset = base;
  segment.footer.data_end = FilePosition(kSegmentHeaderBytes);
  segment.has_index = true;
  segment.file_bytes = kSegmentHeaderBytes;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.Open(segment.path, OpenMode::kReplace));
  RETURN_IF_ERROR(file->WriteAt(FilePosition(0), EncodeSegmentHeader({stream_, partition_, base})));
  RETURN_IF_ERROR(file->Sync());
  if (const absl::Status entered = fs_.SyncDir(directory_); !entered.ok()) {
    // A failed sync may have dropped the entry, and no later one would bring it: made anew.
    (void)fs_.Remove(segment.path);
    return entered;
  }
  FoundSegment candidate;
  candidate.segment = std::move(segment);
  candidate.file = std::move(file);
  candidates_.push_back(std::move(candidate));
  return absl::OkStatus();
}

// A process before this one may have died of, or just after, a sync that failed: the page cache
// shows what that sync had, the disk has not got it, and a sync of clean pages succeeds without it.
// What nothing vouches for (one flush, as a rule; of a replica what came since recovery.points was
// written) is written once more, so that ours means it.
absl::Status Recovery::WriteAgain(FoundSegment& candidate) {
  constexpr size_t kChunkBytes = size_t{1} << 20;
  const Segment& segment = candidate.segment;
  FilePosition at(0);  // with its header
  if (segment.base() < synced_) {
    if (segment.end() <= synced_) return absl::OkStatus();
    at = FloorByOffset(segment.index, segment.base(), synced_).position;
  }
  const FilePosition end = std::min(segment.footer.data_end, FilePosition(segment.file_bytes));
  std::string bytes;
  while (at < end) {
    bytes.resize(std::min<uint64_t>(end - at, kChunkBytes));
    RETURN_IF_ERROR(ReadFully(*candidate.file, at, bytes.data(), bytes.size()));
    RETURN_IF_ERROR(candidate.file->WriteAt(at, bytes));
    at += bytes.size();
  }
  return absl::OkStatus();
}

// Likewise the names of files: a SyncDir that failed may have lost one, and no later one would bring
// it. It is written anew by way of another one, which the next start turns back.
absl::Status Recovery::EnterAgain(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(fs_.Rename(path, Concat(path, kEnteringSuffix)));
    RETURN_IF_ERROR(fs_.Rename(Concat(path, kEnteringSuffix), path));
  }
  const absl::Status entered = fs_.SyncDir(directory_);
  if (entered.ok()) return entered;
  // The disk may be left with the other name alone: whoever tries again has to find it.
  for (const std::string& path : paths) (void)fs_.Rename(path, Concat(path, kEnteringSuffix));
  return entered;
}

// A flush, or an opening, has covered its file and its name. A point without a start was made
// before there was any file.
bool Recovery::Vouched(const Segment& segment) const {
  return segment.sealed ||
         (point_ && point_->log_start && point_->active.base_offset == segment.base());
}

// What was found may only have been in the page cache. From here on it is durable, so it may be
// sealed, shown and acked, and the bounds may vouch for it.
absl::Status Recovery::MakeDurable() {
  std::vector<std::string> names;
  for (FoundSegment& candidate : candidates_) {
    const Segment& segment = candidate.segment;
    const bool vouched = Vouched(segment);
    if (vouched && !candidate.scanned) continue;
    RETURN_IF_ERROR(WriteAgain(candidate));
    RETURN_IF_ERROR(candidate.file->Sync());
    if (!vouched && segment.base() >= synced_) names.push_back(segment.path);
  }
  return names.empty() ? absl::OkStatus() : EnterAgain(names);
}

absl::Status Recovery::Finish() {
  const bool tail_lost = expected_ < mark_;
  if (tail_lost) Damage(expected_, mark_, Concat("the end of the log in ", directory_, " is gone"));
  RETURN_IF_ERROR(MakeDurable());
  RETURN_IF_ERROR(KeepBounds());
  const bool need_active = candidates_.empty() || candidates_.back().segment.sealed || tail_lost ||
                           !candidates_.back().header_ok;
  if (need_active) {
    const Offset base = std::max(expected_, mark_);
    if (!candidates_.empty() && candidates_.back().segment.base() == base)
      RETURN_IF_ERROR(RemoveFrom(candidates_.size() - 1));
    RETURN_IF_ERROR(CreateActive(base));
  }
  for (size_t i = 0; i < candidates_.size(); ++i) {
    FoundSegment& candidate = candidates_[i];
    Segment& segment = candidate.segment;
    const bool active = i + 1 == candidates_.size();
    if (!active && !segment.sealed) {
      ASSIGN_OR_RETURN(segment.footer, SealSegment(*candidate.file, segment.footer, segment.index));
      ASSIGN_OR_RETURN(segment.file_bytes, candidate.file->Size());
      segment.sealed = true;
      result_.notes.push_back(Concat("sealed ", segment.path, " again"));
    }
    result_.last_timestamp = std::max(result_.last_timestamp, segment.footer.max_timestamp);
    if (active) {
      result_.active_file = std::move(candidate.file);
      segment.open_file = result_.active_file;
    }
    result_.segments.push_back(std::move(segment));
  }
  // What was durable is covered by segments or named as lost, and is not given again.
  BASCULE_CHECK(!result_.segments.empty());
  BASCULE_CHECK_LE(result_.bounds.start, result_.segments.front().base());
  BASCULE_CHECK_GE(result_.segments.back().end(), mark_);
  BASCULE_CHECK(result_.active_file != nullptr);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RecoveredLog> RecoverLog(FileSystem& fs, const RecoveryRequest& request) {
  return Recovery(fs, request).Run();
}

}  // namespace bascule::log
