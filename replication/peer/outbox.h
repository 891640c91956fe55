// What waits to be written to one peer on its control stream: bounded by bytes, in the order of
// arrival; one-way messages give way to calls and to younger ones. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/base/types.h"
#include "replication/peer_transport.h"

namespace bascule::peer {

struct Outgoing {
  uint64_t call = 0;  // 0 = one way
  PeerService service{};
  std::string body;
};

// Its owner locks.
class Outbox {
 public:
  explicit Outbox(size_t limit = limits::kPeerQueueBytes) : limit_(limit) {}

  // Always taken; the oldest one-way messages are dropped for it.
  void AddMessage(PeerService service, std::string body, MonotonicTime now);
  // `call` is above those of earlier calls. False, and nothing kept, when only calls are left to
  // drop.
  bool AddCall(uint64_t call, PeerService service, std::string body);
  // Nothing when it was taken already.
  void RemoveCall(uint64_t call) { Forget(call); }
  // The oldest, one-way messages older than limits::kPeerMessageAge left out (dropped).
  std::optional<Outgoing> Take(MonotonicTime now);

  bool empty() const { return messages_.empty() && calls_.empty(); }
  size_t bytes() const { return bytes_; }
  uint64_t dropped() const { return dropped_; }  // one-way messages, ever

 private:
  struct Queued {
    uint64_t order;
    PeerService service;
    std::string body;
    MonotonicTime at;
  };
  static size_t Cost(const Queued& queued) { return queued.body.size() + sizeof(Queued); }
  void DropMessage();
  void DropMessagesFor(size_t cost);
  void Forget(uint64_t call);

  const size_t limit_;
  size_t bytes_ = 0;
  uint64_t next_order_ = 0;
  uint64_t dropped_ = 0;
  std::deque<Queued> messages_;
  std::map<uint64_t, Queued> calls_;  // by id, which is their order
};

}  // namespace bascule::peer
