#include "replication/peer/peer_registry.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/text.h"

namespace bascule::peer {

void PeerRegistry::Add(PeerId id, std::string server_id, std::string address) {
  Peer old;
  std::shared_ptr<ControlLine> dial;
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
  if (dial != nullptr) dial->Dial();
}

void PeerRegistry::Redirect(PeerId id, const std::string& address) {
  Peer old;
  std::shared_ptr<ControlLine> dial;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = peers_.find(id);
    if (stopped_ || found == peers_.end() || found->second.address == address) return;
    dial = DialAt(id, found->second, address, old);
  }
  EndLines(old, absl::CancelledError("its address has changed"));
  if (dial != nullptr) dial->Dial();
}

std::shared_ptr<ControlLine> PeerRegistry::DialAt(PeerId id, Peer& peer, std::string address,
                                                  Peer& old) {
  if (peer.control != nullptr) {
    old.control = std::exchange(peer.control, nullptr);
    old.bulk = std::exchange(peer.bulk, nullptr);
  }
  const Destination destination{id, peer.server_id, address};
  peer.control = std::make_shared<ControlLine>(core_, destination, UpStateOf(id));
  peer.bulk = std::make_shared<BulkLine>(core_, destination);
  peer.address = std::move(address);
  return peer.address.empty() ? nullptr : peer.control;
}

std::shared_ptr<UpState> PeerRegistry::UpStateOf(PeerId id) {
  std::erase_if(up_, [](const auto& entry) { return entry.second.expired(); });
  std::shared_ptr<UpState> state = up_[id].lock();
  if (state == nullptr) {
    state = std::make_shared<UpState>();
    up_[id] = state;
  }
  return state;
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
  if (peer.control != nullptr) peer.control->End(why);
  if (peer.bulk != nullptr) peer.bulk->End(why);
}

void PeerRegistry::EndStreams(const Peer& peer, const Refused& why) {
  if (const auto stream = peer.accepted_control.lock()) stream->End(why);
  if (const auto stream = peer.accepted_bulk.lock()) stream->End(why);
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
  std::shared_ptr<ControlLine> control;
  bool moved = false;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = peers_.find(hello.from.id);
    Peer* peer = found == peers_.end() ? nullptr : &found->second;
    if (auto refused =
            CheckHello(hello, names, certificate, peer == nullptr ? nullptr : &peer->server_id))
      return refused;
    auto& place = kind == ChannelKind::kBulk ? peer->accepted_bulk : peer->accepted_control;
    old = place.lock();
    place = stream;
    control = peer->control;
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
    control->DialNow();
  }
  return std::nullopt;
}

}  // namespace bascule::peer
