// The cutting half of CommitLog (cut.h).
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/log/commit_log.h"

namespace bascule::log {

void CommitLog::PlanCut(Offset to, absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK(!cutting_);
  BASCULE_CHECK_GE(to, log_start());
  BASCULE_CHECK_LE(to, log_end());
  cutting_ = true;
  PlanAtRest(to, std::move(planned));
}

void CommitLog::PlanAtRest(Offset to, absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned) {
  WhenAtRest([weak = weak_from_this(), to, planned = std::move(planned)]() mutable {
    const std::shared_ptr<CommitLog> log = weak.lock();
    if (log == nullptr) return;
    // What was posted before the cut was begun may have begun since.
    if (log->busy()) return log->PlanAtRest(to, std::move(planned));
    if (!log->trust_.ok()) {
      log->cutting_ = false;
      return planned(log->trust_);
    }
    log->StartPlan(to, std::move(planned));
  });
}

void CommitLog::StartPlan(Offset to, absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned) {
  const Segment& last = segments_[IndexOfSegment(to)];
  std::vector<std::shared_ptr<File>> unsynced;
  for (const auto& [base, file] : unsealed_) {
    if (base < last.base()) unsynced.push_back(file);
  }
  std::vector<std::string> removed;
  for (auto it = segments_.rbegin(); it->base() > last.base(); ++it) removed.push_back(it->path);
  ++pool_work_;
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard, &fs = env_.fs,
                       directory = options_.directory, last, to, unsynced = std::move(unsynced),
                       removed = std::move(removed), planned = std::move(planned)]() mutable {
    absl::StatusOr<CutPlan> plan = log::PlanCut(fs, directory, std::move(last), to, unsynced);
    if (plan.ok()) plan->removed = std::move(removed);
    shard.Post(
        [self = std::move(self), plan = std::move(plan), planned = std::move(planned)]() mutable {
          const std::shared_ptr<CommitLog> log = self.lock();
          if (log == nullptr) return;
          --log->pool_work_;
          log->OnPlanned(std::move(plan), std::move(planned));
          log->EndOfWork();
        });
  });
}

void CommitLog::OnPlanned(absl::StatusOr<CutPlan> plan,
                          absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned) {
  if (!plan.ok()) {
    // A failed sync is the log's end; damage leaves it as it is.
    if (!absl::IsDataLoss(plan.status())) Distrust(plan.status());
    cutting_ = false;
    return planned(plan.status());
  }
  flushed_end_ = plan->end();
  flushed_facts_ = plan->segment.footer;
  cut_end_ = plan->end();
  cut_ = *std::move(plan);
  CheckInvariants();
  planned(cut_->end());
}

void CommitLog::Cut(absl::AnyInvocable<void(absl::Status)> done) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK(cut_.has_value());
  ++pool_work_;
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard, &fs = env_.fs,
                       directory = options_.directory,
                       key = PartitionKey{options_.stream, options_.partition}, plan = *cut_,
                       bounds = bounds_, done = std::move(done)]() mutable {
    const absl::Status cut = CarryOut(fs, directory, key, plan, bounds);
    shard.Post([self = std::move(self), cut, bounds, done = std::move(done)]() mutable {
      const std::shared_ptr<CommitLog> log = self.lock();
      if (log == nullptr) return;
      --log->pool_work_;
      log->OnCut(bounds, cut);
      log->EndOfWork();
      done(log->trust_);
      if (log->ready_) log->ready_();
    });
  });
}

void CommitLog::OnCut(const LogBounds& bounds, const absl::Status& status) {
  CutPlan plan = *std::exchange(cut_, std::nullopt);
  cutting_ = false;
  if (!status.ok()) return Distrust(status);
  cut_end_.reset();
  bounds_ = bounds;
  while (active().base() > plan.segment.base()) segments_.pop_back();
  segments_.back() = std::move(plan.segment);
  std::erase_if(unsealed_, [this](const auto& entry) { return entry.first >= active().base(); });
  std::erase_if(missing_, [this](Offset base) { return base >= active().base(); });
  std::erase_if(damaged_, [this](const DamagedRange& d) { return d.from >= log_end(); });
  active_file_ = std::move(plan.file);
  zeroed_end_ = active().footer.data_end;
  next_chunk_ = limits::kPreallocateMinBytes;
  index_saved_ = 0;
  dirty_directory_ = false;
  active_since_ = env_.clock.Monotonic();
  tail_.Clear();
  last_timestamp_ = Timestamp();
  for (const Segment& segment : segments_)
    last_timestamp_ = std::max(last_timestamp_, segment.footer.max_timestamp);
  ++generation_;  // R3b
  CheckInvariants();
  CheckChain();
}

void CommitLog::PlanAnew(Offset at, absl::AnyInvocable<void(absl::Status)> planned) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK(!cutting_ || busy());
  cutting_ = true;
  WhenAtRest([weak = weak_from_this(), at, planned = std::move(planned)]() mutable {
    const std::shared_ptr<CommitLog> log = weak.lock();
    if (log == nullptr) return;
    if (log->busy()) return log->PlanAnew(at, std::move(planned));
    if (!log->trust_.ok()) {
      log->cutting_ = false;
      return planned(log->trust_);
    }
    log->anew_ = at;
    planned(absl::OkStatus());
  });
}

void CommitLog::BeginAnew(absl::AnyInvocable<void(absl::StatusOr<RecoveredLog>)> done) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK(anew_.has_value() && !busy());
  RecoveryRequest request{options_.directory, options_.stream, options_.partition, Point(),
                          std::nullopt};
  ++pool_work_;
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard, &fs = env_.fs,
                       request = std::move(request), at = *anew_,
                       done = std::move(done)]() mutable {
    absl::StatusOr<RecoveredLog> begun = BeginLogAnew(fs, request, at);
    shard.Post([self = std::move(self), begun = std::move(begun),
                done = std::move(done)]() mutable {
      const std::shared_ptr<CommitLog> log = self.lock();
      if (log == nullptr) return;
      --log->pool_work_;
      log->cutting_ = log->cutting_ && begun.ok();
      log->Distrust(begun.ok() ? absl::UnavailableError("the log was begun anew") : begun.status());
      log->EndOfWork();
      done(std::move(begun));
    });
  });
}

void CommitLog::AbandonCut() {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK(cut_.has_value() && !busy());
  cut_.reset();
  cut_end_.reset();
  cutting_ = false;
  StartSealing();
  if (ready_) ready_();
}

}  // namespace bascule::log
