#include "replication/peer/peer_registry.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/text.h"

namespace bascule::peer {

void PeerRegistry::Add(PeerId id, std::string server_id, std::string address) {
  Peer old;
  Lines dial;
  {
    const absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    Peer& peer = peers_[id];
    // Said again: it may have been found elsewhere since.
    if (peer.control != nullptr && peer.server_id == server_id && peer.told == address) return;
    // Streams of the same broker stay: they do not depend on where we reach it.
    if (peer.server_id != server_id) old = std::exchange(peer, Peer());
    peer.server_id = std::move(server_id);
    peer.told = address;
    if (peer.control == nullptr || peer.address != address)
      dial = DialAt(id, peer, std::move(address), old);
  }
  EndLines(old, absl::CancelledError("its address has changed"));
  EndStreams(old, {Refusal::kIdentity, absl::PermissionDeniedError("its server id has changed")});
  for (const auto& line : dial) line->Dial();
}

void PeerRegistry::Redirect(PeerId id, const std::string& address) {
  Peer old;
  Lines dial;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = peers_.find(id);
    if (stopped_ || found == peers_.end() || found->second.address == address) return;
    dial = DialAt(id, found->second, address, old);
  }
  EndLines(old, absl::CancelledError("its address has changed"));
  for (const auto& line : dial) line->Dial();
}

PeerRegistry::Lines PeerRegistry::DialAt(PeerId id, Peer& peer, std::string address, Peer& old) {
  if (peer.control != nullptr) {
    old.control = std::exchange(peer.control, nullptr);
    old.bulk = std::exchange(peer.bulk, nullptr);
    old.replicas = std::exchange(peer.replicas, {});
  }
  if (peer.turns == nullptr) peer.turns = TurnsOf(id);
  const std::shared_ptr<Turns>& turns = peer.turns;
  const Destination destination{id, peer.server_id, address};
  peer.address = std::move(address);
  peer.control = std::make_shared<ControlLine>(core_, destination,
                                               std::shared_ptr<UpState>(turns, &turns->up));
  peer.bulk = std::make_shared<BulkLine>(core_, destination);
  Lines dial{peer.control};
  for (const ReplicaLane lane : {ReplicaLane::kTail, ReplicaLane::kCatchUp}) {
    const auto i = static_cast<size_t>(lane);
    peer.replicas[i] = std::make_shared<ReplicaLine>(
        core_, lane, destination, std::shared_ptr<LineTurn>(turns, &turns->lines[i]),
        ++last_number_);
    if (old.replicas[i] == nullptr || !old.replicas[i]->Wanted()) continue;
    peer.replicas[i]->Want();
    dial.push_back(peer.replicas[i]);
  }
  return peer.address.empty() ? Lines() : dial;
}

std::shared_ptr<PeerRegistry::Turns> PeerRegistry::TurnsOf(PeerId id) {
  std::erase_if(turns_, [](const auto& entry) { return entry.second.expired(); });
  std::shared_ptr<Turns> turns = turns_[id].lock();
  if (turns == nullptr) {
    turns = std::make_shared<Turns>();
    turns_[id] = turns;
  }
  return turns;
}

PeerRegistry::Lines PeerRegistry::Peer::lines() const {
  if (control == nullptr) return {};
  Lines out{control, bulk};
  out.insert(out.end(), replicas.begin(), replicas.end());
  return out;
}

void PeerRegistry::WakeReplicas(PeerId to, ReplicaLane lane) {
  std::shared_ptr<ReplicaLine> line;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = peers_.find(to);
    if (found == peers_.end() || core_->replicas == nullptr) return;
    line = found->second.replicas[static_cast<size_t>(lane)];
    line->Want();  // with the lock: a line that takes its place is dialled
  }
  line->WakeUp();
}

void PeerRegistry::Remove(PeerId id) {
  Peer old;
  {
    const absl::MutexLock lock(&mutex_);
    auto node = peers_.extract(id);
    if (node.empty()) return;
    old = std::move(node.mapped());
  }
  EndLines(old, absl::CancelledError("it is no member of the cluster any more"));
  EndStreams(old, {Refusal::kUnknownNode,
                   absl::NotFoundError(Concat("broker ", Quoted(old.server_id), ", node ", id,
                                              ", was removed from the cluster"))});
}

void PeerRegistry::Stop() {
  std::map<PeerId, Peer> peers;
  {
    const absl::MutexLock lock(&mutex_);
    stopped_ = true;
    peers.swap(peers_);
  }
  for (const auto& [id, peer] : peers) EndLines(peer, absl::CancelledError("this broker stops"));
}

void PeerRegistry::EndLines(const Peer& peer, const absl::Status& why) {
  for (const auto& line : peer.lines()) line->End(why);
}

void PeerRegistry::EndStreams(const Peer& peer, const Refused& why) {
  for (const auto& accepted : peer.accepted) {
    if (const auto stream = accepted.lock()) stream->End(why);
  }
}

std::shared_ptr<ControlLine> PeerRegistry::Control(PeerId id) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.control;
}

std::vector<std::string> PeerRegistry::Names() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [id, peer] : peers_) names.push_back(peer.server_id);
  return names;
}

std::shared_ptr<BulkLine> PeerRegistry::Bulk(PeerId id) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.bulk;
}

std::optional<Refused> PeerRegistry::Admit(const Hello& hello,
                                           const std::optional<std::string>& certificate,
                                           ChannelKind kind,
                                           const std::shared_ptr<AcceptedStream>& stream) {
  const LocalNames names = core_->names();
  std::shared_ptr<AcceptedStream> old;
  Lines lines;
  bool moved = false;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = peers_.find(hello.from.id);
    Peer* peer = found == peers_.end() ? nullptr : &found->second;
    if (auto refused =
            CheckHello(hello, names, certificate, peer == nullptr ? nullptr : &peer->server_id))
      return refused;
    auto& place = peer->accepted[static_cast<size_t>(kind)];
    old = place.lock();
    place = stream;
    if (const auto lane = LaneOf(kind)) {
      stream->TakeTurn(std::shared_ptr<StreamTurn>(
                           peer->turns, &peer->turns->streams[static_cast<size_t>(*lane)]),
                       ++last_number_);
    }
    lines = peer->lines();
    moved = !peer->address.empty() && !hello.from.address.empty() &&
            hello.from.address != peer->address;
  }
  if (old != nullptr) {
    old->End({Refusal::kReplaced,
              absl::AbortedError("a newer connection of this broker took its place")});
  }
  // It came back at another address: it is dialled there, long before the metadata says so.
  if (moved) {
    Redirect(hello.from.id, hello.from.address);
  } else {
    for (const auto& line : lines) line->DialNow();
  }
  return std::nullopt;
}

}  // namespace bascule::peer
