#include "replication/partition/recovery_point_writer.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"

namespace bascule::partition {

RecoveryPointWriter::RecoveryPointWriter(FileSystem& fs, Clock& clock, Executor& home,
                                         Executor& disk_pool, std::string data_directory,
                                         uint64_t member, log::RecoveryPointSet loaded)
    : fs_(fs),
      clock_(clock),
      home_(home),
      disk_pool_(disk_pool),
      data_directory_(std::move(data_directory)),
      set_(std::move(loaded)),
      last_write_(clock.Monotonic()) {
  if (std::exchange(set_.member, member) != member) set_.applied = MetadataIndex();
}

void RecoveryPointWriter::NoteDurable() {
  moved_at_.store(clock_.Monotonic().value(), std::memory_order_relaxed);
  if (moved_.exchange(true)) return;
  home_.After(limits::kRecoveryPointIdle, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Check();
  });
}

void RecoveryPointWriter::Check() {
  BASCULE_CHECK(home_.OnThisThread());
  const MonotonicTime now = clock_.Monotonic();
  const MonotonicTime moved_at(moved_at_.load(std::memory_order_relaxed));
  const bool quiet = Between(moved_at, now) >= limits::kRecoveryPointIdle;
  if (quiet || Between(last_write_, now) >= limits::kRecoveryPointPeriod) {
    moved_.store(false);
    return Write();
  }
  home_.After(limits::kRecoveryPointIdle, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Check();
  });
}

const log::RecoveryPoint* RecoveryPointWriter::Find(PartitionKey key) const {
  const auto it = set_.partitions.find(key);
  return it == set_.partitions.end() ? nullptr : &it->second;
}

void RecoveryPointWriter::List(PartitionKey key, absl::AnyInvocable<void(absl::Status)> done) {
  BASCULE_CHECK(home_.OnThisThread());
  if (set_.partitions.contains(key)) return done(absl::OkStatus());
  set_.partitions[key].active.data_end = FilePosition(log::kSegmentHeaderBytes);
  waiting_.push_back([this, key, done = std::move(done)](const absl::Status& status) mutable {
    if (!status.ok()) Forget(key);  // not listed after all
    done(status);
  });
  Write();
}

void RecoveryPointWriter::Lower(PartitionKey key, log::RecoveryPoint point,
                                absl::AnyInvocable<void(absl::Status)> done) {
  BASCULE_CHECK(home_.OnThisThread());
  const auto it = set_.partitions.find(key);
  if (it == set_.partitions.end()) return done(absl::NotFoundError("the partition is not listed"));
  it->second = point;
  lowered_.insert_or_assign(key, Lowered{std::move(point), gatherings_});
  // A write that is on its way to the disk already has the higher one: the next one is ours.
  waiting_.push_back(std::move(done));
  Write();
}

// Between two calls: whoever waits, is waited for by a write.
void RecoveryPointWriter::CheckInvariants() const {
  if (writing_) return;
  BASCULE_CHECK(waiting_.empty());
  BASCULE_CHECK(!again_);
  BASCULE_CHECK(last_ == nullptr);
  BASCULE_CHECK_LE(durable_sequence_, set_.sequence);
}

void RecoveryPointWriter::Forget(PartitionKey key) {
  set_.partitions.erase(key);
  lowered_.erase(key);
}

void RecoveryPointWriter::NoteApplied(MetadataIndex index) {
  BASCULE_CHECK(home_.OnThisThread());
  set_.applied = std::max(set_.applied, index);
}

void RecoveryPointWriter::KeepOnly(const std::set<StreamId>& known, MetadataIndex applied) {
  BASCULE_CHECK(home_.OnThisThread());
  std::erase_if(set_.partitions, [&](const auto& listed) {
    const StreamId stream = listed.first.stream;
    return stream.value() <= applied.value() && !known.contains(stream);
  });
}

void RecoveryPointWriter::Write() {
  BASCULE_CHECK(home_.OnThisThread());
  if (writing_) {
    again_ = true;  // Written() goes on
    return;
  }
  writing_ = true;
  last_write_ = clock_.Monotonic();
  collect_([weak = weak_from_this(), gathering = ++gatherings_](Points points) {
    auto self = weak.lock();
    if (!self) return;
    for (auto it = self->lowered_.begin(); it != self->lowered_.end();) {
      if (it->second.gatherings >= gathering) {
        points.insert_or_assign(it->first, it->second.point);
        ++it;
      } else {
        it = self->lowered_.erase(it);
      }
    }
    for (auto& [key, point] : points) {
      // A partition forgotten meanwhile stays forgotten.
      const auto it = self->set_.partitions.find(key);
      if (it != self->set_.partitions.end()) it->second = std::move(point);
    }
    auto waiting = std::exchange(self->waiting_, {});
    ++self->set_.sequence;
    self->disk_pool_.Post([self, set = self->set_, waiting = std::move(waiting)]() mutable {
      absl::Status status = log::SaveRecoveryPoints(self->fs_, self->data_directory_, set);
      const uint64_t sequence = set.sequence;
      self->home_.Post([self, sequence, status, waiting = std::move(waiting)]() mutable {
        self->Written(std::move(waiting), sequence, status);
      });
    });
  });
}

void RecoveryPointWriter::Written(std::vector<absl::AnyInvocable<void(absl::Status)>> waiting,
                                  uint64_t sequence, const absl::Status& status) {
  BASCULE_CHECK(home_.OnThisThread());
  writing_ = false;
  if (status.ok()) {
    durable_sequence_ = sequence;
  } else {
    LogWarning("cannot write recovery points: ", FromAbsl(status.message()),
               "; the next start scans more");
  }
  for (auto& done : waiting) done(status);
  if (last_) return std::exchange(last_, nullptr)();
  if (std::exchange(again_, false) || !waiting_.empty()) Write();
  CheckInvariants();
}

void RecoveryPointWriter::WriteLast(Points points, absl::AnyInvocable<void(absl::Status)> done) {
  // One writer at a time: both would use the same temporary file.
  last_ = [this, points = std::move(points), done = std::move(done)]() mutable {
    for (auto& [key, point] : points) set_.partitions[key] = std::move(point);
    // Whoever was about to cut has not cut: what it said counts until the log says more.
    for (const auto& [key, lowered] : lowered_) set_.partitions[key] = lowered.point;
    for (auto& waiting : std::exchange(waiting_, {}))
      waiting(absl::UnavailableError("the broker is stopping"));
    ++set_.sequence;
    const absl::Status status = log::SaveRecoveryPoints(fs_, data_directory_, set_);
    if (status.ok()) durable_sequence_ = set_.sequence;
    done(status);
  };
  if (!writing_) std::exchange(last_, nullptr)();
}

}  // namespace bascule::partition
