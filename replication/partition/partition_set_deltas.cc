// What metadata's deltas ask of this broker: which partitions are opened, led, given up, closed.
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/env/countdown.h"
#include "replication/partition/partition_set.h"

namespace bascule::partition {
namespace {

bool Holds(const PartitionDescription& partition, const std::string& broker) {
  return std::find(partition.replicas.begin(), partition.replicas.end(), broker) !=
         partition.replicas.end();
}

}  // namespace

void PartitionSet::OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (stopping_) return settled(absl::UnavailableError("the broker is stopping"));
  if (const auto* created = std::get_if<StreamCreated>(&delta))
    return Create(*created, std::move(settled));
  if (const auto* deleted = std::get_if<StreamDeleted>(&delta))
    return Delete(*deleted, std::move(settled));
  if (const auto* updated = std::get_if<StreamUpdated>(&delta))
    return Update(*updated, std::move(settled));
  Change(std::get<PartitionChanged>(delta), std::move(settled));
}

PartitionDesire PartitionSet::DesireOf(const PartitionDescription& partition) const {
  PartitionRole role = PartitionRole::kFollower;
  if (partition.leader == options_.broker) role = PartitionRole::kLeader;
  if (partition.leader.empty()) role = PartitionRole::kStandby;
  return {role, partition.leader_epoch};
}

isr::PartitionView PartitionSet::ViewOf(const Entry& entry) const {
  const PartitionDescription& partition = entry.description;
  isr::PartitionView view{partition.version, entry.min_isr, {}};
  for (const std::string& broker : partition.replicas) {
    const auto life = brokers_.find(broker);
    const bool known = life != brokers_.end();
    const bool in_isr =
        std::find(partition.isr.begin(), partition.isr.end(), broker) != partition.isr.end();
    const bool doubtful =
        std::any_of(partition.doubtful.begin(), partition.doubtful.end(),
                    [&broker](const ReplicaDoubt& doubt) { return doubt.broker == broker; });
    view.replicas.push_back({broker, known ? life->second.incarnation : 0,
                             known && life->second.live, in_isr, doubtful});
  }
  return view;
}

bool PartitionSet::Counts(const PartitionDescription& partition) const {
  const auto names = [this](const std::vector<std::string>& brokers) {
    return std::find(brokers.begin(), brokers.end(), options_.broker) != brokers.end();
  };
  return names(partition.isr) || names(partition.elr);
}

void PartitionSet::TellView(const Entry& entry) const {
  if (entry.description.leader != options_.broker) {
    return entry.partition->shard().Post(
        [partition = entry.partition, counted = Counts(entry.description)] {
          partition->OnCounted(counted);
        });
  }
  entry.partition->shard().Post([partition = entry.partition,
                                 epoch = entry.description.leader_epoch,
                                 view = ViewOf(entry)] { partition->OnView(epoch, view); });
}

void PartitionSet::OnBrokers(const BrokerLives& brokers) {
  BASCULE_CHECK(env_.home.OnThisThread());
  brokers_ = brokers;
  env_.replicas.OnBrokers(brokers);
  for (const auto& [key, entry] : partitions_) {
    if (entry.description.replicas.size() > 1 && entry.description.leader == options_.broker)
      TellView(entry);
  }
}

void PartitionSet::Desire(PartitionKey key, PartitionDesire desire, Settled settled) {
  partitions_.at(key).waiting.push_back(std::move(settled));
  Feed(key, {.kind = LifeEvent::Kind::kDesired, .desire = desire});
}

// The catalog shows a stream once what is led here is open, and from then on every change of it.
void PartitionSet::Show(StreamId id, std::shared_ptr<const CatalogEntry> entry) {
  streams_[id] = entry;
  const auto shown = env_.catalog.Find(entry->stream.name);
  if (shown && shown->stream.id == id) env_.catalog.Put(std::move(entry));
}

std::shared_ptr<Partition> PartitionSet::Make(const StreamDescription& stream,
                                              const StreamSettings& settings, PartitionKey key) {
  const size_t shard = env_.replicas.ShardOf(key);
  PartitionEnvironment environment{
      {env_.fs, env_.clock, *env_.shards[shard], env_.disk_pool, *budgets_[shard]},
      env_.sync,
      env_.acks,
      env_.feeds,
      *this,
      env_.replicas,
      disk_full_};
  PartitionOptions options;
  options.key = key;
  options.stream = stream.name;
  options.base_subject = stream.subject;
  options.group = stream.group;
  options.created = stream.created;
  options.settings = settings;
  options.broker = options_.broker;
  options.incarnation = options_.incarnation;
  options.max_lag = options_.max_lag;
  options.max_silence = options_.max_silence;
  options.max_message_bytes = options_.max_message_bytes;
  auto partition = std::make_shared<Partition>(environment, std::move(options));
  partition->shard().Post([&replicas = env_.replicas, partition] { replicas.Enter(partition); });
  return partition;
}

void PartitionSet::Create(const StreamCreated& created,
                          absl::AnyInvocable<void(absl::Status)> settled) {
  const StreamId id = created.stream.id;
  points_->NoteApplied(MetadataIndex(id.value()));
  auto entry = std::make_shared<CatalogEntry>();
  entry->stream = created.stream;
  entry->settings = Resolve(created.stream.overrides, options_.defaults);
  Countdown opened(
      lifetime_.Guard([this, id, settled = std::move(settled)](const absl::Status& status) mutable {
        // Deleted while it was being opened: stays gone, and was made all the same.
        const auto here = streams_.find(id);
        if (!stopping_ && here != streams_.end()) env_.catalog.Put(here->second);
        settled(here == streams_.end() ? absl::OkStatus() : status);
      }));
  std::vector<std::pair<PartitionKey, PartitionDesire>> held;
  for (const PartitionDescription& description : created.stream.partitions) {
    if (!Holds(description, options_.broker)) {
      entry->partitions.push_back(nullptr);
      continue;
    }
    const PartitionKey key{id, description.id};
    auto partition = Make(created.stream, entry->settings, key);
    entry->partitions.push_back(partition);
    Entry& here = partitions_[key];
    here.partition = partition;
    here.description = description;
    here.min_isr = MinIsr(entry->settings.min_isr, description.replicas.size());
    here.life.fresh = serving_;
    held.emplace_back(key, DesireOf(description));
  }
  streams_[id] = std::move(entry);
  for (const auto& [key, desire] : held) Desire(key, desire, opened.Add());
}

void PartitionSet::Delete(const StreamDeleted& deleted,
                          absl::AnyInvocable<void(absl::Status)> settled) {
  env_.catalog.Remove(deleted.name);
  streams_.erase(deleted.id);
  std::vector<PartitionKey> closing;
  for (const auto& [key, entry] : partitions_) {
    if (key.stream == deleted.id) closing.push_back(key);
  }
  Countdown closed(lifetime_.Guard(
      [this, id = deleted.id, settled = std::move(settled)](const absl::Status&) mutable {
        RemoveDirectory(id);
        settled(absl::OkStatus());
      }));
  for (const PartitionKey key : closing) Desire(key, {PartitionRole::kGone, {}}, closed.Add());
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
  const PartitionDescription& now = changed.partition;
  if (now.leader_epoch != it->second.description.leader_epoch) {
    LogDebug("stream ", changed.name, " partition ", now.id, ": ",
             now.leader.empty() ? "nobody" : "broker " + now.leader, " leads in epoch ",
             now.leader_epoch);
  }
  it->second.description = now;
  it->second.min_isr = MinIsr(entry->settings.min_isr, changed.partition.replicas.size());
  TellView(it->second);
  Desire(key, DesireOf(changed.partition), std::move(settled));
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
    TellView(it->second);
  }
  settled(absl::OkStatus());
}

}  // namespace bascule::partition
