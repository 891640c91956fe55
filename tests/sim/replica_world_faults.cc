// What is done to simulated brokers with replicas, besides MachineFaults.
#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "core/log/segment_format.h"
#include "tests/sim/replica_world.h"

namespace bascule {

void ReplicaWorld::Harm() {
  HarmBus();
  if (faults_.Happens(rates_.stop)) StopOne();
  if (faults_.Happens(rates_.lost_disk)) LoseDisk();
  if (faults_.Happens(rates_.damage)) Damage();
  if (faults_.Happens(rates_.slow)) SlowDown();
  if (faults_.Happens(rates_.move)) MoveLeader();
}

void ReplicaWorld::HarmBus() {
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    BrokerProcess* const broker = At(i);
    if (broker == nullptr) continue;
    const MonotonicTime now = kernel_.clock().Monotonic();
    if (!broker->bus().connected()) {
      if (off_bus_until_[i] <= now) broker->bus().Reconnect();
    } else if (faults_.Happens(rates_.bus_cut)) {
      kernel_.Note(broker->name(), " loses its bus");
      broker->bus().Disconnect();
      off_bus_until_[i] = Add(now, std::chrono::milliseconds(Draw(10, 2000)));
    }
  }
}

// What it leads is handed over; when it has stopped it is down (IsDead).
void ReplicaWorld::StopOne() {
  BrokerProcess* const broker = At(Draw(1, kernel_.size()));
  if (broker == nullptr) return;
  kernel_.Note(broker->name(), " is asked to stop");
  broker->Stop();
  ++counts_.of[ReplicaCounts::kStops];
}

// Whether the group that decides has as many sound disks as it thinks: one at a time may be lost.
bool ReplicaWorld::MetadataIsWhole() {
  const metadata::MetaTable* const table = NewestTable();
  if (table == nullptr) return false;
  const auto& members = table->members();
  const auto voters = static_cast<size_t>(
      std::count_if(members.begin(), members.end(), [](const auto& one) { return one.voter; }));
  size_t there = 0;
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    if (At(i) == nullptr) return false;
    const PeerId node = nodes_[i];
    there +=
        static_cast<size_t>(std::count_if(members.begin(), members.end(), [node](const auto& one) {
          return one.voter && one.id == node;
        }));
  }
  return voters >= 3 && there == voters;
}

void ReplicaWorld::LoseDisk() {
  const uint64_t machine = Draw(1, kernel_.size());
  const std::string name = kernel_.machine(machine).name;
  if (At(machine) == nullptr || !MetadataIsWhole() ||
      !losses_.Affords(name, ReplicaLosses::Which::kAll))
    return;
  kernel_.Note(name, " loses its disk");
  losses_.Lose(name, IncarnationOf(machine), ReplicaLosses::Which::kAll);
  faults_.Down(machine, MachineFaults::End::kCrash);
  SimFileSystem& disk = kernel_.machine(machine).disk;
  if (!disk.RemoveTree("data").ok() || !disk.SyncDir(ParentPath("data")).ok())
    Fail("the disk cannot be emptied");
  ++counts_.of[ReplicaCounts::kLostDisks];
}

// Something that was durable is gone, of one replica or of the list of them.
void ReplicaWorld::Damage() {
  const uint64_t machine = Draw(1, kernel_.size());
  BrokerProcess* const broker = At(machine);
  if (broker == nullptr || !losses_.Affords(broker->name(), ReplicaLosses::Which::kAll)) return;
  const auto target = AnyPartition();
  const StreamDescription* const stream = target ? broker->table().Find(target->stream) : nullptr;
  if (stream == nullptr) return;
  const PartitionDescription& partition = stream->partitions.at(target->partition);
  const auto& replicas = partition.replicas;
  const bool here = std::find(replicas.begin(), replicas.end(), broker->name()) != replicas.end();
  if (!here || replicas.size() == 1) return;
  const PartitionKey key{stream->id, partition.id};
  const std::string name = broker->name();
  const uint64_t incarnation = IncarnationOf(machine);
  // Of the same boot a log that ends at a batch's end is not doubted.
  faults_.Down(machine, MachineFaults::End::kCrash);
  if (OneIn(6)) {
    if (!kernel_.machine(machine).disk.Exists("data/recovery.points")) return;
    kernel_.Note(name, " loses recovery.points");
    (void)kernel_.machine(machine).disk.Remove("data/recovery.points");
    (void)kernel_.machine(machine).disk.SyncDir("data");
    losses_.Lose(name, incarnation, ReplicaLosses::Which::kAll);
  } else {
    const std::string what = DamageReplica(machine, key);
    if (what.empty()) return;
    kernel_.Note(name, ", ", target->subject, ": ", what);
    losses_.Lose(key, name, incarnation);
  }
  ++counts_.of[ReplicaCounts::kDamages];
}

std::string ReplicaWorld::DamageReplica(uint64_t machine, PartitionKey key) {
  SimFileSystem& disk = kernel_.machine(machine).disk;
  const std::string directory = Concat("data/streams/", key.stream, "/", key.partition);
  const auto entries = disk.List(directory);
  if (!entries.ok()) return "";
  std::vector<std::string> segments;
  for (const DirectoryEntry& entry : *entries) {
    if (log::ParseSegmentFileName(entry.name)) segments.push_back(JoinPath(directory, entry.name));
  }
  if (segments.empty()) return "";
  std::sort(segments.begin(), segments.end());
  const uint64_t kind = kernel_.rng().Below(3);
  if (kind == 0) {
    (void)disk.RemoveTree(directory);
    (void)disk.SyncDir(ParentPath(directory));
    return "its directory is gone";
  }
  if (kind == 1) {
    const std::string& path = segments[kernel_.rng().Below(segments.size())];
    (void)disk.Remove(path);
    (void)disk.SyncDir(directory);
    return path + " is gone";
  }
  const std::string& path = segments.back();
  const size_t size = disk.DurableBytes(path).size();
  if (size < 2) return "";
  const uint64_t left = kernel_.rng().Below(size);
  disk.TruncateDurably(path, left);
  return Concat(path, " is cut from ", size, " to ", left);
}

// Its pools stand still for a while: reads and syncs take as long.
void ReplicaWorld::SlowDown() {
  const uint64_t machine = Draw(1, kernel_.size());
  if (At(machine) == nullptr) return;
  const std::chrono::milliseconds still(Draw(5, 1000));
  kernel_.Note(kernel_.machine(machine).name, ": its disk takes ", still.count(), " ms");
  for (SimExecutor* thread : kernel_.machine(machine).threads) {
    if (thread->name().ends_with(" disk") || thread->name().ends_with(" sync"))
      thread->StandStill(still);
  }
}

void ReplicaWorld::MoveLeader() {
  BrokerProcess* const broker = At(Draw(1, kernel_.size()));
  const auto target = AnyPartition();
  const StreamDescription* const stream =
      broker != nullptr && target ? broker->table().Find(target->stream) : nullptr;
  if (stream == nullptr) return;
  const PartitionDescription& partition = stream->partitions.at(target->partition);
  const std::string to = partition.replicas[kernel_.rng().Below(partition.replicas.size())];
  kernel_.Note(target->subject, " is to move to ", to);
  broker->broker().metadata().frontend().MoveLeader(
      {stream->id, partition.id}, partition.leader_epoch, to, std::chrono::seconds(3),
      [this](const absl::Status& moved) {
        counts_.of[ReplicaCounts::kMoves] += moved.ok() ? 1 : 0;
      });
}

}  // namespace bascule
