// Carries out what the life of a partition asks for; partition_set_deltas.cc says what is desired.
#include "replication/partition/partition_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/env/countdown.h"

namespace bascule::partition {
namespace {

constexpr std::chrono::seconds kTickPeriod{1};
constexpr std::chrono::seconds kIdlePeriod{5};
constexpr std::chrono::seconds kRetryPeriod{1};
constexpr std::chrono::seconds kFeedPatience{2};

std::string StreamsDirectory(const std::string& data) { return JoinPath(data, "streams"); }
std::string TrashDirectory(const std::string& data) { return JoinPath(data, "trash"); }

}  // namespace

PartitionSet::PartitionSet(PartitionSetEnvironment env, PartitionSetOptions options,
                           log::RecoveryPointSet points)
    : env_(std::move(env)), options_(std::move(options)) {
  for (size_t i = 0; i < env_.shards.size(); ++i) {
    budgets_.push_back(
        std::make_unique<log::TailCacheBudget>(limits::kTailCacheTotalBytes / env_.shards.size()));
  }
  points_ = std::make_shared<RecoveryPointWriter>(env_.fs, env_.clock, env_.home, env_.disk_pool,
                                                  options_.data_directory, options_.member,
                                                  std::move(points));
  points_->SetCollect(
      lifetime_.Guard([this](absl::AnyInvocable<void(RecoveryPointWriter::Points)> done) {
        Collect(std::move(done));
      }));
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

void PartitionSet::Feed(PartitionKey key, const LifeEvent& event) {
  BASCULE_CHECK(env_.home.OnThisThread());
  const auto it = partitions_.find(key);
  if (it == partitions_.end()) return;
  Entry& entry = it->second;
  LifeStep step = Step(std::move(entry.life), event);
  entry.life = std::move(step.life);
  std::optional<absl::Status> settled;
  for (const LifeAction& action : step.actions) {
    if (action.kind == LifeAction::Kind::kSettle) {
      settled = action.status;
    } else {
      CarryOut(key, entry, action);
    }
  }
  if (!settled) return;
  // Last: whoever is called may ask for more.
  std::vector<Settled> waiting = std::exchange(entry.waiting, {});
  if (entry.life.phase == PartitionPhase::kClosed) End(key);
  for (Settled& one : waiting) one(*settled);
}

void PartitionSet::Report(PartitionKey key, LifeEvent event) {
  env_.home.Post(lifetime_.Guard([this, key, event = std::move(event)] { Feed(key, event); }));
}

void PartitionSet::CarryOut(PartitionKey key, Entry& entry, const LifeAction& action) {
  using Kind = LifeAction::Kind;
  switch (action.kind) {
    case Kind::kList:
      // Without its place in the list a lost directory would pass as new.
      return points_->List(key, lifetime_.Guard([this, key](const absl::Status& listed) {
        Report(key, {.kind = LifeEvent::Kind::kListed, .status = listed});
      }));
    case Kind::kRecover:
      return Recover(key, entry, action.cut);
    case Kind::kListen:
      return Listen(key, entry.partition, action.fresh);
    case Kind::kDrain:
      return Drain(key, entry.partition);
    case Kind::kClose:
      return Close(key, entry);
    case Kind::kSetTimer:
      return env_.home.After(kRetryPeriod, lifetime_.Guard([this, key, timer = action.timer] {
        Feed(key, {.kind = LifeEvent::Kind::kTimer, .timer = timer});
      }));
    case Kind::kRequestEpoch:
      return env_.epochs.RequestNewEpoch(key);
    case Kind::kYield:
      return env_.epochs.RequestSuccessor(key, action.epoch);
    case Kind::kTakeOver:
    case Kind::kLead:
    case Kind::kFollow:
    case Kind::kStandBy:
    case Kind::kRest:
    case Kind::kShowBroken:
      return Tell(key, entry, action);
    case Kind::kSettle:
      return;  // Feed's
  }
}

void PartitionSet::Tell(PartitionKey key, Entry& entry, const LifeAction& action) {
  const std::shared_ptr<Partition>& partition = entry.partition;
  Executor& shard = partition->shard();
  switch (action.kind) {
    case LifeAction::Kind::kTakeOver:
      BASCULE_CHECK(entry.recovered.has_value());
      shard.Post([partition, log = *std::exchange(entry.recovered, {})]() mutable {
        partition->Open(std::move(log));
      });
      return;
    case LifeAction::Kind::kLead:
      return shard.Post([partition, epoch = action.epoch, view = ViewOf(entry)] {
        partition->Lead(epoch, view);
      });
    case LifeAction::Kind::kFollow:
      return shard.Post(
          [partition, epoch = action.epoch, leader = entry.description.leader,
           counted = Counts(entry.description)] { partition->Follow(epoch, leader, counted); });
    case LifeAction::Kind::kStandBy:
      return shard.Post([partition] { partition->StandBy(); });
    case LifeAction::Kind::kRest:
      return shard.Post([this, key, partition] {
        partition->Rest([this, key](std::optional<log::KnownEnd> cut) {
          Report(key, {.kind = LifeEvent::Kind::kRested, .cut = cut});
        });
      });
    case LifeAction::Kind::kShowBroken:
      return shard.Post([partition, why = action.status] { partition->FailOpening(why); });
    default:
      BASCULE_CHECK(false);
  }
}

void PartitionSet::Recover(PartitionKey key, const Entry& entry,
                           std::optional<log::KnownEnd> known_end) {
  log::RecoveryRequest request{DirectoryOf(key), key.stream, key.partition,
                               std::nullopt,     known_end,  entry.description.replicas.size() > 1};
  if (const log::RecoveryPoint* point = points_->Find(key)) request.point = *point;
  // With the partition, whose files it works on.
  auto done = lifetime_.Bind(
      [this, key, partition = entry.partition](absl::StatusOr<log::RecoveredLog> recovered) {
        const auto it = partitions_.find(key);
        if (it == partitions_.end()) return;
        const absl::Status status = recovered.status();
        it->second.recovered.reset();
        if (status.ok()) it->second.recovered = *std::move(recovered);
        Feed(key, {.kind = LifeEvent::Kind::kRecovered, .status = status});
      });
  if (const auto before = recovered_before_.extract(key); !before.empty() && !known_end)
    return done(std::move(before.mapped()));
  env_.disk_pool.Post([&fs = env_.fs, request = std::move(request),
                       done = std::move(done)]() mutable { done(log::RecoverLog(fs, request)); });
}

void PartitionSet::RecoverBefore(const std::vector<PartitionKey>& keys,
                                 absl::AnyInvocable<void(std::vector<RecoveredReplica>)> done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  auto found = std::make_shared<std::vector<RecoveredReplica>>();
  Countdown all(lifetime_.Guard(
      [found, done = std::move(done)](const absl::Status&) mutable { done(std::move(*found)); }));
  for (const PartitionKey key : keys) {
    const log::RecoveryPoint* point = points_->Find(key);
    if (point == nullptr) continue;  // it never had a log
    log::RecoveryRequest request{DirectoryOf(key), key.stream,   key.partition,
                                 *point,           std::nullopt, true};
    auto recovered = lifetime_.Bind(
        [this, key, found, part = all.Add()](absl::StatusOr<log::RecoveredLog> log) mutable {
          found->push_back(Found(key, log));
          if (log.ok()) recovered_before_.insert_or_assign(key, *std::move(log));
          part(absl::OkStatus());
        });
    env_.disk_pool.Post(
        [&fs = env_.fs, request = std::move(request), recovered = std::move(recovered)]() mutable {
          recovered(log::RecoverLog(fs, request));
        });
  }
}

// R6b: what is damaged, or cannot be opened, is lost; it is said in the log when it is opened.
RecoveredReplica PartitionSet::Found(PartitionKey key,
                                     const absl::StatusOr<log::RecoveredLog>& log) {
  RecoveredReplica replica;
  replica.key = key;
  replica.lost = !log.ok() || !log->damaged.empty();
  if (!log.ok()) {
    LogError("stream ", key.stream, " partition ", key.partition,
             " cannot be opened: ", FromAbsl(log.status().message()));
    return replica;
  }
  replica.cut = log->cut_bytes > 0;
  replica.end = log->segments.back().end();
  for (const log::Segment& segment : log->segments) {
    if (!segment.footer.epochs.empty()) replica.epoch = segment.footer.epochs.back().epoch;
  }
  return replica;
}

// Whoever creates a stream is answered when it listens, so that nothing published afterwards is
// missed. Without NATS that may take for ever: then the stream stands all the same, and what was
// missed till it listens is a gap.
void PartitionSet::Listen(PartitionKey key, const std::shared_ptr<Partition>& partition,
                          bool fresh) {
  if (!fresh) {
    return partition->shard().Post([partition, key] {
      partition->Listen(Partition::Since::kAway, [key](const absl::Status& listening) {
        if (listening.ok())
          LogDebug("stream id ", key.stream, " partition ", key.partition, ": listens");
      });
    });
  }
  auto answered = std::make_shared<bool>(false);  // on the shard
  const auto answer = [this, key, answered](const absl::Status& status) {
    if (std::exchange(*answered, true)) return;
    Report(key, {.kind = LifeEvent::Kind::kListening, .status = status});
  };
  partition->shard().Post([partition, answered, answer, &clock = env_.clock] {
    partition->Listen(Partition::Since::kCreation, [weak = std::weak_ptr<Partition>(partition),
                                                    answered, answer, &clock, heard = false](
                                                       const absl::Status& listening) mutable {
      const std::shared_ptr<Partition> here = weak.lock();
      const bool first = listening.ok() && !std::exchange(heard, true);
      if (here && *answered && first) {
        here->RecordGap({here->options().created, clock.Wall(), GapReason::kNotListening, -1});
      }
      answer(listening);
    });
    partition->shard().After(kFeedPatience, [answer] { answer(absl::OkStatus()); });
  });
}

// Rests too, so that nothing can fail any more once it is reported.
void PartitionSet::Drain(PartitionKey key, const std::shared_ptr<Partition>& partition) {
  partition->Drain([this, key, partition] {
    partition->Rest([this, key, partition](std::optional<log::KnownEnd>) {
      env_.home.Post(lifetime_.Guard([this, key, point = partition->Point()]() mutable {
        const auto it = partitions_.find(key);
        if (it == partitions_.end()) return;
        it->second.drained = std::move(point);
        Feed(key, {.kind = LifeEvent::Kind::kDrained});
      }));
    });
  });
}

void PartitionSet::Close(PartitionKey key, const Entry& entry) {
  const absl::Status why = entry.life.desire.role == PartitionRole::kGone
                               ? absl::NotFoundError("commit log was deleted")
                               : absl::UnavailableError("the broker is stopping");
  entry.partition->shard().Post([this, key, why, partition = entry.partition] {
    partition->Close(why, [this, key] { Report(key, {.kind = LifeEvent::Kind::kClosed}); });
  });
}

void PartitionSet::End(PartitionKey key) {
  const auto it = partitions_.find(key);
  if (it->second.life.desire.role == PartitionRole::kGone) {
    points_->Forget(key);
  } else if (it->second.drained) {
    drained_[key] = *std::move(it->second.drained);
  }
  it->second.partition->shard().Post([&replicas = env_.replicas, key] { replicas.Leave(key); });
  partitions_.erase(it);
}

void PartitionSet::RemoveDirectory(StreamId id) {
  env_.disk_pool.Post([&fs = env_.fs, data = options_.data_directory, id] {
    const std::string from = JoinPath(StreamsDirectory(data), Concat(id));
    const std::string trash = TrashDirectory(data);
    const std::string to = JoinPath(trash, Concat(id));
    // A crash in between leaves it to the next OnTakeOver.
    absl::Status status = fs.CreateDirectories(trash);
    if (status.ok() && fs.Exists(from)) status = fs.Rename(from, to);
    if (status.ok()) status = fs.RemoveTree(to);
    if (!status.ok()) LogWarning("cannot remove ", from, ": ", FromAbsl(status.message()));
  });
}

void PartitionSet::OnTakeOver(const std::set<StreamId>& known, MetadataIndex applied,
                              const IndexRanges& doubtful) {
  BASCULE_CHECK(env_.home.OnThisThread());
  points_->KeepOnly(known, applied);
  points_->NoteApplied(applied);
  env_.disk_pool.Post([&fs = env_.fs, trash = TrashDirectory(options_.data_directory)] {
    const absl::Status emptied = fs.RemoveTree(trash);
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

void PartitionSet::OnFailed(PartitionKey key, Offset, const absl::Status&) {
  Report(key, {.kind = LifeEvent::Kind::kLogFailed});
}

void PartitionSet::LowerPoint(PartitionKey key, log::RecoveryPoint point,
                              absl::AnyInvocable<void(absl::Status)> done) {
  Executor& shard = ShardOf(key);
  env_.home.Post(lifetime_.Guard(
      [this, key, point = std::move(point), &shard, done = std::move(done)]() mutable {
        points_->Lower(key, std::move(point),
                       [&shard, done = std::move(done)](const absl::Status& lowered) mutable {
                         shard.Post([done = std::move(done), lowered]() mutable { done(lowered); });
                       });
      }));
}

void PartitionSet::ProposeIsr(PartitionKey key, isr::IsrProposal proposal,
                              absl::AnyInvocable<void()> ended) {
  env_.isr.RequestIsrChange(key, std::move(proposal),
                            [&shard = ShardOf(key), ended = std::move(ended)]() mutable {
                              shard.Post(std::move(ended));
                            });
}

void PartitionSet::Start() {
  BASCULE_CHECK(env_.home.OnThisThread());
  serving_ = true;
  if (stopping_) return;
  Tick();
  tick_timer_.Repeat(kTickPeriod, [this] { Tick(); });
}

void PartitionSet::Tick() {
  BASCULE_CHECK(env_.home.OnThisThread());
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
  env_.replicas.Tick();
  if (++ticks_ % (kIdlePeriod / kTickPeriod) == 0) {
    CheckInvariants();
    for (const auto& [key, entry] : partitions_) {
      entry.partition->shard().Post([partition = entry.partition] { partition->OnIdleTick(); });
    }
  }
}

void PartitionSet::CheckInvariants() const {
  BASCULE_CHECK(!stopping_);  // it ticks no more
  for (const auto& [key, entry] : partitions_) {
    BASCULE_CHECK(entry.partition != nullptr && entry.partition->options().key == key);
    BASCULE_CHECK_GE(entry.min_isr, 1);
    BASCULE_CHECK(entry.life.phase != PartitionPhase::kClosed);  // End took it
    // What was recovered is taken over in the same step, but for one that goes.
    const bool goes = entry.life.desire.role == PartitionRole::kGone;
    BASCULE_CHECK(goes || !entry.recovered.has_value());
    BASCULE_CHECK(goes || streams_.contains(key.stream));
    if (entry.life.phase == PartitionPhase::kLeading)
      BASCULE_CHECK(points_->Find(key) != nullptr);  // listed before anything was acked
  }
}

void PartitionSet::Collect(absl::AnyInvocable<void(RecoveryPointWriter::Points)> done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  auto gathered = std::make_shared<RecoveryPointWriter::Points>();
  // Not of a shard that stopped meanwhile: so does the broker, and Stop writes the last ones.
  Countdown all([gathered, done = std::move(done)](const absl::Status& status) mutable {
    if (status.ok()) done(std::move(*gathered));
  });
  for (Executor* shard : env_.shards) {
    std::vector<std::shared_ptr<Partition>> here;
    for (const auto& [key, entry] : partitions_) {
      if (&entry.partition->shard() == shard) here.push_back(entry.partition);
    }
    auto gather =
        lifetime_.Bind([gathered, part = all.Add()](RecoveryPointWriter::Points points) mutable {
          gathered->merge(points);
          part(absl::OkStatus());
        });
    shard->Post([here = std::move(here), gather = std::move(gather)]() mutable {
      RecoveryPointWriter::Points points;
      for (const auto& partition : here) {
        if (auto point = partition->Point()) points[partition->options().key] = *std::move(point);
      }
      gather(std::move(points));
    });
  }
}

void PartitionSet::Stop(absl::AnyInvocable<void()> done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  stopping_ = true;
  tick_timer_.Cancel();
  Countdown closed(lifetime_.Guard([this, done = std::move(done)](const absl::Status&) mutable {
    points_->WriteLast(
        std::move(drained_),
        lifetime_.Guard([this, done = std::move(done)](const absl::Status& written) mutable {
          if (!written.ok())
            LogWarning("cannot write recovery points: ", FromAbsl(written.message()));
          lifetime_.End();
          done();
        }));
  }));
  std::vector<PartitionKey> keys;
  for (const auto& [key, entry] : partitions_) keys.push_back(key);
  for (const PartitionKey key : keys) {
    Desire(key, {PartitionRole::kStopped, {}}, closed.Add());
  }
}

}  // namespace bascule::partition
