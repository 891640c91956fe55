#include "replication/meta/store/log_reader.h"

#include <algorithm>
#include <utility>

#include "core/base/text.h"

namespace bascule::raft_store {
namespace {

class LogReader {
 public:
  LogReader(StoreDirectory& files, raft::Index snapshot, std::vector<std::string>& warnings)
      : files_(files), snapshot_(snapshot), warnings_(warnings) {}

  absl::StatusOr<LogOnDisk> Read(const std::vector<uint64_t>& sequences);

 private:
  absl::StatusOr<std::vector<SegmentHeader>> ReadHeaders(const std::vector<uint64_t>& sequences);
  absl::StatusOr<SegmentHeader> ReadHeader(uint64_t sequence);
  bool IsSpared(const absl::Status& damage, const SegmentHeader& next);
  void Begin(const SegmentHeader& header);
  absl::Status ReadSegment(const SegmentHeader& header, const SegmentHeader* next);
  absl::Status Enter(const SegmentHeader& header);
  absl::Status TakeRecords(std::string_view bytes);
  absl::Status Take(const Record& record);
  absl::Status TakeMark(const Record& record);
  absl::Status JudgeEnd(std::string_view bytes);
  void DropFrom(raft::Index index);
  absl::Status Damaged(std::string_view what) const { return Unusable(files_.path(), path_, what); }
  absl::Status DamagedHere(std::string_view what) const {
    return Damaged(Concat("is damaged at byte ", end_, what));
  }

  StoreDirectory& files_;
  const raft::Index snapshot_;
  std::vector<std::string>& warnings_;
  LogOnDisk log_;
  std::string path_;  // of the segment that is being read
  FilePosition end_;  // of its records so far
};

// Whether a sound record behind the bad place `at` says that `at` was synced. What was written and
// not synced may come back in any part, but names an end at or before its own beginning.
bool WasSynced(std::string_view bytes, uint64_t sequence, FilePosition at) {
  Record record;
  for (size_t i = at.value() + 1; i + kRecordHeaderBytes <= bytes.size(); ++i) {
    if (TakeRecord(bytes.substr(i), {sequence, FilePosition(i)}, record) && record.durable > at) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<SegmentHeader> LogReader::ReadHeader(uint64_t sequence) {
  const std::string name = SegmentFileName(sequence);
  path_ = files_.PathOf(name);
  ASSIGN_OR_RETURN(const std::string bytes, files_.ReadBeginning(name, kSegmentHeaderBytes));
  SegmentHeader header;
  const Soundness judged = DecodeSegmentHeader(bytes, header);
  if (judged == Soundness::kNewer) return WrittenByNewer(path_);
  if (judged != Soundness::kSound || header.sequence != sequence) {
    return Damaged("is damaged at its beginning");
  }
  return header;
}

// The newest segments up to one that is missing or needs none before it; what is older was removed,
// and a crash brought it back. Whether what is left suffices, the snapshot tells.
absl::StatusOr<std::vector<SegmentHeader>> LogReader::ReadHeaders(
    const std::vector<uint64_t>& sequences) {
  std::vector<SegmentHeader> headers;
  for (size_t i = sequences.size(); i-- > 0;) {
    if (!headers.empty() && (headers.back().base || sequences[i] + 1 != headers.back().sequence)) {
      break;
    }
    absl::StatusOr<SegmentHeader> header = ReadHeader(sequences[i]);
    if (!header.ok() && !headers.empty() && IsSpared(header.status(), headers.back())) break;
    RETURN_IF_ERROR(header.status());
    headers.push_back(*header);
  }
  std::reverse(headers.begin(), headers.end());
  return headers;
}

absl::StatusOr<LogOnDisk> LogReader::Read(const std::vector<uint64_t>& sequences) {
  ASSIGN_OR_RETURN(const std::vector<SegmentHeader> headers, ReadHeaders(sequences));
  for (size_t i = 0; i < headers.size(); ++i) {
    const SegmentHeader* next = i + 1 < headers.size() ? &headers[i + 1] : nullptr;
    if (i == 0) Begin(headers[0]);
    const absl::Status read = ReadSegment(headers[i], next);
    if (read.ok()) continue;
    if (next == nullptr || !IsSpared(read, *next)) return read;
    Begin(*next);
  }
  for (const uint64_t sequence : sequences) {
    if (sequence < log_.segments.front().sequence) log_.leftovers.push_back(sequence);
  }
  return std::move(log_);
}

// Whether damage before the segment `next` costs nothing: the snapshot has all that stood there.
bool LogReader::IsSpared(const absl::Status& damage, const SegmentHeader& next) {
  if (!absl::IsDataLoss(damage) || next.first > snapshot_ + 1) return false;
  warnings_.push_back(Concat(path_, " is damaged; the snapshot up to entry ", snapshot_,
                             " has all that it held, so it is removed"));
  return true;
}

// Nothing before this segment counts.
void LogReader::Begin(const SegmentHeader& header) {
  log_ = LogOnDisk();
  log_.first = header.first;
  log_.previous_term = header.previous_term;
}

absl::Status LogReader::ReadSegment(const SegmentHeader& header, const SegmentHeader* next) {
  const std::string name = SegmentFileName(header.sequence);
  path_ = files_.PathOf(name);
  end_ = FilePosition(kSegmentHeaderBytes);
  ASSIGN_OR_RETURN(const std::string bytes, files_.Read(name));
  RETURN_IF_ERROR(Enter(header));
  log_.segments.push_back({header.sequence, header.first, bytes.size()});
  if (next != nullptr) {
    // All of it was synced before there was a next one.
    RETURN_IF_ERROR(TakeRecords(std::string_view(bytes).substr(0, next->previous_end.value())));
    return end_ == next->previous_end ? absl::OkStatus() : DamagedHere("");
  }
  RETURN_IF_ERROR(TakeRecords(bytes));
  return JudgeEnd(bytes);
}

absl::Status LogReader::Enter(const SegmentHeader& header) {
  if (header.first > log_.last() + 1) {
    return Damaged(Concat("begins with entry ", header.first, ", but the log before it ends at ",
                          log_.last()));
  }
  DropFrom(header.first);
  const raft::Term before = log_.TermAt(header.first - 1);
  if (before != raft::Term() && before != header.previous_term) {
    return Damaged("does not continue the segment before it");
  }
  if (log_.entries.empty()) log_.previous_term = header.previous_term;
  log_.commit = std::max(log_.commit, header.commit);
  log_.newest = header;
  log_.newest_first = header.first;
  return absl::OkStatus();
}

// Leaves `end_` behind the last sound record.
absl::Status LogReader::TakeRecords(std::string_view bytes) {
  Record record;
  while (end_.value() <= bytes.size() &&
         TakeRecord(bytes.substr(end_.value()), {log_.newest.sequence, end_}, record)) {
    RETURN_IF_ERROR(record.type == RecordType::kMark ? TakeMark(record) : Take(record));
    log_.commit = std::max(log_.commit, record.commit);
    end_ += record.bytes();
  }
  return absl::OkStatus();
}

absl::Status LogReader::TakeMark(const Record& record) {
  const raft::Term last = log_.TermAt(log_.last());
  if (record.index != log_.last() || (last != raft::Term() && last != record.term)) {
    return DamagedHere(
        Concat(": the log should end at ", record.index, ", but it ends at ", log_.last()));
  }
  return absl::OkStatus();
}

absl::Status LogReader::Take(const Record& record) {
  if (record.index.value() == 0 || record.index > log_.last() + 1) {
    return DamagedHere(Concat(": entry ", record.index, " follows entry ", log_.last()));
  }
  DropFrom(record.index);
  if (record.term < log_.TermAt(record.index - 1)) {
    return DamagedHere(Concat(": the term of entry ", record.index, " goes back"));
  }
  log_.newest_first = std::min(log_.newest_first, record.index);
  log_.entries.push_back({record.index, record.term, static_cast<raft::EntryType>(record.type),
                          std::string(record.data)});
  return absl::OkStatus();
}

// A later entry takes the place of an earlier one of its index, and of all behind that.
void LogReader::DropFrom(raft::Index index) {
  if (index > log_.last()) return;
  if (index >= log_.first) {
    log_.entries.resize(index - log_.first);
    return;
  }
  log_.entries.clear();
  log_.first = index;
  log_.previous_term = raft::Term();
}

// Of the newest segment: what stands behind its last sound record?
absl::Status LogReader::JudgeEnd(std::string_view bytes) {
  const std::string_view rest = bytes.substr(end_.value());
  if (end_ < log_.newest.durable || WasSynced(bytes, log_.newest.sequence, end_)) {
    return DamagedHere("");
  }
  if (rest.find_first_not_of('\0') == std::string_view::npos) return absl::OkStatus();
  warnings_.push_back(Concat(path_, ": cut a torn tail from byte ", end_, " on, behind entry ",
                             log_.last(), "; nobody was told that it was stored"));
  return absl::OkStatus();
}

}  // namespace

raft::Term LogOnDisk::TermAt(raft::Index index) const {
  if (index + 1 == first) return previous_term;
  if (index < first || index > last()) return raft::Term();
  return entries[index - first].term;
}

absl::StatusOr<LogOnDisk> ReadLog(StoreDirectory& files, const std::vector<std::string>& names,
                                  uint64_t newest, raft::Index snapshot,
                                  std::vector<std::string>& warnings) {
  std::vector<uint64_t> sequences;
  for (const std::string& name : names) {
    if (const auto sequence = ParseSegmentName(name)) sequences.push_back(*sequence);
  }
  std::sort(sequences.begin(), sequences.end());
  if (sequences.empty() || sequences.back() < newest) {
    return Unusable(files.path(), files.PathOf(SegmentFileName(newest)), "is missing");
  }
  return LogReader(files, snapshot, warnings).Read(sequences);
}

}  // namespace bascule::raft_store
