#include "core/log/found_segment.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/log/batch_scanner.h"
#include "core/log/file_owner.h"

namespace bascule::log {
namespace {

constexpr size_t kMaxIndexFileBytes = size_t{64} << 20;

// What the batch proves to have been durable: at most all before it, whatever it claims.
Offset Committed(const wire::BatchHeader& header) {
  return std::min(header.committed_through, header.base_offset);
}

absl::Status CheckHeader(FileSystem& fs, const RecoveryRequest& request, FoundSegment& found) {
  std::string bytes(std::min<uint64_t>(kSegmentHeaderBytes, found.segment.file_bytes), '\0');
  RETURN_IF_ERROR(ReadFully(*found.file, FilePosition(0), bytes.data(), bytes.size()));
  const absl::StatusOr<SegmentHeader> header = ParseSegmentHeader(bytes);
  if (absl::IsFailedPrecondition(header.status())) {
    return absl::FailedPreconditionError(
        Concat(found.segment.path, ": ", header.status().message()));
  }
  if (header.ok() && header->base_offset != found.segment.base()) {
    return absl::FailedPreconditionError(
        Concat(found.segment.path, " holds the segment that begins at offset ",
               header->base_offset.value(), "; give it back its name"));
  }
  found.header_ok = header.ok();
  if (header.ok() && (header->stream != request.stream || header->partition != request.partition)) {
    return ForeignFile(fs, request.directory,
                       {found.segment.path, {header->stream, header->partition}},
                       {request.stream, request.partition});
  }
  return absl::OkStatus();
}

// Facts up to the recovery point are taken from it, so that the scan starts there.
bool StartFromPoint(FileSystem& fs, const RecoveryRequest& request, FoundSegment& found) {
  const std::optional<RecoveryPoint>& point = request.point;
  if (!point || point->active.base_offset != found.segment.base()) return false;
  if (point->active.data_end.value() > found.segment.file_bytes) return false;
  if (point->active.data_end.value() < kSegmentHeaderBytes) return false;
  absl::StatusOr<std::unique_ptr<File>> file =
      fs.Open(JoinPath(request.directory, IndexFileName(found.segment.base())), OpenMode::kRead);
  if (file.ok()) {
    const absl::StatusOr<std::string> bytes = ReadWhole(**file, kMaxIndexFileBytes);
    std::vector<IndexEntry>& index = found.segment.index;
    for (size_t at = 0; bytes.ok() && at + kIndexEntryBytes <= bytes->size();
         at += kIndexEntryBytes) {
      const auto entry = ParseIndexEntry(std::string_view(*bytes).substr(at));
      if (!entry || entry->position >= point->active.data_end) break;
      if (!index.empty() && entry->offset <= index.back().offset) break;
      index.push_back(*entry);
    }
  }
  found.segment.footer = point->active;
  return true;
}

absl::Status Scan(FileSystem& fs, const RecoveryRequest& request, FoundSegment& found,
                  std::optional<Offset> next_base) {
  SegmentFooter& facts = found.segment.footer;
  std::vector<IndexEntry>& index = found.segment.index;
  // Behind a header that is not what was written nothing is taken unseen.
  if (!found.header_ok || !StartFromPoint(fs, request, found))
    facts.data_end = FilePosition(kSegmentHeaderBytes);
  found.segment.has_index = true;
  BatchScanner scanner(*found.file, facts.data_end, FilePosition(found.segment.file_bytes));
  while (true) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome == BatchScanner::Outcome::kEnd) return absl::OkStatus();
    const bool sound = outcome == BatchScanner::Outcome::kBatch;
    // Also past it: a batch that reaches into the next segment, which was begun later.
    const auto past_cut = [&] {
      const wire::BatchHeader& header = scanner.header();
      return (request.known_end && header.base_offset >= request.known_end->given) ||
             (next_base && header.end() > *next_base);
    };
    const bool cut = sound && past_cut();
    const bool fits = sound && !cut && scanner.header().base_offset == facts.end_offset;
    if (fits) {
      found.evidence = std::max(found.evidence, Committed(scanner.header()));
      NoteBatch(facts, index, scanner.bytes(), scanner.position());
      found.scanned = true;
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
      found.evidence = std::max(found.evidence, Committed(scanner.header()));
      NoteBatch(facts, index, scanner.bytes(), scanner.position());
      // An entry of its own, so that reads behind the damage never walk through it.
      if (index.back().position != scanner.position()) {
        index.push_back({scanner.header().base_offset, scanner.header().base_timestamp,
                         scanner.position(), scanner.header().leader_epoch});
      }
    }
    found.bad.push_back(std::move(bad));
    if (!more) return absl::OkStatus();
  }
}

// Whether `footer` is one, and not the end of a message that looks like it: a publisher chooses
// those bytes, and they may be the last of an active segment. A segment is sealed when it has a
// successor, so a footer that ends there is believed; any other only when the batches do lead to
// it.
absl::StatusOr<bool> EndsInFooter(FoundSegment& found, const SegmentFooter& footer,
                                  std::optional<Offset> next_base) {
  if (footer.base_offset != found.segment.base()) return false;
  if (next_base == footer.end_offset) return true;
  BatchScanner scanner(*found.file, FilePosition(kSegmentHeaderBytes),
                       FilePosition(found.segment.file_bytes));
  while (true) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome != BatchScanner::Outcome::kBatch) return scanner.next_position() == footer.data_end;
  }
}

}  // namespace

absl::StatusOr<FoundSegment> OpenSegment(FileSystem& fs, const RecoveryRequest& request,
                                         Offset base, OpenMode mode) {
  FoundSegment found;
  Segment& segment = found.segment;
  segment.path = JoinPath(request.directory, SegmentFileName(base));
  segment.footer.base_offset = segment.footer.end_offset = base;
  ASSIGN_OR_RETURN(found.file, fs.Open(segment.path, mode));
  ASSIGN_OR_RETURN(segment.file_bytes, found.file->Size());
  RETURN_IF_ERROR(CheckHeader(fs, request, found));
  return found;
}

absl::StatusOr<FoundSegment> FindSegment(FileSystem& fs, const RecoveryRequest& request,
                                         Offset base, std::optional<Offset> next_base) {
  ASSIGN_OR_RETURN(FoundSegment found, OpenSegment(fs, request, base, OpenMode::kReadWrite));
  Segment& segment = found.segment;
  const absl::StatusOr<SegmentFooter> footer = ReadFooter(*found.file, segment.file_bytes);
  bool sealed = false;
  if (footer.ok()) {
    ASSIGN_OR_RETURN(sealed, EndsInFooter(found, *footer, next_base));
  }
  if (sealed) {
    segment.footer = *footer;
    segment.sealed = true;
    found.evidence = footer->end_offset;
    return found;
  }
  RETURN_IF_ERROR(Scan(fs, request, found, next_base));
  return found;
}

}  // namespace bascule::log
