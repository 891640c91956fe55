#include "replication/partition/replica_switch.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"

namespace bascule::partition {

ReplicaSwitch::ReplicaSwitch(std::vector<Executor*> shards) {
  for (Executor* shard : shards) shards_.push_back(std::make_shared<Shard>(*shard));
}

ReplicaSwitch::~ReplicaSwitch() = default;

size_t ReplicaSwitch::ShardOf(PartitionKey key) const {
  return (key.stream.value() + static_cast<uint64_t>(key.partition.value())) % shards_.size();
}

void ReplicaSwitch::SetChannel(ReplicaChannel* channel) {
  const absl::MutexLock lock(&mutex_);
  channel_ = channel;
  for (const auto& [broker, link] : links_) {
    const auto node = nodes_.find(broker);
    if (node != nodes_.end() || channel == nullptr)
      link->Attach(channel, channel == nullptr ? PeerId() : node->second);
  }
}

void ReplicaSwitch::OnBrokers(const BrokerLives& brokers) {
  const absl::MutexLock lock(&mutex_);
  for (const auto& [broker, life] : brokers) {
    if (life.node == PeerId()) continue;
    nodes_[broker] = life.node;
    const auto link = links_.find(broker);
    if (link == links_.end()) continue;
    std::erase_if(by_peer_, [&here = link->second, node = life.node](const auto& known) {
      return known.second == here && known.first != node;
    });
    by_peer_[life.node] = link->second;
    link->second->Attach(channel_, life.node);
  }
}

void ReplicaSwitch::Tick() {
  for (const std::shared_ptr<Shard>& shard : shards_) {
    shard->executor.Post([shard] {
      for (const auto& [key, weak] : shard->ports) {
        if (const auto port = weak.lock()) port->OnReplicaTick();
      }
    });
  }
}

std::shared_ptr<ReplicaLink> ReplicaSwitch::LinkTo(const std::string& broker) {
  const absl::MutexLock lock(&mutex_);
  std::shared_ptr<ReplicaLink>& link = links_[broker];
  if (link != nullptr) return link;
  link = std::make_shared<ReplicaLink>(broker);
  const auto node = nodes_.find(broker);
  if (node != nodes_.end()) {
    by_peer_[node->second] = link;
    link->Attach(channel_, node->second);
  }
  return link;
}

std::shared_ptr<ReplicaLink> ReplicaSwitch::LinkOf(PeerId peer) {
  const absl::MutexLock lock(&mutex_);
  const auto link = by_peer_.find(peer);
  return link == by_peer_.end() ? nullptr : link->second;
}

void ReplicaSwitch::Enter(const std::shared_ptr<ReplicaPort>& port) {
  Shard& shard = *shards_[ShardOf(port->key())];
  BASCULE_CHECK(shard.executor.OnThisThread());
  shard.ports[port->key()] = port;
}

void ReplicaSwitch::Leave(PartitionKey key) {
  Shard& shard = *shards_[ShardOf(key)];
  BASCULE_CHECK(shard.executor.OnThisThread());
  shard.ports.erase(key);
}

std::vector<Bytes> ReplicaSwitch::NextFrame(PeerId to, ReplicaLane lane) {
  const std::shared_ptr<ReplicaLink> link = LinkOf(to);
  return link == nullptr ? std::vector<Bytes>() : link->Next(lane);
}

void ReplicaSwitch::OnReplicaLineUp(PeerId to, ReplicaLane lane) { TellLine(to, lane, true); }
void ReplicaSwitch::OnReplicaLineDown(PeerId to, ReplicaLane lane) { TellLine(to, lane, false); }

// Whoever is told may count on the link being as it is told: what a shard puts in after a word that the
// line broke is for the next one.
void ReplicaSwitch::TellLine(PeerId to, ReplicaLane lane, bool up) {
  const std::shared_ptr<ReplicaLink> link = LinkOf(to);
  if (link == nullptr) return;
  if (up) {
    link->Up(lane);
  } else {
    link->Down(lane);
  }
  for (const std::shared_ptr<Shard>& shard : shards_) {
    shard->executor.Post([shard, broker = link->broker(), lane, up] {
      for (const auto& [key, weak] : shard->ports) {
        if (const auto port = weak.lock()) port->OnLine(broker, lane, up);
      }
    });
  }
}

// A line of the peer's that broke is its own to make good: it sends again what may be lost.
void ReplicaSwitch::OnReplicaStreamBegan(const PeerIdentity&, ReplicaLane) {}

void ReplicaSwitch::OnReplicaFrame(const PeerIdentity& from, ReplicaLane lane, Bytes bytes,
                                   std::shared_ptr<const void> credit) {
  absl::StatusOr<std::vector<ReplicaPart>> parts = ParseReplicaFrame(bytes.view());
  if (!parts.ok()) {
    // Whoever waits for what was in it asks again.
    if (bad_frames_.fetch_add(1) % 1000 == 0) {
      LogError("broker ", from.server_id,
               " sent a replica frame that cannot be read: ", FromAbsl(parts.status().message()),
               "; it is left out");
    }
    return;
  }
  auto frame = std::make_shared<IncomingFrame>();
  frame->from = from.server_id;
  frame->lane = lane;
  frame->bytes = std::move(bytes);
  frame->parts = *std::move(parts);
  frame->credit = std::move(credit);
  std::vector<std::vector<const ReplicaPart*>> by_shard(shards_.size());
  for (const ReplicaPart& part : frame->parts) by_shard[ShardOf(part.key)].push_back(&part);
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (by_shard[i].empty()) continue;
    shards_[i]->executor.Post([shard = shards_[i],
                               frame = std::shared_ptr<const IncomingFrame>(frame),
                               told = std::move(by_shard[i])] {
      std::vector<std::shared_ptr<ReplicaPort>> touched;
      for (const ReplicaPart* part : told) {
        const auto found = shard->ports.find(part->key);
        const auto port = found == shard->ports.end() ? nullptr : found->second.lock();
        if (port == nullptr) continue;
        port->OnReplicaPart(frame, *part);
        if (touched.empty() || touched.back() != port) touched.push_back(port);
      }
      for (const auto& port : touched) port->EndOfFrame();
    });
  }
}

}  // namespace bascule::partition
