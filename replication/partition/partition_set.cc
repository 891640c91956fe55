// Opening, failing, reopening and closing partitions; partition_set_deltas.cc says which and why.
#include "replication/partition/partition_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kTickPeriod{1};
constexpr std::chrono::seconds kIdlePeriod{5};
constexpr std::chrono::seconds kRetryPeriod{1};
constexpr std::chrono::milliseconds kBusyPeriod{100};
constexpr std::chrono::seconds kFeedPatience{2};

std::string StreamsDirectory(const std::string& data) { return JoinPath(data, "streams"); }
std::string TrashDirectory(const std::string& data) { return JoinPath(data, "trash"); }

}  // namespace

PartitionSet::PartitionSet(PartitionSetEnvironment env, PartitionSetOptions options,
                           RecoveryPointSet points)
    : env_(std::move(env)), options_(std::move(options)) {
  for (size_t i = 0; i < env_.shards.size(); ++i) {
    budgets_.push_back(
        std::make_unique<TailCacheBudget>(limits::kTailCacheTotalBytes / env_.shards.size()));
  }
  points_ = std::make_shared<RecoveryPointWriter>(env_.fs, env_.clock, env_.home, env_.disk_pool,
                                                  options_.data_directory, std::move(points));
  points_->SetCollect([this](absl::AnyInvocable<void(RecoveryPointWriter::Points)> done) {
    Collect(std::move(done));
  });
}

PartitionSet::~PartitionSet() {
  // After a start that failed half-way partitions are still open, and their logs use our budgets:
  // nobody may keep them longer.
  for (const auto& entry : env_.catalog.All()) env_.catalog.Remove(entry->stream.name);
}

std::string PartitionSet::DirectoryOf(PartitionKey key) const {
  return JoinPath(StreamsDirectory(options_.data_directory),
                  Concat(key.stream, "/", key.partition));
}

void PartitionSet::Open(PartitionKey key, std::shared_ptr<Opening> opening) {
  partitions_.at(key).recovering = true;
  points_->List(key, [this, key, opening](const absl::Status& listed) {
    if (!partitions_.contains(key)) return opening->countdown.Done(absl::NotFoundError("deleted"));
    if (!listed.ok()) {
      // Without its place in the list a lost directory would pass as new: not opened.
      const std::shared_ptr<Partition> partition = partitions_.at(key).partition;
      partition->shard().Post([partition, listed] { partition->FailOpening(listed); });
      EndRecovery(key);
      env_.home.After(kRetryPeriod, [this, key, alive = std::weak_ptr<bool>(alive_)] {
        if (alive.expired() || stopping_ || !partitions_.contains(key)) return;
        if (partitions_.at(key).recovering) return;
        auto again = std::make_shared<Opening>();
        again->countdown.waiting = 1;
        again->countdown.all = [](const absl::Status&) {};
        Open(key, std::move(again));
      });
      return opening->countdown.Done(listed);
    }
    if (!IsLed(partitions_.at(key))) {
      // By another, or by nobody, since it was asked: the change that gives it back opens it.
      EndRecovery(key);
      return opening->countdown.Done(absl::OkStatus());
    }
    Recover(key, std::nullopt, [this, key, opening](const absl::Status& opened) {
      const auto it = partitions_.find(key);
      if (!opened.ok()) RetryOpening(key);
      if (!opened.ok() || it == partitions_.end()) return opening->countdown.Done(opened);
      const std::shared_ptr<Partition> partition = it->second.partition;
      ScheduleClean(partition);
      if (!IsLed(it->second)) return opening->countdown.Done(absl::OkStatus());
      partition->shard().Post([this, partition, opening] {
        if (opening->wait_for_feed) return ListenAnew(partition, opening);
        partition->Listen(Partition::Since::kAway, [](const absl::Status&) {});
        env_.home.Post([opening] { opening->countdown.Done(absl::OkStatus()); });
      });
    });
  });
}

// Whoever creates a stream is answered when it listens, so that nothing published afterwards is
// missed. Without NATS that may take for ever: then the stream stands all the same, and what was
// missed till it listens is a gap.
void PartitionSet::ListenAnew(const std::shared_ptr<Partition>& partition,
                              const std::shared_ptr<Opening>& opening) {
  auto answered = std::make_shared<bool>(false);  // on the shard
  const auto answer = [&home = env_.home, opening, answered](const absl::Status& status) {
    if (std::exchange(*answered, true)) return;
    home.Post([opening, status] { opening->countdown.Done(status); });
  };
  partition->Listen(Partition::Since::kCreation, [this, weak = std::weak_ptr<Partition>(partition),
                                                  answered, answer](const absl::Status& listening) {
    const std::shared_ptr<Partition> here = weak.lock();
    if (here && *answered && listening.ok()) {
      here->RecordGap({here->options().created, env_.clock.Wall(), GapReason::kNotListening, -1});
    }
    answer(listening);
  });
  partition->shard().After(kFeedPatience, [answer] { answer(absl::OkStatus()); });
}

// Recovers the log on the pool and hands it to the partition, which then leads its present epoch.
// Only of what is led here, and once at a time.
void PartitionSet::Recover(PartitionKey key, std::optional<Offset> cut_at,
                           absl::AnyInvocable<void(absl::Status)> opened) {
  const Entry& entry = partitions_.at(key);
  RecoveryRequest request{DirectoryOf(key), key.stream, key.partition, std::nullopt, cut_at};
  if (const RecoveryPoint* point = points_->Find(key)) request.point = *point;
  env_.disk_pool.Post([this, key, request = std::move(request), partition = entry.partition,
                       description = entry.description, min_isr = entry.min_isr,
                       opened = std::move(opened)]() mutable {
    absl::StatusOr<RecoveredLog> recovered = RecoverLog(env_.fs, request);
    partition->shard().Post([this, key, partition, recovered = std::move(recovered),
                             description = std::move(description), min_isr,
                             opened = std::move(opened)]() mutable {
      const absl::Status status = recovered.status();
      if (status.ok()) {
        partition->Lead(*std::move(recovered), description.leader_epoch, description.isr, min_isr);
      } else {
        partition->FailOpening(status);
      }
      env_.home.Post([this, key, status, opened = std::move(opened)]() mutable {
        opened(status);
        EndRecovery(key);
      });
    });
  });
}

// What was to lead again meanwhile does so now, as it is described by now.
void PartitionSet::EndRecovery(PartitionKey key) {
  const auto it = partitions_.find(key);
  if (it == partitions_.end()) return;
  it->second.recovering = false;
  auto resumes = std::exchange(it->second.resumes, {});
  if (resumes.empty()) return;
  auto settled = [resumes = std::move(resumes)](const absl::Status& status) mutable {
    for (auto& one : resumes) one(status);
  };
  if (stopping_ || !IsLed(it->second)) return settled(absl::OkStatus());
  Resume(key, std::move(settled));
}

void PartitionSet::ScheduleClean(const std::shared_ptr<Partition>& partition) {
  const auto interval = partition->options().settings.cleaner_interval;
  partition->shard().After(interval, [this, weak = std::weak_ptr<Partition>(partition),
                                      alive = std::weak_ptr<bool>(alive_)] {
    const std::shared_ptr<Partition> still_here = weak.lock();
    if (!still_here || alive.expired()) return;
    still_here->Clean();
    ScheduleClean(still_here);
  });
}

void PartitionSet::RemoveDirectory(StreamId id) {
  env_.disk_pool.Post([this, id] {
    const std::string from = JoinPath(StreamsDirectory(options_.data_directory), Concat(id));
    const std::string trash = TrashDirectory(options_.data_directory);
    const std::string to = JoinPath(trash, Concat(id));
    // A crash in between leaves it to the next OnTakeOver.
    absl::Status status = env_.fs.CreateDirectories(trash);
    if (status.ok() && env_.fs.Exists(from)) status = env_.fs.Rename(from, to);
    if (status.ok()) status = env_.fs.RemoveTree(to);
    if (!status.ok()) LogWarning("cannot remove ", from, ": ", FromAbsl(status.message()));
  });
}

void PartitionSet::OnTakeOver(const std::set<StreamId>& known, MetadataIndex applied,
                              const IndexRanges& doubtful) {
  points_->KeepOnly(known, applied);
  env_.disk_pool.Post([this, trash = TrashDirectory(options_.data_directory)] {
    const absl::Status emptied = env_.fs.RemoveTree(trash);
    if (!emptied.ok()) LogWarning("cannot empty ", trash, ": ", FromAbsl(emptied.message()));
  });
  const absl::StatusOr<std::vector<DirectoryEntry>> entries =
      env_.fs.List(StreamsDirectory(options_.data_directory));
  if (!entries.ok()) return;
  for (const DirectoryEntry& entry : *entries) {
    uint64_t id = 0;
    if (!absl::SimpleAtoi(entry.name, &id)) continue;
    if (id > applied.value() || known.contains(StreamId(id))) continue;
    const auto in_doubt = [id](const auto& range) {
      return id > range.first.value() && id <= range.second.value();
    };
    if (std::any_of(doubtful.begin(), doubtful.end(), in_doubt)) {
      LogWarning("stream directory ", entry.name,
                 " may belong to a stream that was lost with the cluster's quorum; it is kept");
      continue;
    }
    LogWarning("stream directory ", entry.name, " belongs to no stream any more; removed");
    RemoveDirectory(StreamId(id));
  }
}

void PartitionSet::OnFailed(PartitionKey key, Offset durable_end, const absl::Status&) {
  env_.home.After(kRetryPeriod, [this, key, durable_end, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || stopping_) return;
    const auto it = partitions_.find(key);
    if (it == partitions_.end()) return;
    // Under `os` nobody was promised the disk: what the page cache shows goes on being served.
    const bool synced = it->second.partition->options().settings.durability == Durability::kFsync;
    if (synced) it->second.durable_end = durable_end;
    Retry(key);
  });
}

// A failed partition may be reopened once nothing of its old log is under way; under a new epoch
// (R2a).
void PartitionSet::Retry(PartitionKey key) {
  const std::shared_ptr<Partition> partition = partitions_.at(key).partition;
  partition->shard().Post([this, key, partition] {
    if (!partition->busy()) return env_.epochs.RequestNewEpoch(key);
    env_.home.After(kBusyPeriod, [this, key, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired() && partitions_.contains(key)) Retry(key);
    });
  });
}

void PartitionSet::RetryOpening(PartitionKey key) {
  env_.home.After(kRetryPeriod, [this, key, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired() && !stopping_ && partitions_.contains(key)) Retry(key);
  });
}

void PartitionSet::Start() {
  serving_ = true;
  Tick();
}

void PartitionSet::Tick() {
  if (stopping_) return;
  const absl::StatusOr<DiskSpace> space = env_.fs.Space(options_.data_directory);
  const bool full = space.ok() && space->available_bytes < options_.disk_reserve_bytes;
  if (full != disk_full_.exchange(full)) {
    if (full) {
      LogError("only ", space->available_bytes, " bytes are free in ", options_.data_directory,
               ", the reserve is ", options_.disk_reserve_bytes,
               ": messages are refused until there is space");
    } else {
      LogInfo("there is disk space again: messages are taken");
    }
    for (const auto& [key, entry] : partitions_) {
      entry.partition->shard().Post([partition = entry.partition] { partition->OnDiskSpace(); });
    }
  }
  if (++ticks_ % (kIdlePeriod / kTickPeriod) == 0) {
    for (const auto& [key, entry] : partitions_) {
      entry.partition->shard().Post([partition = entry.partition] { partition->OnIdleTick(); });
    }
  }
  env_.home.After(kTickPeriod, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Tick();
  });
}

void PartitionSet::Collect(absl::AnyInvocable<void(RecoveryPointWriter::Points)> done) {
  struct Gathering {
    RecoveryPointWriter::Points points;
    size_t waiting;
    absl::AnyInvocable<void(RecoveryPointWriter::Points)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->waiting = env_.shards.size();
  gathering->done = std::move(done);
  for (Executor* shard : env_.shards) {
    std::vector<std::shared_ptr<Partition>> here;
    for (const auto& [key, entry] : partitions_) {
      if (&entry.partition->shard() == shard) here.push_back(entry.partition);
    }
    shard->Post([this, here = std::move(here), gathering]() mutable {
      RecoveryPointWriter::Points points;
      for (const auto& partition : here) {
        if (auto point = partition->Point()) points[partition->options().key] = *std::move(point);
      }
      env_.home.Post([gathering, points = std::move(points)]() mutable {
        gathering->points.merge(points);
        if (--gathering->waiting == 0) gathering->done(std::move(gathering->points));
      });
    });
  }
}

void PartitionSet::Stop(absl::AnyInvocable<void()> done) {
  stopping_ = true;
  auto countdown = std::make_shared<Countdown>();
  countdown->waiting = static_cast<int>(partitions_.size()) + 1;
  auto points = std::make_shared<RecoveryPointWriter::Points>();
  countdown->all = [this, points, done = std::move(done)](const absl::Status&) mutable {
    points_->WriteLast(
        std::move(*points), [this, done = std::move(done)](const absl::Status& written) mutable {
          if (!written.ok())
            LogWarning("cannot write recovery points: ", FromAbsl(written.message()));
          alive_.reset();
          done();
        });
  };
  for (const auto& [key, entry] : partitions_) {
    entry.partition->Drain([this, key = key, partition = entry.partition, points, countdown] {
      auto point = partition->Point();
      partition->Close(absl::UnavailableError("the broker is stopping"));
      env_.home.Post([key, point = std::move(point), points, countdown]() mutable {
        if (point) (*points)[key] = *std::move(point);
        countdown->Done(absl::OkStatus());
      });
    });
  }
  countdown->Done(absl::OkStatus());
}

}  // namespace bascule
