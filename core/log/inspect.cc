#include "core/log/inspect.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/base/text.h"
#include "core/log/batch_scanner.h"
#include "core/log/file_owner.h"
#include "core/log/log_bounds.h"
#include "core/log/recovery.h"
#include "core/log/segment.h"

namespace bascule::log {
namespace {

constexpr int kMaxDepth = 3;

// Also of one that an opening, which ended half way, left under its other name.
std::optional<Offset> SegmentIn(std::string_view name) {
  const std::string_view entering = ParseEnteringName(name);
  return ParseSegmentFileName(entering.empty() ? name : entering);
}

bool HoldsSegments(const std::vector<DirectoryEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const DirectoryEntry& e) {
    return !e.is_directory && (SegmentIn(e.name).has_value() || e.name == kLogBoundsFileName);
  });
}

absl::Status FindLogsBelow(FileSystem& fs, const std::string& path, int depth,
                           std::vector<std::string>& found) {
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, fs.List(path));
  if (HoldsSegments(entries)) found.push_back(path);
  if (depth == kMaxDepth) return absl::OkStatus();
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory || entry.name == "trash") continue;
    RETURN_IF_ERROR(FindLogsBelow(fs, JoinPath(path, entry.name), depth + 1, found));
  }
  return absl::OkStatus();
}

// What recovery.points at `path`, or above it, says of the logs at or below `path`.
void ListedLogs(FileSystem& fs, const std::string& path, std::string& problem,
                std::map<std::string, std::optional<RecoveryPoint>>& logs) {
  std::string data = path;
  absl::StatusOr<RecoveryPointSet> points = LoadRecoveryPoints(fs, data);
  for (int up = 0; up < kMaxDepth && absl::IsNotFound(points.status()); ++up) {
    data = ParentPath(data);
    points = LoadRecoveryPoints(fs, data);
  }
  if (!points.ok()) {
    if (!absl::IsNotFound(points.status())) problem = FromAbsl(points.status().message());
    return;
  }
  for (auto& [key, point] : points->partitions) {
    const std::string directory =
        JoinPath(JoinPath(data, "streams"), Concat(key.stream, "/", key.partition));
    const bool below = path == data || directory == path || directory.starts_with(path + "/");
    if (below) logs[directory] = std::move(point);
  }
}

// Where a log has to begin and to end; the problems of the file that says so go to `log`.
struct KnownBounds {
  std::optional<Offset> start;
  Offset end;
};

// By its place, else what most of its files say; files of anybody else are problems of `log`.
void FindOwner(FileSystem& fs, LogReport& log) {
  const std::vector<OwnedFile> files = ReadOwners(fs, log.directory);
  std::map<PartitionKey, int> counts;
  for (const OwnedFile& file : files) ++counts[file.owner];
  std::optional<PartitionKey> owner = OwnerByPlace(log.directory);
  if (!owner && !counts.empty()) {
    owner = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
              return a.second < b.second;
            })->first;
  }
  if (!owner) return;
  log.stream = owner->stream;
  log.partition = owner->partition;
  for (const OwnedFile& file : files)
    if (file.owner != *owner) log.problems.push_back(ForeignText(file, *owner));
}

KnownBounds FindBounds(FileSystem& fs, const FoundLog& found, LogReport& log) {
  KnownBounds known;
  if (found.point) {
    known.start = found.point->log_start;
    known.end = found.point->active.end_offset;
  }
  const absl::StatusOr<StoredLogBounds> stored = LoadLogBounds(fs, found.directory);
  if (stored.ok()) {
    if (stored->key != PartitionKey{log.stream, log.partition}) return known;
    known.start = stored->bounds.start;
    known.end = std::max(known.end, stored->bounds.end);
  } else if (!absl::IsNotFound(stored.status())) {
    log.problems.push_back(std::string(FromAbsl(stored.status().message())));
  }
  return known;
}

// Walks the batches of one segment, checking each.
class SegmentWalk {
 public:
  SegmentWalk(File& file, SegmentReport& report, FilePosition end)
      : file_(file), report_(report), end_(end) {}

  absl::Status Run(const std::function<void(uint64_t)>& progress) {
    SegmentFooter facts;
    facts.base_offset = facts.end_offset = report_.facts.base_offset;
    facts.data_end = FilePosition(kSegmentHeaderBytes);
    BatchScanner scanner(file_, facts.data_end, end_);
    while (true) {
      ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
      if (outcome == BatchScanner::Outcome::kEnd) break;
      if (outcome == BatchScanner::Outcome::kBad) {
        ASSIGN_OR_RETURN(const bool more, Skip(scanner, facts));
        if (!more) break;
        continue;
      }
      if (scanner.header().base_offset < facts.end_offset) {
        report_.problems.push_back(Concat("offset ", scanner.header().base_offset, " at byte ",
                                          scanner.position(), " comes after offset ",
                                          facts.end_offset - 1));
      }
      NoteBatch(facts, index_, scanner.bytes(), scanner.position());
      ++report_.batches;
      progress(facts.data_end.value());
    }
    Compare(facts);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<bool> Skip(BatchScanner& scanner, const SegmentFooter& facts) {
    const FilePosition bad = scanner.next_position();
    ASSIGN_OR_RETURN(const bool more, scanner.SeekBatch(bad + 1, facts.end_offset));
    if (more || report_.sealed) {
      report_.problems.push_back(
          Concat("damaged at byte ", bad, " (offset ", facts.end_offset, " and after)"));
    } else {
      report_.remarks.push_back(
          Concat("torn tail from byte ", bad, " on; the next start cuts it off"));
    }
    return more;
  }

  void Compare(const SegmentFooter& walked) {
    if (!report_.sealed) {
      report_.facts = walked;
      return;
    }
    const SegmentFooter& footer = report_.facts;
    if (report_.problems.empty() && footer.data_crc != walked.data_crc) {
      report_.problems.push_back("the segment's checksum differs from its footer's");
    }
    if (footer.record_count != walked.record_count) {
      report_.problems.push_back(Concat("holds ", walked.record_count,
                                        " messages, its footer says ", footer.record_count));
    }
  }

  File& file_;
  SegmentReport& report_;
  const FilePosition end_;
  std::vector<IndexEntry> index_;
};

absl::Status InspectSegment(FileSystem& fs, InspectDepth depth, Offset base, SegmentReport& report,
                            const std::function<void(uint64_t)>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(report.path, OpenMode::kRead));
  ASSIGN_OR_RETURN(report.file_bytes, file->Size());
  report.facts.base_offset = report.facts.end_offset = base;
  std::string bytes(std::min<uint64_t>(kSegmentHeaderBytes, report.file_bytes), '\0');
  RETURN_IF_ERROR(ReadFully(*file, FilePosition(0), bytes.data(), bytes.size()));
  if (const auto header = ParseSegmentHeader(bytes); header.ok()) {
    if (header->base_offset != base)
      report.problems.push_back("its header names another base offset than its name");
  } else {
    report.problems.push_back(std::string(FromAbsl(header.status().message())));
  }
  const absl::StatusOr<SegmentFooter> footer = ReadFooter(*file, report.file_bytes);
  if (absl::IsDataLoss(footer.status()))
    report.problems.push_back(std::string(FromAbsl(footer.status().message())));
  report.sealed = footer.ok();
  if (footer.ok()) report.facts = *footer;
  if (report.sealed && depth == InspectDepth::kFooters) return absl::OkStatus();
  if (report.sealed) {
    if (const auto index = ReadSealedIndex(*file, report.facts); !index.ok()) {
      report.problems.push_back(std::string(FromAbsl(index.status().message())));
    }
  }
  const FilePosition end = report.sealed ? report.facts.data_end : FilePosition(report.file_bytes);
  return SegmentWalk(*file, report, end).Run(progress);
}

}  // namespace

bool LogReport::sound() const {
  return problems.empty() && std::all_of(segments.begin(), segments.end(),
                                         [](const SegmentReport& s) { return s.problems.empty(); });
}

absl::StatusOr<FoundLogs> FindLogs(FileSystem& fs, const std::string& path) {
  FoundLogs found;
  std::map<std::string, std::optional<RecoveryPoint>> logs;
  std::vector<std::string> directories;
  // First the points: what they say is on the disk when the segments are looked at.
  ListedLogs(fs, path, found.points_problem, logs);
  const absl::Status listed = FindLogsBelow(fs, path, 0, directories);
  if (!listed.ok() && !(absl::IsNotFound(listed) && !logs.empty())) return listed;
  for (const std::string& directory : directories) logs.try_emplace(directory);
  for (auto& [directory, point] : logs) {
    const bool there = std::count(directories.begin(), directories.end(), directory) > 0;
    const bool held_data = point && point->active.end_offset > Offset(0);
    if (there || held_data) found.logs.push_back({directory, std::move(point)});
  }
  if (found.logs.empty()) {
    return absl::NotFoundError(
        Concat("no segment files in or below ", path,
               "; pass a broker's data directory or a partition's directory"));
  }
  return found;
}

absl::StatusOr<LogReport> InspectLog(FileSystem& fs, const FoundLog& found, InspectDepth depth,
                                     const std::function<void(uint64_t, uint64_t)>& progress) {
  LogReport log;
  log.directory = found.directory;
  FindOwner(fs, log);
  const KnownBounds known = FindBounds(fs, found, log);
  absl::StatusOr<std::vector<DirectoryEntry>> entries = fs.List(found.directory);
  if (absl::IsNotFound(entries.status())) {
    log.problems.push_back("the directory is missing although it held data");
    entries = std::vector<DirectoryEntry>();
  }
  RETURN_IF_ERROR(entries.status());
  std::map<Offset, std::string> names;
  uint64_t total = 0;
  for (const DirectoryEntry& entry : *entries) {
    const auto base = SegmentIn(entry.name);
    // What retention has dropped is no part of the log; a crash, or a broker at work, left the file.
    if (!base || (known.start && *base < *known.start)) continue;
    // The plain name comes first in the list, and counts.
    if (names.contains(*base)) continue;
    const absl::StatusOr<std::unique_ptr<File>> file =
        fs.Open(JoinPath(found.directory, entry.name), OpenMode::kRead);
    if (absl::IsFailedPrecondition(file.status())) {  // something else stands in its place
      log.problems.push_back(std::string(FromAbsl(file.status().message())));
      continue;
    }
    RETURN_IF_ERROR(file.status());
    ASSIGN_OR_RETURN(const uint64_t bytes, (*file)->Size());
    names.emplace(*base, entry.name);
    total += bytes;
  }
  uint64_t before = 0;
  std::optional<Offset> end = known.start;
  for (const auto& [base, name] : names) {
    SegmentReport report;
    report.path = JoinPath(found.directory, name);
    RETURN_IF_ERROR(InspectSegment(fs, depth, base, report,
                                   [&](uint64_t done) { progress(before + done, total); }));
    if (end && *end < base)
      log.problems.push_back(
          Concat("offsets ", *end, " to ", base - 1, " are missing before ", report.path));
    if (end && *end > base)
      log.problems.push_back(
          Concat(report.path, " overlaps the segment before it, which ends at ", *end));
    before += report.file_bytes;
    progress(before, total);
    end = report.facts.end_offset;
    log.segments.push_back(std::move(report));
  }
  const Offset reached = end.value_or(Offset(0));
  if (reached < known.end)
    log.problems.push_back(
        Concat("offsets ", reached, " to ", known.end - 1, " are missing at the end of the log"));
  return log;
}

}  // namespace bascule::log
