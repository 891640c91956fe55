#include "replication/peer/outbox.h"

#include <utility>

#include "core/base/check.h"

namespace bascule::peer {

void Outbox::DropMessage() {
  bytes_ -= Cost(messages_.front());
  messages_.pop_front();
  ++dropped_;
}

void Outbox::DropMessagesFor(size_t cost) {
  while (!messages_.empty() && bytes_ + cost > limit_) DropMessage();
}

void Outbox::AddMessage(PeerService service, std::string body, MonotonicTime now) {
  Queued queued{next_order_++, service, std::move(body), now};
  DropMessagesFor(Cost(queued));
  if (bytes_ + Cost(queued) > limit_) {  // calls alone fill it
    ++dropped_;
    return;
  }
  bytes_ += Cost(queued);
  messages_.push_back(std::move(queued));
}

bool Outbox::AddCall(uint64_t call, PeerService service, std::string body) {
  BASCULE_CHECK(calls_.empty() || calls_.rbegin()->first < call);
  Queued queued{next_order_++, service, std::move(body), MonotonicTime()};
  const size_t cost = Cost(queued);
  DropMessagesFor(cost);
  if (bytes_ + cost > limit_) return false;
  bytes_ += cost;
  calls_.emplace(call, std::move(queued));
  return true;
}

void Outbox::Forget(uint64_t call) {
  const auto found = calls_.find(call);
  if (found == calls_.end()) return;
  bytes_ -= Cost(found->second);
  calls_.erase(found);
}

std::optional<Outgoing> Outbox::Take(MonotonicTime now) {
  while (!messages_.empty() && Between(messages_.front().at, now) > limits::kPeerMessageAge)
    DropMessage();
  if (empty()) return std::nullopt;
  Outgoing out;
  if (calls_.empty() ||
      (!messages_.empty() && messages_.front().order < calls_.begin()->second.order)) {
    Queued& first = messages_.front();
    bytes_ -= Cost(first);
    out.service = first.service;
    out.body = std::move(first.body);
    messages_.pop_front();
    return out;
  }
  Queued& first = calls_.begin()->second;
  bytes_ -= Cost(first);
  out.call = calls_.begin()->first;
  out.service = first.service;
  out.body = std::move(first.body);
  calls_.erase(calls_.begin());
  return out;
}

}  // namespace bascule::peer
