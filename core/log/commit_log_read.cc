// The reading half of CommitLog.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/log/commit_log.h"

namespace bascule::log {

// The segment that holds `offset`, or the first one after it; the last one when there is none.
size_t CommitLog::IndexOfSegment(Offset offset) const {
  const auto it = std::upper_bound(segments_.begin(), segments_.end(), offset,
                                   [](Offset o, const Segment& s) { return o < s.base(); });
  return it == segments_.begin() ? 0 : static_cast<size_t>(it - segments_.begin()) - 1;
}

Offset CommitLog::last_message_end() const {
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    if (segment->footer.last_message_end > segment->base()) return segment->footer.last_message_end;
  }
  return segments_.front().base();
}

absl::Status CommitLog::CheckDamage(Offset from) const {
  for (const DamagedRange& range : damaged_) {
    if (from >= range.from && from < range.to) {
      return absl::DataLossError(
          Concat("offsets ", range.from, " to ", range.to - 1, " are lost: ", range.cause,
                 "; read on from offset ", range.to,
                 ", or restore the file from a copy and restart the broker"));
    }
  }
  return absl::OkStatus();
}

SegmentReadPlan CommitLog::PlanFor(const Segment& segment) const {
  SegmentReadPlan plan;
  plan.path = segment.path;
  plan.file = segment.open_file.lock();
  plan.footer = segment.footer;
  plan.load_index = !segment.has_index;
  plan.start = FilePosition(kSegmentHeaderBytes);
  return plan;
}

SegmentReadPlan CommitLog::PlanRead(Offset from, Offset limit, size_t max_bytes,
                                    const ReadPlace& place) const {
  BASCULE_CHECK(env_.shard.OnThisThread());
  return PlanBetween(from, limit, /*reverse=*/false, max_bytes, place);
}

SegmentReadPlan CommitLog::PlanBetween(Offset from, Offset limit, bool reverse, size_t max_bytes,
                                       const ReadPlace& place) const {
  size_t i = IndexOfSegment(from);
  // Past the segment's data, but before the next one's: compacted away or an empty segment.
  while (!reverse && i + 1 < segments_.size() && from >= segments_[i].end()) ++i;
  while (reverse && i > 0 && segments_[i].end() == segments_[i].base()) --i;
  const Segment& segment = segments_[i];
  SegmentReadPlan plan = PlanFor(segment);
  plan.from = from;
  plan.limit = limit;
  plan.reverse = reverse;
  plan.max_bytes = max_bytes;
  const bool on_track = !reverse && place.next == from && place.segment == segment.base();
  if (on_track) {
    plan.start = place.position;
    plan.load_index = false;
    if (!plan.file) plan.file = place.file;
  } else if (segment.has_index) {
    plan.start = FloorByOffset(segment.index, segment.base(), from).position;
  }
  return plan;
}

absl::StatusOr<CommitLog::ReadStep> CommitLog::Read(Offset from, Offset committed, bool reverse,
                                                    size_t max_bytes, ReadPlace& place) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK_LE(committed, log_end());
  if (reverse && from < log_start())
    return absl::OutOfRangeError("the beginning of the log is reached");
  RETURN_IF_ERROR(CheckDamage(from));  // first: a lost beginning is not skipped in silence
  if (!reverse) from = std::max(from, log_start());
  if (!reverse) {
    if (auto found = tail_.Read(from, committed, max_bytes)) {
      SegmentReadResult result;
      result.batches = std::move(found->batches);
      result.next = found->next;
      place = ReadPlace{};  // or its file is kept for as long as this reader lives, deleted or not
      return ReadStep{std::move(result), std::nullopt};
    }
  }
  SegmentReadPlan plan = PlanBetween(from, committed, reverse, max_bytes, place);
  absl::StatusOr<SegmentReadResult> result = ReadSegment(env_.fs, plan, ReadWait::kNoWait);
  if (absl::IsUnavailable(result.status())) return ReadStep{std::nullopt, std::move(plan)};
  if (!result.ok()) return result.status();
  NoteRead(plan, *result, place);
  return ReadStep{*std::move(result), std::nullopt};
}

void CommitLog::NoteRead(const SegmentReadPlan& plan, const SegmentReadResult& result,
                         ReadPlace& place) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  const Offset base = plan.footer.base_offset;
  Segment& segment = segments_[IndexOfSegment(base)];
  if (segment.base() == base) {
    if (result.index && !segment.has_index) {
      segment.index = *result.index;
      segment.has_index = true;
    }
    if (segment.open_file.expired()) segment.open_file = result.file;
  }
  if (!plan.reverse) place = {result.next, base, result.next_position, result.file};
}

std::optional<SegmentReadPlan> CommitLog::PlanFindTimestamp(Timestamp timestamp) const {
  for (const Segment& segment : segments_) {
    if (segment.end() == segment.base() || segment.footer.max_timestamp < timestamp) continue;
    SegmentReadPlan plan = PlanFor(segment);
    if (segment.has_index)
      plan.start = FloorByTimestamp(segment.index, segment.base(), timestamp).position;
    return plan;
  }
  return std::nullopt;
}

std::optional<SegmentReadPlan> CommitLog::PlanFindGaps(Offset from, Offset committed) const {
  BASCULE_CHECK(env_.shard.OnThisThread());
  from = std::max(from, log_start());
  if (from >= committed) return std::nullopt;
  for (size_t i = IndexOfSegment(from); i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    if (segment.base() >= committed) break;
    if (segment.end() <= from || segment.footer.gap_records == 0) continue;
    SegmentReadPlan plan = PlanFor(segment);
    plan.from = from;
    plan.limit = committed;
    if (segment.has_index) plan.start = FloorByOffset(segment.index, segment.base(), from).position;
    return plan;
  }
  return std::nullopt;
}

}  // namespace bascule::log
