// Both ends of the lines of replicas for tests: what is to be sent, and what has come.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/peer_world.h"

namespace bascule::peer {

inline std::string NameOf(ReplicaLane lane) {
  return lane == ReplicaLane::kTail ? "tail" : "catch-up";
}

// Of one broker with one peer. Any thread.
class NotingTraffic final : public ReplicaTraffic {
 public:
  using Pieces = std::vector<Bytes>;

  std::vector<Bytes> NextFrame(PeerId, ReplicaLane lane) override {
    const std::lock_guard lock(mutex_);
    Side& side = Of(lane);
    if (!side.up) broken_ += "asked while it is down; ";
    ++side.asked;
    if (side.waiting.empty()) return {};
    Pieces next = std::move(side.waiting.front());
    side.waiting.pop_front();
    ++side.given;
    return next;
  }
  void OnReplicaLineUp(PeerId to, ReplicaLane lane) override { NoteUp(to, lane, true); }
  void OnReplicaLineDown(PeerId to, ReplicaLane lane) override { NoteUp(to, lane, false); }
  void OnReplicaStreamBegan(const PeerIdentity& from, ReplicaLane lane) override {
    const std::lock_guard lock(mutex_);
    CheckNotWithin("told of a stream");
    Of(lane).came.clear();
    events_.push_back(Concat("began ", from.server_id, " ", NameOf(lane)));
  }
  void OnReplicaFrame(const PeerIdentity& from, ReplicaLane lane, Bytes frame,
                      std::shared_ptr<const void> credit) override {
    std::function<void()> when_frame;
    {
      const std::lock_guard lock(mutex_);
      when_frame = std::exchange(when_frame_, nullptr);
    }
    if (when_frame) when_frame();
    const std::lock_guard lock(mutex_);
    CheckNotWithin("given a frame");
    Side& side = Of(lane);
    from_ = from;
    side.came.push_back(std::string(frame.view()));
    side.bytes += frame.size();
    if (side.holds) side.held.push_back(std::move(credit));
  }

  // To be sent at the next wake.
  void Add(ReplicaLane lane, Pieces pieces) {
    const std::lock_guard lock(mutex_);
    Of(lane).waiting.push_back(std::move(pieces));
  }
  void Add(ReplicaLane lane, std::string frame) { Add(lane, Pieces{Bytes(std::move(frame))}); }
  // Wakes `to` over `channel`.
  void Send(ReplicaChannel& channel, PeerId to, ReplicaLane lane, std::string frame) {
    Add(lane, std::move(frame));
    Wake(channel, to, lane);
  }
  static void Wake(ReplicaChannel& channel, PeerId to, ReplicaLane lane) {
    waking_ = true;
    channel.WakeReplicas(to, lane);
    waking_ = false;
  }
  // Credits are kept from now on; until let go.
  void Hold(ReplicaLane lane) {
    const std::lock_guard lock(mutex_);
    Of(lane).holds = true;
  }
  void LetGo(ReplicaLane lane) {
    std::vector<std::shared_ptr<const void>> held;
    const std::lock_guard lock(mutex_);
    Of(lane).holds = false;
    held.swap(Of(lane).held);
  }
  // Done once, at the next frame, before it is noted.
  void WhenFrame(std::function<void()> then) {
    const std::lock_guard lock(mutex_);
    when_frame_ = std::move(then);
  }

  // Since the stream began.
  std::vector<std::string> Came(ReplicaLane lane) const {
    const std::lock_guard lock(mutex_);
    return Of(lane).came;
  }
  size_t CountOf(ReplicaLane lane) const {
    const std::lock_guard lock(mutex_);
    return Of(lane).came.size();
  }
  bool Gets(ReplicaLane lane, size_t frames) const {
    return Eventually([&] { return CountOf(lane) >= frames; });
  }
  size_t bytes(ReplicaLane lane) const {
    const std::lock_guard lock(mutex_);
    return Of(lane).bytes;
  }
  size_t asked(ReplicaLane lane) const {
    const std::lock_guard lock(mutex_);
    return Of(lane).asked;
  }
  size_t given(ReplicaLane lane) const {
    const std::lock_guard lock(mutex_);
    return Of(lane).given;
  }
  size_t Count(const std::string& event) const {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::count(events_.begin(), events_.end(), event));
  }
  bool Sees(const std::string& event, size_t times = 1) const {
    return Eventually([&] { return Count(event) >= times; });
  }
  std::vector<std::string> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  PeerIdentity from() const {
    const std::lock_guard lock(mutex_);
    return from_;
  }
  // What of the contract was broken; empty: nothing.
  std::string broken() const {
    const std::lock_guard lock(mutex_);
    return broken_;
  }

 private:
  struct Side {
    std::deque<Pieces> waiting;
    bool up = false;
    size_t asked = 0, given = 0, bytes = 0;
    std::vector<std::string> came;
    bool holds = false;
    std::vector<std::shared_ptr<const void>> held;
  };
  Side& Of(ReplicaLane lane) { return sides_[static_cast<size_t>(lane)]; }
  const Side& Of(ReplicaLane lane) const { return sides_[static_cast<size_t>(lane)]; }
  void NoteUp(PeerId to, ReplicaLane lane, bool up) {
    const std::lock_guard lock(mutex_);
    CheckNotWithin("told of a line");
    if (Of(lane).up == up) broken_ += "up and down do not come in turn; ";
    Of(lane).up = up;
    events_.push_back(Concat(up ? "up " : "down ", to, " ", NameOf(lane)));
  }

  // A wake asks for a frame, and calls nothing else.
  void CheckNotWithin(const std::string& what) {
    if (waking_) broken_ += Concat(what, " within a wake; ");
  }

  static inline thread_local bool waking_ = false;
  mutable std::mutex mutex_;
  std::array<Side, kReplicaLanes> sides_;
  std::vector<std::string> events_;
  std::string broken_;
  PeerIdentity from_;
  std::function<void()> when_frame_;
};

// Two brokers that know each other; nothing is woken yet.
struct ReplicaPair {
  explicit ReplicaPair(SteppedTime* stepped = nullptr) : a(1, {}, stepped), b(2, {}, stepped) {
    a.Start();
    b.Start();
    a.transport->CarryReplicas(from);
    b.transport->CarryReplicas(to);
    a.Know(b);
    b.Know(a);
  }
  ~ReplicaPair() {
    a.transport->Stop();
    b.transport->Stop();
    CHECK(from.broken() == "");
    CHECK(to.broken() == "");
  }
  void Send(ReplicaLane lane, std::string frame) {
    from.Send(*a.transport, b.id(), lane, std::move(frame));
  }
  NotingTraffic from, to;  // before the transports: they outlive them
  PeerBroker a, b;
};

}  // namespace bascule::peer
