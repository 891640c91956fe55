#include "replication/meta/store/log_files.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule::raft_store {

// Zeros are written ahead, so that a sync has no new blocks and no new size to bring to the disk.
uint64_t LogFiles::RoundUp(uint64_t bytes) const {
  const uint64_t step =
      std::max<uint64_t>(1, std::min<uint64_t>(limits::kRaftPreallocateBytes, segment_bytes_));
  return (bytes + step - 1) / step * step;
}

uint64_t LogFiles::bytes() const {
  uint64_t bytes = 0;
  for (const SegmentFile& segment : segments_) bytes += segment.bytes;
  return bytes;
}

// `group` will stand at `end_`.
void LogFiles::AppendTo(std::string& group, Record record) const {
  AppendRecord(group, {segments_.back().sequence, end_ + group.size()}, record);
}

absl::StatusOr<std::unique_ptr<File>> LogFiles::MakeSegment(const SegmentHeader& header,
                                                            std::string_view records) {
  const std::string name = SegmentFileName(header.sequence);
  const uint64_t end = kSegmentHeaderBytes + records.size();
  const std::string zeros(RoundUp(end) - end, '\0');
  RETURN_IF_ERROR(files_.Publish(name, {EncodeSegmentHeader(header), records, zeros}));
  absl::StatusOr<std::unique_ptr<File>> file = files_.OpenForWriting(name);
  return file.ok() ? std::move(file) : Failed(file.status());
}

void LogFiles::GoOnIn(std::unique_ptr<File> file, const SegmentHeader& header, FilePosition end) {
  file_ = std::move(file);
  end_ = end;
  segments_.push_back({header.sequence, header.first, RoundUp(end.value())});
  marked_ = true;
}

absl::Status LogFiles::Continue(const LogOnDisk& disk) {
  segments_.assign(disk.segments.begin(), disk.segments.end() - 1);
  commit_ = std::min(disk.commit, disk.last());  // of a torn group, the rest may be missing
  SegmentHeader header = disk.newest;
  header.first = disk.newest_first;
  header.previous_term = disk.TermAt(header.first - 1);
  header.commit = commit_;
  std::string records;
  for (size_t i = header.first - disk.first; i < disk.entries.size(); ++i) {
    const raft::Entry& entry = disk.entries[i];
    const FilePosition at(kSegmentHeaderBytes + records.size());
    AppendRecord(
        records, {header.sequence, at},
        {entry.index, entry.term, commit_, at, static_cast<RecordType>(entry.type), entry.data});
  }
  header.durable = FilePosition(kSegmentHeaderBytes + records.size());
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, MakeSegment(header, records));
  GoOnIn(std::move(file), header, header.durable);
  terms_.Reset(disk.first - 1, disk.previous_term);
  for (const raft::Entry& entry : disk.entries) terms_.Append(entry.index, entry.term);
  for (const uint64_t sequence : disk.leftovers) {
    files_.Remove(SegmentFileName(sequence)).IgnoreError();
  }
  return absl::OkStatus();
}

absl::Status LogFiles::StartAnew(raft::Index last, raft::Term term, const LogOnDisk* disk) {
  std::vector<uint64_t> gone;
  if (disk != nullptr) {
    gone = disk->leftovers;
    for (const SegmentFile& segment : disk->segments) gone.push_back(segment.sequence);
  }
  for (const SegmentFile& segment : segments_) gone.push_back(segment.sequence);
  SegmentHeader header;
  header.sequence = gone.empty() ? 1 : gone.back() + 1;
  header.first = last + 1;
  header.previous_term = term;
  header.commit = last;
  header.durable = FilePosition(kSegmentHeaderBytes);
  header.base = true;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, MakeSegment(header, ""));
  segments_.clear();
  GoOnIn(std::move(file), header, header.durable);
  terms_.Reset(last, term);
  commit_ = last;
  // Those that a crash brings back do not count: the new segment says so.
  for (const uint64_t sequence : gone) {
    files_.Remove(SegmentFileName(sequence)).IgnoreError();
  }
  return absl::OkStatus();
}

absl::Status LogFiles::Prepare(uint64_t bytes, RaftRoom room) {
  const bool is_empty = end_ == FilePosition(kSegmentHeaderBytes);
  const bool rolls = !is_empty && end_.value() + bytes > segment_bytes_;
  const uint64_t after = rolls ? kSegmentHeaderBytes + bytes : end_.value() + bytes;
  const uint64_t there = rolls ? 0 : segments_.back().bytes;
  const bool has_room = files_.HasRoom(after > there ? RoundUp(after) - there : 0);
  if (!has_room && room == RaftRoom::kReserve) {
    return absl::ResourceExhaustedError(Concat("append to the metadata log: the disk of ",
                                               files_.path(),
                                               " is full up to its reserve; make room"));
  }
  return rolls ? Roll() : absl::OkStatus();
}

absl::Status LogFiles::Roll() {
  SegmentHeader header;
  header.sequence = segments_.back().sequence + 1;
  header.first = last() + 1;
  header.previous_term = TermAt(last());
  header.commit = commit_;
  header.previous_end = end_;
  header.durable = FilePosition(kSegmentHeaderBytes);
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, MakeSegment(header, ""));
  GoOnIn(std::move(file), header, header.durable);
  return absl::OkStatus();
}

absl::Status LogFiles::Append(const std::vector<raft::Entry>& entries, raft::Index commit,
                              RaftRoom room) {
  const raft::Index known = std::max(commit_, std::min(commit, entries.back().index));
  std::string group;
  for (const raft::Entry& entry : entries) {
    AppendTo(group, {entry.index, entry.term, known, end_, static_cast<RecordType>(entry.type),
                     entry.data});
  }
  const auto write = [&] { return WriteGroup(group); };
  RETURN_IF_ERROR(room == RaftRoom::kBallast ? files_.WithBallast(write) : write());
  for (const raft::Entry& entry : entries) terms_.Append(entry.index, entry.term);
  commit_ = known;
  marked_ = false;
  return absl::OkStatus();
}

absl::Status LogFiles::Mark(raft::Index commit) {
  const raft::Index known = std::max(commit_, std::min(commit, last()));
  if (marked_ && known == commit_) return absl::OkStatus();
  std::string group;
  AppendTo(group, {last(), TermAt(last()), known, end_, RecordType::kMark, ""});
  RETURN_IF_ERROR(WriteGroup(group));
  commit_ = known;
  marked_ = true;
  return absl::OkStatus();
}

absl::Status LogFiles::WriteGroup(const std::string& records) {
  std::string group = records;
  const FilePosition end = end_ + group.size();
  uint64_t& size = segments_.back().bytes;
  const uint64_t grown = std::max(size, RoundUp(end.value()));
  if (end.value() > size) group.resize(grown - end_.value(), '\0');
  const absl::Status written = file_->WriteAt(end_, group);
  if (absl::IsResourceExhausted(written)) return TakeBack(written);
  if (!written.ok()) return Failed(written);
  // A full disk that shows only now leaves it open what was stored, as any failed sync.
  const absl::Status synced = file_->Sync();
  if (!synced.ok()) return Failed(synced);
  if (end.value() > size) size = grown;
  end_ = end;
  return absl::OkStatus();
}

// A part of the group may be in the file: it goes, durably, so that "not stored" stays true.
absl::Status LogFiles::TakeBack(const absl::Status& error) {
  absl::Status cut = file_->Truncate(end_.value());
  if (cut.ok()) cut = file_->Sync();
  if (!cut.ok()) return Failed(cut);
  segments_.back().bytes = end_.value();
  return error;
}

absl::Status LogFiles::RemoveThrough(raft::Index through) {
  while (segments_.size() > 1 && segments_[1].first <= through + 1) {
    RETURN_IF_ERROR(files_.Remove(SegmentFileName(segments_.front().sequence)));
    segments_.erase(segments_.begin());
    terms_.ForgetBefore(segments_.front().first - 1);
  }
  return absl::OkStatus();
}

}  // namespace bascule::raft_store
