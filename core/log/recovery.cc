#include "core/log/recovery.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/log/batch_scanner.h"

namespace bascule {
namespace {

constexpr size_t kMaxIndexFileBytes = size_t{64} << 20;

// A place in an unsettled segment where no whole batch stands.
struct BadPlace {
  FilePosition position;
  SegmentFooter facts_before;  // of all that stands before it
  size_t index_before = 0;
  std::optional<Offset> resumes_at;  // base offset of the next sound batch in this file
};

struct Candidate {
  Segment segment;
  std::unique_ptr<File> file;
  bool header_ok = true;
  std::vector<BadPlace> bad;
  bool scanned = false;  // batches were found that no recovery point vouches for
  Offset evidence;       // exclusive end that this file proves to have been durable
};

std::string Range(Offset from, Offset to) {
  return Concat("offsets ", from.value(), " to ", to.value() - 1);
}

// What the batch proves to have been durable: at most all before it, whatever it claims.
Offset Committed(const wire::BatchHeader& header) {
  return std::min(header.committed_through, header.base_offset);
}

class Recovery {
 public:
  Recovery(FileSystem& fs, const RecoveryRequest& request)
      : fs_(fs),
        directory_(request.directory),
        stream_(request.stream),
        partition_(request.partition),
        point_(request.point),
        cut_at_(request.cut_at) {}

  absl::StatusOr<RecoveredLog> Run() {
    RETURN_IF_ERROR(FindFiles());
    RETURN_IF_ERROR(FindBounds());
    RETURN_IF_ERROR(Inspect());
    RETURN_IF_ERROR(Settle());
    RETURN_IF_ERROR(Finish());
    return std::move(result_);
  }

 private:
  absl::Status FindFiles();
  absl::Status FindBounds();
  absl::Status KeepBounds();
  absl::Status RemoveDropped(std::vector<std::string> dropped);
  absl::Status Inspect();
  absl::StatusOr<Candidate> InspectFile(Offset base, std::optional<Offset> next_base);
  absl::StatusOr<bool> EndsInFooter(Candidate& candidate, const SegmentFooter& footer,
                                    std::optional<Offset> next_base);
  absl::Status CheckHeader(Candidate& candidate);
  absl::Status Scan(Candidate& candidate, std::optional<Offset> next_base);
  bool StartFromPoint(Candidate& candidate);
  absl::Status Settle();
  absl::Status SettleBadPlaces(size_t i);
  absl::Status CutAt(size_t i, const BadPlace& bad);
  absl::Status RemoveFrom(size_t i);
  absl::Status WriteAgain(Candidate& candidate);
  absl::Status Finish();
  absl::Status CreateActive(Offset base);
  void Damage(Offset from, Offset to, std::string cause);
  std::string Path(const std::string& name) const { return JoinPath(directory_, name); }

  FileSystem& fs_;
  const std::string& directory_;
  const StreamId stream_;
  const PartitionId partition_;
  const std::optional<RecoveryPoint>& point_;
  const std::optional<Offset> cut_at_;
  std::vector<Offset> bases_;
  std::vector<Candidate> candidates_;
  std::optional<LogBounds> bounds_;  // as found on the disk
  std::optional<Offset> start_;      // of the log, if anything says so
  Offset mark_;                      // everything below was durable
  Offset expected_;                  // end of what has been settled
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
    const bool held_data = point_ && point_->active.end_offset > Offset(0);
    if (held_data) result_.notes.push_back(Concat(directory_, " is missing although it held data"));
    RETURN_IF_ERROR(fs_.CreateDirectories(directory_));
  }
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, fs_.List(directory_));
  for (const DirectoryEntry& entry : entries) {
    if (const auto base = ParseSegmentFileName(entry.name)) {
      bases_.push_back(*base);
    } else if (absl::EndsWith(entry.name, ".tmp")) {
      RETURN_IF_ERROR(fs_.Remove(Path(entry.name)));
    }
  }
  return absl::OkStatus();
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
    return absl::FailedPreconditionError(
        Concat(Path(kLogBoundsFileName), " belongs to stream id ", found->key.stream, " partition ",
               found->key.partition, ", not to stream id ", stream_, " partition ", partition_,
               "; move the directory back to its place"));
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
    return absl::OkStatus();
  }
  ++now.sequence;
  RETURN_IF_ERROR(StoreLogBounds(fs_, directory_, {{stream_, partition_}, now}));
  return bounds_ ? absl::OkStatus() : fs_.SyncDir(directory_);
}

absl::Status Recovery::RemoveDropped(std::vector<std::string> dropped) {
  if (dropped.empty()) return absl::OkStatus();
  for (const std::string& path : dropped) {
    result_.notes.push_back(Concat("removed ", path, ": retention had dropped it"));
    RETURN_IF_ERROR(fs_.Remove(path));
  }
  return fs_.SyncDir(directory_);
}

absl::Status Recovery::CheckHeader(Candidate& candidate) {
  std::string bytes(std::min<uint64_t>(kSegmentHeaderBytes, candidate.segment.file_bytes), '\0');
  RETURN_IF_ERROR(ReadFully(*candidate.file, FilePosition(0), bytes.data(), bytes.size()));
  const absl::StatusOr<SegmentHeader> header = ParseSegmentHeader(bytes);
  if (absl::IsFailedPrecondition(header.status())) {
    return absl::FailedPreconditionError(
        Concat(candidate.segment.path, ": ", header.status().message()));
  }
  if (header.ok() && header->base_offset != candidate.segment.base()) {
    return absl::FailedPreconditionError(
        Concat(candidate.segment.path, " holds the segment that begins at offset ",
               header->base_offset.value(), "; give it back its name"));
  }
  candidate.header_ok = header.ok();
  if (header.ok() && (header->stream != stream_ || header->partition != partition_)) {
    return absl::FailedPreconditionError(
        Concat(candidate.segment.path, " belongs to stream id ", header->stream.value(),
               " partition ", header->partition.value(), ", not to stream id ", stream_.value(),
               " partition ", partition_.value(), "; move the directory back to its place"));
  }
  return absl::OkStatus();
}

// Facts up to the recovery point are taken from it, so that the scan starts there.
bool Recovery::StartFromPoint(Candidate& candidate) {
  if (!point_ || point_->active.base_offset != candidate.segment.base()) return false;
  if (point_->active.data_end.value() > candidate.segment.file_bytes) return false;
  if (point_->active.data_end.value() < kSegmentHeaderBytes) return false;
  absl::StatusOr<std::unique_ptr<File>> file =
      fs_.Open(Path(IndexFileName(candidate.segment.base())), OpenMode::kRead);
  if (file.ok()) {
    const absl::StatusOr<std::string> bytes = ReadWhole(**file, kMaxIndexFileBytes);
    std::vector<IndexEntry>& index = candidate.segment.index;
    for (size_t at = 0; bytes.ok() && at + kIndexEntryBytes <= bytes->size();
         at += kIndexEntryBytes) {
      const auto entry = ParseIndexEntry(std::string_view(*bytes).substr(at));
      if (!entry || entry->position >= point_->active.data_end) break;
      if (!index.empty() && entry->offset <= index.back().offset) break;
      index.push_back(*entry);
    }
  }
  candidate.segment.footer = point_->active;
  return true;
}

absl::Status Recovery::Scan(Candidate& candidate, std::optional<Offset> next_base) {
  SegmentFooter& facts = candidate.segment.footer;
  std::vector<IndexEntry>& index = candidate.segment.index;
  // Behind a header that is not what was written nothing is taken unseen.
  if (!candidate.header_ok || !StartFromPoint(candidate))
    facts.data_end = FilePosition(kSegmentHeaderBytes);
  candidate.segment.has_index = true;
  BatchScanner scanner(*candidate.file, facts.data_end, FilePosition(candidate.segment.file_bytes));
  while (true) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome == BatchScanner::Outcome::kEnd) return absl::OkStatus();
    const bool sound = outcome == BatchScanner::Outcome::kBatch;
    // Also past it: a batch that reaches into the next segment, which was begun later.
    const auto past_cut = [&] {
      const wire::BatchHeader& header = scanner.header();
      return (cut_at_ && header.base_offset >= *cut_at_) ||
             (next_base && header.end() > *next_base);
    };
    const bool cut = sound && past_cut();
    const bool fits = sound && !cut && scanner.header().base_offset == facts.end_offset;
    if (fits) {
      candidate.evidence = std::max(candidate.evidence, Committed(scanner.header()));
      NoteBatch(facts, index, scanner.bytes(), scanner.position());
      candidate.scanned = true;
      continue;
    }
    BadPlace bad{facts.data_end, facts, index.size(), std::nullopt};
    bool more = false;
    if (!cut) {
      ASSIGN_OR_RETURN(more, scanner.SeekBatch(facts.data_end + 1, facts.end_offset));
    }
    if (more) {
      ASSIGN_OR_RETURN(const BatchScanner::Outcome next, scanner.Next());
      BASCULE_CHECK(next == BatchScanner::Outcome::kBatch);
      more = !past_cut();  // what is behind the cut is not believed
    }
    if (more) {
      bad.resumes_at = scanner.header().base_offset;
      candidate.evidence = std::max(candidate.evidence, Committed(scanner.header()));
      NoteBatch(facts, index, scanner.bytes(), scanner.position());
      // An entry of its own, so that reads behind the damage never walk through it.
      if (index.back().position != scanner.position()) {
        index.push_back({scanner.header().base_offset, scanner.header().base_timestamp,
                         scanner.position(), scanner.header().leader_epoch});
      }
    }
    candidate.bad.push_back(std::move(bad));
    if (!more) return absl::OkStatus();
  }
}

// Whether `footer` is one, and not the end of a message that looks like it: a publisher chooses
// those bytes, and they may be the last of an active segment. A segment is sealed when it has a
// successor, so a footer that ends there is believed; any other only when the batches do lead to
// it.
absl::StatusOr<bool> Recovery::EndsInFooter(Candidate& candidate, const SegmentFooter& footer,
                                            std::optional<Offset> next_base) {
  if (footer.base_offset != candidate.segment.base()) return false;
  if (next_base == footer.end_offset) return true;
  BatchScanner scanner(*candidate.file, FilePosition(kSegmentHeaderBytes),
                       FilePosition(candidate.segment.file_bytes));
  while (true) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome != BatchScanner::Outcome::kBatch) return scanner.next_position() == footer.data_end;
  }
}

absl::StatusOr<Candidate> Recovery::InspectFile(Offset base, std::optional<Offset> next_base) {
  Candidate candidate;
  Segment& segment = candidate.segment;
  segment.path = Path(SegmentFileName(base));
  segment.footer.base_offset = segment.footer.end_offset = base;
  ASSIGN_OR_RETURN(candidate.file, fs_.Open(segment.path, OpenMode::kReadWrite));
  ASSIGN_OR_RETURN(segment.file_bytes, candidate.file->Size());
  RETURN_IF_ERROR(CheckHeader(candidate));
  const absl::StatusOr<SegmentFooter> footer = ReadFooter(*candidate.file, segment.file_bytes);
  bool sealed = false;
  if (footer.ok()) {
    ASSIGN_OR_RETURN(sealed, EndsInFooter(candidate, *footer, next_base));
  }
  if (sealed) {
    segment.footer = *footer;
    segment.sealed = true;
    candidate.evidence = footer->end_offset;
    return candidate;
  }
  RETURN_IF_ERROR(Scan(candidate, next_base));
  return candidate;
}

absl::Status Recovery::Inspect() {
  if (point_) mark_ = point_->active.end_offset;
  if (bounds_) mark_ = std::max(mark_, bounds_->end);
  if (start_) mark_ = std::max(mark_, *start_);
  if (cut_at_) mark_ = std::max(mark_, *cut_at_);
  std::vector<std::string> dropped;
  for (size_t i = 0; i < bases_.size(); ++i) {
    if (start_ && bases_[i] < *start_) {
      Candidate before;
      before.segment.path = Path(SegmentFileName(bases_[i]));
      before.segment.footer.base_offset = bases_[i];
      ASSIGN_OR_RETURN(before.file, fs_.Open(before.segment.path, OpenMode::kRead));
      ASSIGN_OR_RETURN(before.segment.file_bytes, before.file->Size());
      RETURN_IF_ERROR(CheckHeader(before));
      dropped.push_back(before.segment.path);
      continue;
    }
    std::optional<Offset> next_base;
    if (i + 1 < bases_.size()) next_base = bases_[i + 1];
    ASSIGN_OR_RETURN(Candidate candidate, InspectFile(bases_[i], next_base));
    mark_ = std::max(mark_, candidate.evidence);
    candidates_.push_back(std::move(candidate));
  }
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
  Candidate& candidate = candidates_[i];
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

absl::Status Recovery::Settle() {
  if (start_) expected_ = *start_;
  for (size_t i = 0; i < candidates_.size() && !cut_; ++i) {
    Candidate& candidate = candidates_[i];
    const Offset base = candidate.segment.base();
    if (i == 0 && !start_) start_ = expected_ = base;
    // Nothing in it is known to be on the disk, its header included: made anew.
    if (cut_at_ && base >= *cut_at_) return RemoveFrom(i);
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
  Candidate candidate;
  candidate.segment = std::move(segment);
  candidate.file = std::move(file);
  candidates_.push_back(std::move(candidate));
  return absl::OkStatus();
}

// A process before this one may have died of, or just after, a sync that failed: the page cache
// shows what that sync had, the disk has not got it, and a sync of clean pages succeeds without it.
// What nothing vouches for (one flush, as a rule) is written once more, so that ours means it.
absl::Status Recovery::WriteAgain(Candidate& candidate) {
  constexpr size_t kChunkBytes = size_t{1} << 20;
  const Segment& segment = candidate.segment;
  if (segment.end() <= mark_) return absl::OkStatus();
  FilePosition at(0);  // with its header
  if (segment.base() < mark_) at = FloorByOffset(segment.index, segment.base(), mark_).position;
  std::string bytes;
  while (at < segment.footer.data_end) {
    bytes.resize(std::min<uint64_t>(segment.footer.data_end - at, kChunkBytes));
    RETURN_IF_ERROR(ReadFully(*candidate.file, at, bytes.data(), bytes.size()));
    RETURN_IF_ERROR(candidate.file->WriteAt(at, bytes));
    at += bytes.size();
  }
  return absl::OkStatus();
}

absl::Status Recovery::Finish() {
  const bool tail_lost = expected_ < mark_;
  if (tail_lost) Damage(expected_, mark_, Concat("the end of the log in ", directory_, " is gone"));
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
    Candidate& candidate = candidates_[i];
    Segment& segment = candidate.segment;
    const bool active = i + 1 == candidates_.size();
    if (candidate.scanned) RETURN_IF_ERROR(WriteAgain(candidate));
    if (!active && !segment.sealed) {
      ASSIGN_OR_RETURN(segment.footer, SealSegment(*candidate.file, segment.footer, segment.index));
      ASSIGN_OR_RETURN(segment.file_bytes, candidate.file->Size());
      segment.sealed = true;
      result_.notes.push_back(Concat("sealed ", segment.path, " again"));
    }
    result_.last_timestamp = std::max(result_.last_timestamp, segment.footer.max_timestamp);
    if (active) {
      // What was found may only have been in the page cache: from here on it is durable, so it may
      // be shown and acked.
      const bool vouched = point_ && point_->active.base_offset == segment.base();
      if (candidate.scanned || !vouched) {
        RETURN_IF_ERROR(candidate.file->Sync());
        RETURN_IF_ERROR(fs_.SyncDir(directory_));
      }
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

}  // namespace bascule
