#include "replication/meta/cluster/broken_lines.h"

#include <algorithm>

namespace bascule::metadata {

void BrokenLines::OnUp(const PeerIdentity& peer, MonotonicTime now) {
  lines_[peer.id] = {peer.server_id, peer.incarnation, /*up=*/true, now, /*counts=*/false};
}

void BrokenLines::OnDown(const PeerIdentity& peer, MonotonicTime now) {
  const auto line = lines_.find(peer.id);
  if (line == lines_.end() || !line->second.up) return;
  const auto known = known_.find(peer.id);
  const bool returned = known != known_.end() && known->second.returned &&
                        known->second.incarnation == line->second.incarnation;
  line->second.counts = !returned || Between(line->second.since, now) >= kSteady;
  line->second.up = false;
  line->second.since = now;
}

void BrokenLines::OnHeard(const BrokerSession& session, MonotonicTime now) {
  for (auto& [node, line] : lines_) {
    if (line.server_id == session.broker && line.incarnation == session.incarnation &&
        Between(line.since, now) > kUnderWay)
      line.counts = false;
  }
}

void BrokenLines::OnTable(const MetaTable::Brokers& brokers) {
  std::map<PeerId, Known> known;
  for (const auto& [id, broker] : brokers) {
    if (broker.node == PeerId()) continue;
    const auto before = known_.find(broker.node);
    const bool same = before != known_.end() && before->second.incarnation == broker.incarnation;
    const bool returns = same && before->second.fenced && !broker.fenced;
    known[broker.node] = {broker.incarnation, broker.fenced,
                          returns || (same && before->second.returned)};
    const auto line = lines_.find(broker.node);
    const bool registered = !same || returns;
    if (registered && line != lines_.end() && line->second.incarnation == broker.incarnation)
      line->second.counts = false;
  }
  known_ = std::move(known);
  std::erase_if(
      lines_, [this](const auto& line) { return !line.second.up && !known_.contains(line.first); });
}

void BrokenLines::Restart(MonotonicTime now) {
  for (auto& [node, line] : lines_) {
    if (!line.up) line.since = now;
  }
}

bool BrokenLines::IsUp(PeerId peer) const {
  const auto line = lines_.find(peer);
  return line != lines_.end() && line->second.up;
}

std::optional<MonotonicTime> BrokenLines::BrokenSince(PeerId peer) const {
  const auto line = lines_.find(peer);
  if (line == lines_.end() || line->second.up) return std::nullopt;
  return line->second.since;
}

const BrokenLines::Line* BrokenLines::Counting(const RegisteredBroker& broker) const {
  const auto line = lines_.find(broker.node);
  const bool counts = line != lines_.end() && !broker.fenced && line->second.counts &&
                      line->second.incarnation == broker.incarnation;
  return counts ? &line->second : nullptr;
}

std::vector<BrokerSession> BrokenLines::Gone(const MetaTable::Brokers& brokers,
                                             MonotonicTime now) const {
  std::vector<BrokerSession> gone;
  const std::optional<MonotonicTime> first = NextGone(brokers);
  if (!first || *first > now) return gone;
  for (const auto& [id, broker] : brokers) {
    const Line* line = Counting(broker);
    if (line != nullptr && Add(line->since, kBroken) <= Add(now, kTogether))
      gone.push_back({id, broker.incarnation});
  }
  return gone;
}

std::optional<MonotonicTime> BrokenLines::NextGone(const MetaTable::Brokers& brokers) const {
  std::optional<MonotonicTime> next;
  for (const auto& [id, broker] : brokers) {
    const Line* line = Counting(broker);
    if (line == nullptr) continue;
    const MonotonicTime due = Add(line->since, kBroken);
    next = next ? std::min(*next, due) : due;
  }
  return next;
}

}  // namespace bascule::metadata
