#include "core/log/segment_reader.h"

#include <algorithm>
#include <deque>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/log/batch_scanner.h"
#include "core/log/recovery.h"
#include "core/wire/record.h"

namespace bascule::log {
namespace {

// A window of a file in memory of its own, without zeroing it first.
struct Block {
  std::shared_ptr<char[]> bytes;
  size_t size = 0;
  std::string_view view() const { return {bytes.get(), size}; }
};

absl::StatusOr<Block> ReadBlock(File& file, FilePosition at, size_t n, ReadWait wait) {
  Block block{std::make_shared_for_overwrite<char[]>(n), 0};
  while (block.size < n) {
    char* out = block.bytes.get() + block.size;
    const FilePosition position = at + block.size;
    const absl::StatusOr<size_t> got = wait == ReadWait::kWait
                                           ? file.ReadAt(position, out, n - block.size)
                                           : file.ReadAtNoWait(position, out, n - block.size);
    if (!got.ok() && absl::IsUnavailable(got.status()) && block.size >= wire::kBatchHeaderBytes)
      break;
    if (!got.ok()) return got.status();
    if (*got == 0) break;
    block.size += *got;
  }
  return block;
}

absl::Status Damaged(const SegmentReadPlan& plan, FilePosition at, Offset expected) {
  return absl::DataLossError(
      Concat(plan.path, " is damaged at byte ", at, " (offset ", expected,
             " or after); read from a later offset, or restore the file from a copy"));
}

// Opens the file and finds the starting position where the plan could not.
absl::Status Complete(FileSystem& fs, SegmentReadPlan& plan, SegmentReadResult& result) {
  if (!plan.file) {
    absl::StatusOr<std::unique_ptr<File>> file = fs.Open(plan.path, OpenMode::kRead);
    if (!file.ok()) return file.status();
    plan.file = *std::move(file);
  }
  result.file = plan.file;
  if (!plan.load_index) return absl::OkStatus();
  absl::StatusOr<std::vector<IndexEntry>> index = ReadSealedIndex(*plan.file, plan.footer);
  // A damaged index only costs the walk from the segment's beginning.
  result.index = index.ok() ? *std::move(index) : std::vector<IndexEntry>{};
  plan.start = FloorByOffset(*result.index, plan.footer.base_offset, plan.from).position;
  return absl::OkStatus();
}

// Forward: from plan.start over unwanted batches to the first wanted one, then whole batches until
// the window is full.
class ForwardWalk {
 public:
  ForwardWalk(const SegmentReadPlan& plan, ReadWait wait)
      : plan_(plan), wait_(wait), at_(plan.start), seen_end_(plan.footer.base_offset) {}

  absl::StatusOr<SegmentReadResult> Run() {
    SegmentReadResult result;
    size_t want = std::max(plan_.max_bytes, wire::kBatchHeaderBytes);
    while (at_ < plan_.footer.data_end && !past_) {
      const size_t n = std::min<uint64_t>(want, plan_.footer.data_end - at_);
      ASSIGN_OR_RETURN(const Block block, ReadBlock(*plan_.file, at_, n, wait_));
      size_t needed = 0;
      ASSIGN_OR_RETURN(const bool found, Collect(block.view(), needed));
      if (found) {
        result.batches = Bytes(block.bytes, block.view().substr(begin_, end_ - begin_));
        result.next = next_;
        result.next_position = position_;
        return result;
      }
      if (needed > 0 && at_ + needed > plan_.footer.data_end)
        return Damaged(plan_, at_, plan_.from);
      if (needed > 0 && block.size < n) {
        if (wait_ == ReadWait::kNoWait)
          return absl::UnavailableError("the rest of a batch is not in memory");
        return Damaged(plan_, at_, plan_.from);  // the file ends early
      }
      want = std::max(want, needed);  // one batch larger than the window
    }
    result.next = std::min(plan_.footer.end_offset, plan_.limit);
    result.next_position = at_;
    return result;
  }

 private:
  // Looks at the window that begins at at_. True: begin_, end_, next_ and position_ describe what
  // is wanted in it. False: at_ has moved on; `needed` > 0 when the batch at at_ wants that many
  // bytes.
  absl::StatusOr<bool> Collect(std::string_view block, size_t& needed) {
    size_t at = 0;
    bool found = false;
    while (!past_) {
      const std::string_view rest = block.substr(at);
      wire::BatchHeader header;
      std::string_view payload;
      // Batches on the way are checked too: a changed header must not make one look unwanted.
      const wire::BatchParse parse = wire::ParseBatch(rest, header, payload);
      // Offsets that go back or leave the segment are no writer's work, whatever the checksum says.
      if (parse == wire::BatchParse::kOk && header.base_offset >= seen_end_ &&
          header.end() <= plan_.footer.end_offset) {
        seen_end_ = header.end();
        const bool wanted = found || header.end() > plan_.from;
        past_ = wanted && header.base_offset >= plan_.limit;
        if (past_) break;
        if (wanted && !found) {
          begin_ = at;
          found = true;
        }
        at += header.total_bytes();
        if (found) {
          end_ = at;
          next_ = header.end();
          position_ = at_ + at;
        }
        if (at < block.size()) continue;
        break;
      }
      if (found) break;
      at_ += at;
      if (parse == wire::BatchParse::kTorn) {
        const bool whole_header = wire::ParseBatchHeader(rest, header) == wire::BatchParse::kOk;
        needed = whole_header ? header.total_bytes() : wire::kBatchHeaderBytes;
        return false;
      }
      RETURN_IF_ERROR(SkipDamage());
      return false;
    }
    if (!found) at_ += at;
    return found;
  }

  // Something that is no batch stands at at_. What was asked for may lie behind it.
  absl::Status SkipDamage() {
    if (wait_ == ReadWait::kNoWait) return absl::UnavailableError("needs a search on the disk");
    BatchScanner scanner(*plan_.file, at_, plan_.footer.data_end);
    ASSIGN_OR_RETURN(const bool found, scanner.SeekBatch(at_ + 1, seen_end_));
    if (!found) return Damaged(plan_, at_, plan_.from);
    const FilePosition resumes = scanner.next_position();
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    BASCULE_CHECK(outcome == BatchScanner::Outcome::kBatch);
    if (scanner.header().base_offset > plan_.from) return Damaged(plan_, at_, plan_.from);
    at_ = resumes;
    return absl::OkStatus();
  }

  const SegmentReadPlan& plan_;
  const ReadWait wait_;
  FilePosition at_;
  Offset seen_end_;  // of the batches so far
  bool past_ = false;
  size_t begin_ = 0;
  size_t end_ = 0;
  Offset next_;
  FilePosition position_;
};

// Reverse: the stretch from plan.start to the batch that holds `from` (or the last one before it),
// at most about max_bytes of its end.
absl::StatusOr<SegmentReadResult> ReadReverse(const SegmentReadPlan& plan) {
  SegmentReadResult result;
  result.next = plan.footer.base_offset - 1;
  struct Kept {
    Offset base;
    std::string bytes;
  };
  std::deque<Kept> stretch;  // its end as far as max_bytes go: without an index the walk is long
  size_t kept_bytes = 0;
  BatchScanner scanner(*plan.file, plan.start, plan.footer.data_end);
  while (scanner.next_position() < plan.footer.data_end) {
    const FilePosition at = scanner.next_position();
    ASSIGN_OR_RETURN(BatchScanner::Outcome outcome, scanner.Next());
    if (outcome != BatchScanner::Outcome::kBatch) {
      ASSIGN_OR_RETURN(const bool found, scanner.SeekBatch(at + 1, plan.footer.base_offset));
      if (!found) return Damaged(plan, at, plan.from);
      ASSIGN_OR_RETURN(outcome, scanner.Next());
      if (scanner.header().base_offset > plan.from) return Damaged(plan, at, plan.from);
      stretch.clear();  // what stands before the damage belongs to a later read, which will meet it
      kept_bytes = 0;
    }
    if (scanner.header().base_offset > plan.from || scanner.header().base_offset >= plan.limit)
      break;
    stretch.push_back({scanner.header().base_offset, std::string(scanner.bytes())});
    kept_bytes += stretch.back().bytes.size();
    while (stretch.size() > 1 && kept_bytes > plan.max_bytes) {
      kept_bytes -= stretch.front().bytes.size();
      stretch.pop_front();
    }
    if (scanner.header().end() > plan.from) break;  // what follows is not wanted, damaged or not
  }
  if (stretch.empty()) return result;
  std::string batches;
  batches.reserve(kept_bytes);
  for (const Kept& kept : stretch) batches.append(kept.bytes);
  result.next = stretch.front().base - 1;
  result.batches = Bytes(std::move(batches));
  return result;
}

}  // namespace

absl::StatusOr<SegmentReadResult> ReadSegment(FileSystem& fs, SegmentReadPlan plan, ReadWait wait) {
  if (wait == ReadWait::kNoWait && (!plan.file || plan.load_index || plan.reverse)) {
    return absl::UnavailableError("file or index is not in memory");
  }
  SegmentReadResult opened;
  RETURN_IF_ERROR(Complete(fs, plan, opened));
  ASSIGN_OR_RETURN(SegmentReadResult result,
                   plan.reverse ? ReadReverse(plan) : ForwardWalk(plan, wait).Run());
  result.file = plan.file;
  result.index = std::move(opened.index);
  return result;
}

absl::StatusOr<Offset> FindTimestamp(FileSystem& fs, SegmentReadPlan plan, Timestamp timestamp) {
  SegmentReadResult opened;
  RETURN_IF_ERROR(Complete(fs, plan, opened));
  if (opened.index)
    plan.start = FloorByTimestamp(*opened.index, plan.footer.base_offset, timestamp).position;
  BatchScanner scanner(*plan.file, plan.start, plan.footer.data_end);
  while (scanner.next_position() < plan.footer.data_end) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome == BatchScanner::Outcome::kEnd) break;
    if (outcome == BatchScanner::Outcome::kBad) {
      ASSIGN_OR_RETURN(const bool found,
                       scanner.SeekBatch(scanner.next_position() + 1, plan.footer.base_offset));
      if (!found) break;
      continue;
    }
    if (scanner.header().max_timestamp < timestamp) continue;
    wire::RecordCursor cursor(scanner.payload());
    std::string_view record;
    while (cursor.Next(record)) {
      Offset offset;
      Timestamp at;
      std::string_view body;
      if (wire::ParseRecordPrefix(record, offset, at, body) && at >= timestamp) return offset;
    }
  }
  return plan.footer.end_offset;
}

absl::StatusOr<FoundGaps> FindGaps(FileSystem& fs, SegmentReadPlan plan, size_t most) {
  FoundGaps found;
  SegmentReadResult opened;
  RETURN_IF_ERROR(Complete(fs, plan, opened));
  BatchScanner scanner(*plan.file, plan.start, plan.footer.data_end);
  while (scanner.next_position() < plan.footer.data_end) {
    ASSIGN_OR_RETURN(const BatchScanner::Outcome outcome, scanner.Next());
    if (outcome == BatchScanner::Outcome::kEnd) break;
    if (outcome == BatchScanner::Outcome::kBad) {
      ASSIGN_OR_RETURN(const bool more,
                       scanner.SeekBatch(scanner.next_position() + 1, plan.footer.base_offset));
      if (!more) break;
      continue;
    }
    if (scanner.header().base_offset >= plan.limit) break;
    if (!scanner.header().control()) continue;
    wire::RecordCursor cursor(scanner.payload());
    std::string_view record;
    while (cursor.Next(record)) {
      FoundGaps::Gap gap;
      Timestamp at;
      std::string_view body;
      if (!wire::ParseRecordPrefix(record, gap.offset, at, body) || gap.offset < plan.from ||
          !wire::ParseGapBody(body, gap.record))
        continue;
      if (found.gaps.size() == most) {
        found.next = gap.offset;
        return found;
      }
      found.gaps.push_back(gap);
    }
  }
  found.next = std::max(plan.from, std::min(plan.footer.end_offset, plan.limit));
  return found;
}

}  // namespace bascule::log
