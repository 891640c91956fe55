// The housekeeping half of CommitLog: retention, lost files, what there is.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/log/commit_log.h"

namespace bascule::log {

void CommitLog::Clean(Offset committed, bool may_roll) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  if (!trust_.ok() || cutting_) return;
  sealing_failed_ = false;
  StartSealing();
  if (may_roll && ShouldRoll()) {
    if (const absl::Status status = Roll(); !status.ok())
      LogWarning("cannot roll: ", status.message());
  }
  if (dropping_) return;
  std::vector<SegmentStat> stats;
  for (const Segment& s : segments_)
    stats.push_back({s.footer.data_end.value(), s.footer.record_count, s.last_stored()});
  const size_t expired = CountExpired(stats, options_.limits.retention, env_.clock.Wall());
  // One whose footer is being written goes next time.
  size_t dropped = 0;
  while (dropped < expired && segments_[dropped].sealed && segments_[dropped].end() <= committed)
    ++dropped;
  if (dropped > 0) DropBefore(segments_[dropped].base());
}

// First the disk learns where the log begins now, then the files go: whatever a crash leaves of
// them, the next start finishes it, and files that go any other way are missed.
void CommitLog::DropBefore(Offset start) {
  dropping_ = true;
  BASCULE_CHECK_GT(start, bounds_.start);
  LogBounds next = bounds_;
  next.start = start;
  next.end = std::max(bounds_.end, flushed_end_);
  ++next.sequence;
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard, &fs = env_.fs,
                       directory = options_.directory,
                       key = PartitionKey{options_.stream, options_.partition}, next] {
    const absl::Status stored = StoreLogBounds(fs, directory, {key, next});
    shard.Post([self, stored, next] {
      const std::shared_ptr<CommitLog> log = self.lock();
      if (!log) return;
      log->dropping_ = false;
      if (!stored.ok()) {
        LogWarning("cannot note the new beginning of the log in ", log->options_.directory, ": ",
                   stored.message(), "; nothing is removed, and it is tried again");
      } else if (log->trust_.ok()) {
        log->Dropped(next);
      }
      log->EndOfWork();
    });
  });
}

void CommitLog::Dropped(const LogBounds& bounds) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK_GT(bounds.sequence, bounds_.sequence);
  bounds_ = bounds;
  std::vector<std::string> paths;
  while (segments_.front().base() < bounds_.start) {
    paths.push_back(segments_.front().path);
    missing_.erase(segments_.front().base());
    BASCULE_CHECK(segments_.front().sealed);
    segments_.pop_front();
    BASCULE_CHECK(!segments_.empty());
  }
  BASCULE_CHECK_EQ(segments_.front().base(), bounds_.start);
  // What retention would have taken by now need not be reported any more; a lost beginning of the
  // log stays known till then.
  std::erase_if(damaged_, [this](const DamagedRange& d) { return d.to <= log_start(); });
  Unlink(std::move(paths));
  CheckInvariants();
  CheckChain();
}

void CommitLog::CheckFiles(std::function<void(const absl::Status&)> gone) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  const MonotonicTime now = env_.clock.Monotonic();
  if (checking_files_ || cutting_) return;
  if (files_checked_ && Between(*files_checked_, now) < limits::kLogFilesCheckPeriod) return;
  files_checked_ = now;
  checking_files_ = true;
  std::vector<Offset> looked_for;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) looked_for.push_back(segments_[i].base());
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard, &fs = env_.fs,
                       directory = options_.directory, active = active_file_,
                       generation = generation_, looked_for = std::move(looked_for),
                       gone = std::move(gone)]() mutable {
    const absl::StatusOr<std::vector<DirectoryEntry>> entries = fs.List(directory);
    absl::Status here = entries.status();
    if (here.ok()) here = active->CheckInPlace();
    std::set<std::string> names;
    if (entries.ok())
      for (const DirectoryEntry& entry : *entries) names.insert(entry.name);
    shard.Post([self, directory, active, generation, here, names = std::move(names),
                looked_for = std::move(looked_for), gone = std::move(gone)] {
      const std::shared_ptr<CommitLog> log = self.lock();
      if (!log) return;
      log->checking_files_ = false;
      // Rolled or cut meanwhile: the next look sees.
      if (log->active_file_ != active || log->cutting_ || log->generation_ != generation) return;
      // Of a log that is being opened anew a name may be under way.
      if (here.ok() && !log->trust_.ok()) return;
      if (here.ok()) return log->NoteFiles(looked_for, names);
      if (!absl::IsNotFound(here)) {
        LogWarning("cannot look at the files in ", directory, ": ", here.message());
        return;
      }
      log->Distrust(absl::NotFoundError(Concat(
          "the directory ", directory, " was changed under the running broker: ", here.message())));
      gone(log->trust_);
    });
  });
}

void CommitLog::NoteFiles(const std::vector<Offset>& looked_for,
                          const std::set<std::string>& names) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  for (const Offset base : looked_for) {
    const Segment& segment = segments_[IndexOfSegment(base)];
    if (segment.base() != base) continue;  // retention took it meanwhile
    if (names.contains(SegmentFileName(base))) {
      if (missing_.erase(base) > 0) LogInfo(segment.path, " is there again");
    } else if (missing_.insert(base).second) {
      LogError("DAMAGED: ", segment.path, " was removed under the running broker: offsets ", base,
               " to ", segment.end() - 1, " are lost; restore it from a copy");
    }
  }
}

std::vector<DamagedRange> CommitLog::damaged() const {
  std::vector<DamagedRange> all = damaged_;
  for (const Offset base : missing_) {
    const Segment& segment = segments_[IndexOfSegment(base)];
    all.push_back({base, segment.end(), Concat(segment.path, " is missing")});
  }
  std::sort(all.begin(), all.end(),
            [](const DamagedRange& a, const DamagedRange& b) { return a.from < b.from; });
  return all;
}

Duration CommitLog::TimestampsAhead() const {
  return std::max(Duration(last_timestamp_ - env_.clock.Wall()), Duration());
}

CommitLog::Stat CommitLog::Describe() const {
  Stat stat;
  for (const Segment& segment : segments_) {
    stat.bytes += segment.file_bytes;
    stat.messages += segment.footer.record_count;
    stat.gap_records += segment.footer.gap_records;
    stat.messages_in_gaps += segment.footer.messages_in_gaps;
    if (stat.first_timestamp == Timestamp()) stat.first_timestamp = segment.footer.first_timestamp;
  }
  stat.segments = segments_.size();
  Offset counted = log_start();
  for (const DamagedRange& range : damaged()) {
    const Offset from = std::max(range.from, counted);
    if (range.to <= from) continue;
    stat.lost += static_cast<uint64_t>(range.to - from);
    counted = range.to;
  }
  return stat;
}

void CommitLog::CheckInvariants() const {
  BASCULE_CHECK(!segments_.empty());
  BASCULE_CHECK_LE(bounds_.start, bounds_.end);
  BASCULE_CHECK_LE(bounds_.start, segments_.front().base());
  BASCULE_CHECK_LE(log_start(), flushed_end_);
  BASCULE_CHECK_LE(flushed_end_, log_end());
  BASCULE_CHECK_LE(flushed_facts_.base_offset, active().base());
  BASCULE_CHECK(!active().sealed);
  BASCULE_CHECK(active_file_ != nullptr);
  BASCULE_CHECK_LE(active().base(), active().end());
  BASCULE_CHECK_GE(active().footer.data_end.value(), kSegmentHeaderBytes);
  BASCULE_CHECK_LE(active().footer.data_end.value(), active().file_bytes);
  BASCULE_CHECK_LE(index_saved_, active().index.size());
  BASCULE_CHECK(!sealing_ || !unsealed_.empty());
  BASCULE_CHECK_LT(unsealed_.size(), segments_.size());
  BASCULE_CHECK(cutting_ || !cut_);
}

void CommitLog::CheckChain() const {
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    BASCULE_CHECK_LE(segments_[i].base(), segments_[i].end());
    BASCULE_CHECK_LT(segments_[i].base(), segments_[i + 1].base());
    BASCULE_CHECK_LE(segments_[i].end(), segments_[i + 1].base());
  }
  // Unsealed ones are the newest closed ones, in order.
  size_t at = segments_.size() - 1 - unsealed_.size();
  for (const auto& [base, file] : unsealed_) BASCULE_CHECK_EQ(segments_[at++].base(), base);
  Offset before = log_start();
  for (const DamagedRange& range : damaged_) {
    BASCULE_CHECK_LE(before, range.from);
    BASCULE_CHECK_LT(range.from, range.to);
    BASCULE_CHECK_LE(range.to, log_end());
    before = range.to;
  }
}

}  // namespace bascule::log
