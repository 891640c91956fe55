// What metadata's deltas ask of this broker: which partitions are opened, led, given up, closed.
#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "replication/partition/partition_set.h"

namespace bascule {
namespace {

bool Holds(const PartitionDescription& partition, const std::string& broker) {
  return std::find(partition.replicas.begin(), partition.replicas.end(), broker) !=
         partition.replicas.end();
}

}  // namespace

void PartitionSet::OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) {
  if (stopping_) return settled(absl::UnavailableError("the broker is stopping"));
  if (const auto* created = std::get_if<StreamCreated>(&delta))
    return Create(*created, std::move(settled));
  if (const auto* deleted = std::get_if<StreamDeleted>(&delta))
    return Delete(*deleted, std::move(settled));
  if (const auto* updated = std::get_if<StreamUpdated>(&delta))
    return Update(*updated, std::move(settled));
  Change(std::get<PartitionChanged>(delta), std::move(settled));
}

// The catalog shows a stream once what is led here is open, and from then on every change of it.
void PartitionSet::Show(StreamId id, std::shared_ptr<const CatalogEntry> entry) {
  streams_[id] = entry;
  const auto shown = env_.catalog.Find(entry->stream.name);
  if (shown && shown->stream.id == id) env_.catalog.Put(std::move(entry));
}

std::shared_ptr<Partition> PartitionSet::Make(const StreamDescription& stream,
                                              const StreamSettings& settings, PartitionKey key) {
  const size_t shard =
      (key.stream.value() + static_cast<uint64_t>(key.partition.value())) % env_.shards.size();
  PartitionEnvironment environment{
      {env_.fs, env_.clock, *env_.shards[shard], env_.disk_pool, *budgets_[shard]},
      env_.sync,
      env_.acks,
      env_.feeds,
      *this,
      disk_full_};
  PartitionOptions options;
  options.key = key;
  options.stream = stream.name;
  options.base_subject = stream.subject;
  options.group = stream.group;
  options.created = stream.created;
  options.settings = settings;
  options.broker = options_.broker;
  options.max_message_bytes = options_.max_message_bytes;
  return std::make_shared<Partition>(environment, std::move(options));
}

void PartitionSet::Create(const StreamCreated& created,
                          absl::AnyInvocable<void(absl::Status)> settled) {
  const StreamId id = created.stream.id;
  auto entry = std::make_shared<CatalogEntry>();
  entry->stream = created.stream;
  entry->settings = Resolve(created.stream.overrides, options_.defaults);
  auto opening = std::make_shared<Opening>();
  opening->wait_for_feed = serving_;
  opening->countdown.waiting = 1;
  opening->countdown.all = [this, id,
                            settled = std::move(settled)](const absl::Status& status) mutable {
    // Deleted while it was being opened: stays gone, and was made all the same.
    const auto here = streams_.find(id);
    if (!stopping_ && here != streams_.end()) env_.catalog.Put(here->second);
    settled(here == streams_.end() ? absl::OkStatus() : status);
  };
  std::vector<PartitionKey> led;
  for (const PartitionDescription& description : created.stream.partitions) {
    if (!Holds(description, options_.broker)) {
      entry->partitions.push_back(nullptr);
      continue;
    }
    const PartitionKey key{id, description.id};
    auto partition = Make(created.stream, entry->settings, key);
    entry->partitions.push_back(partition);
    Entry& held = partitions_[key];
    held.partition = partition;
    held.description = description;
    held.min_isr = MinIsr(entry->settings.min_isr, description.replicas.size());
    if (description.leader != options_.broker) {
      partition->shard().Post(
          [partition, epoch = description.leader_epoch] { partition->Resign(epoch); });
      continue;
    }
    ++opening->countdown.waiting;
    led.push_back(key);
  }
  streams_[id] = std::move(entry);
  for (const PartitionKey key : led) Open(key, opening);
  opening->countdown.Done(absl::OkStatus());
}

void PartitionSet::Delete(const StreamDeleted& deleted,
                          absl::AnyInvocable<void(absl::Status)> settled) {
  env_.catalog.Remove(deleted.name);
  streams_.erase(deleted.id);
  auto countdown = std::make_shared<Countdown>();
  std::vector<std::shared_ptr<Partition>> closing;
  for (auto it = partitions_.begin(); it != partitions_.end();) {
    if (it->first.stream != deleted.id) {
      ++it;
      continue;
    }
    points_->Forget(it->first);
    for (auto& resume : it->second.resumes) resume(absl::OkStatus());
    closing.push_back(std::move(it->second.partition));
    it = partitions_.erase(it);
  }
  countdown->waiting = static_cast<int>(closing.size());
  countdown->all = [this, id = deleted.id,
                    settled = std::move(settled)](const absl::Status&) mutable {
    RemoveDirectory(id);
    settled(absl::OkStatus());
  };
  if (closing.empty()) {
    countdown->waiting = 1;
    return countdown->Done(absl::OkStatus());
  }
  for (const auto& partition : closing) {
    partition->shard().Post([this, partition, countdown] {
      partition->Close(absl::NotFoundError("commit log was deleted"));
      env_.home.Post([countdown] { countdown->Done(absl::OkStatus()); });
    });
  }
}

void PartitionSet::Change(const PartitionChanged& changed,
                          absl::AnyInvocable<void(absl::Status)> settled) {
  const auto stream = streams_.find(changed.id);
  if (stream == streams_.end()) return settled(absl::OkStatus());
  auto entry = std::make_shared<CatalogEntry>(*stream->second);
  const auto at = static_cast<size_t>(changed.partition.id.value());
  if (at >= entry->stream.partitions.size())
    return settled(absl::InternalError("a partition that the stream does not have"));
  entry->stream.partitions[at] = changed.partition;
  Show(changed.id, entry);
  const PartitionKey key{changed.id, changed.partition.id};
  const auto it = partitions_.find(key);
  if (it == partitions_.end()) return settled(absl::OkStatus());
  const PartitionDescription before = std::exchange(it->second.description, changed.partition);
  it->second.min_isr = MinIsr(entry->settings.min_isr, changed.partition.replicas.size());
  const std::shared_ptr<Partition> partition = it->second.partition;
  if (changed.partition.leader != options_.broker) {
    partition->shard().Post(
        [partition, epoch = changed.partition.leader_epoch] { partition->Resign(epoch); });
    return settled(absl::OkStatus());
  }
  if (before.leader == options_.broker && before.leader_epoch == changed.partition.leader_epoch)
    return settled(absl::OkStatus());
  Resume(key, std::move(settled));
}

// We lead, in an epoch of our own. A sound log goes on as it is; one that failed, or was never
// open, is recovered first.
void PartitionSet::Resume(PartitionKey key, absl::AnyInvocable<void(absl::Status)> settled) {
  Entry& entry = partitions_.at(key);
  if (entry.recovering) return entry.resumes.push_back(std::move(settled));
  entry.partition->shard().Post([this, key, partition = entry.partition,
                                 description = entry.description, min_isr = entry.min_isr,
                                 settled = std::move(settled)]() mutable {
    if (partition->EnterEpoch(description.leader_epoch, description.isr, min_isr)) {
      if (!partition->has_feed())
        partition->Listen(Partition::Since::kAway, [](const absl::Status&) {});
      return env_.home.Post(
          [settled = std::move(settled)]() mutable { settled(absl::OkStatus()); });
    }
    const bool was_open = partition->was_open();
    env_.home.Post([this, key, was_open, settled = std::move(settled)]() mutable {
      const auto it = partitions_.find(key);
      if (it == partitions_.end() || !IsLed(it->second)) return settled(absl::OkStatus());
      if (it->second.recovering) return it->second.resumes.push_back(std::move(settled));
      if (was_open) {
        Reopen(key);
        return settled(absl::OkStatus());
      }
      auto opening = std::make_shared<Opening>();
      opening->countdown.waiting = 1;
      opening->countdown.all = std::move(settled);
      Open(key, std::move(opening));
    });
  });
}

void PartitionSet::Reopen(PartitionKey key) {
  partitions_.at(key).recovering = true;
  Recover(key, partitions_.at(key).durable_end, [this, key](const absl::Status& opened) {
    const auto here = partitions_.find(key);
    if (here == partitions_.end()) return;
    if (!opened.ok()) return RetryOpening(key);
    LogInfo("partition ", key.partition, " of stream id ", key.stream, " takes messages again");
    here->second.durable_end.reset();
    if (!IsLed(here->second)) return;
    const std::shared_ptr<Partition> partition = here->second.partition;
    partition->shard().Post([this, partition] {
      if (partition->has_feed()) return;
      // Opened late for the first time.
      ScheduleClean(partition);
      partition->Listen(Partition::Since::kAway, [](const absl::Status&) {});
    });
  });
}

void PartitionSet::Update(const StreamUpdated& updated,
                          absl::AnyInvocable<void(absl::Status)> settled) {
  const auto stream = streams_.find(updated.stream.id);
  if (stream == streams_.end()) return settled(absl::OkStatus());
  auto entry = std::make_shared<CatalogEntry>(*stream->second);
  entry->stream.overrides = updated.stream.overrides;
  entry->settings = Resolve(updated.stream.overrides, options_.defaults);
  const StreamSettings settings = entry->settings;
  Show(updated.stream.id, entry);
  for (const PartitionDescription& description : entry->stream.partitions) {
    const auto it = partitions_.find({updated.stream.id, description.id});
    if (it == partitions_.end()) continue;
    it->second.min_isr = MinIsr(settings.min_isr, description.replicas.size());
    const std::shared_ptr<Partition> partition = it->second.partition;
    partition->shard().Post([partition, settings] { partition->Reconfigure(settings); });
  }
  settled(absl::OkStatus());
}

}  // namespace bascule
