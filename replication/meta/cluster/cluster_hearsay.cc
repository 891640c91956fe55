#include "replication/meta/cluster/cluster_hearsay.h"

#include <algorithm>

#include "replication/meta/cluster/cluster_limits.h"

namespace bascule::metadata {

void ClusterHearsay::Hear(const IntroAnswer& answer, const std::set<std::string>& known,
                          MonotonicTime now) {
  std::vector<std::string> addresses{answer.address, answer.leader_address};
  for (const GroupMember& member : answer.members) addresses.push_back(member.address);
  // One answer is looked into as far as one broker may be listened to.
  size_t taken = 0;
  for (const std::string& address : addresses) {
    if (address.empty() || address.size() > limits::kPeerNameBytes || known.contains(address) ||
        Tried(address, now))
      continue;
    const auto found = waiting_.find(answer.node);
    if (found == waiting_.end() && waiting_.size() >= limits::kHearsayBrokers) {
      dropped_ = now;
      return;
    }
    std::deque<std::string>& waiting = waiting_[answer.node];
    if (std::find(waiting.begin(), waiting.end(), address) != waiting.end()) continue;
    if (waiting.size() >= limits::kHearsayAddresses || ++taken > limits::kHearsayAddresses) return;
    waiting.push_back(address);
  }
}

std::optional<std::string> ClusterHearsay::Next(MonotonicTime now) {
  if (waiting_.empty()) return std::nullopt;
  auto turn = waiting_.upper_bound(last_);
  if (turn == waiting_.end()) turn = waiting_.begin();
  last_ = turn->first;
  std::string address = std::move(turn->second.front());
  turn->second.pop_front();
  if (turn->second.empty()) waiting_.erase(turn);
  std::erase_if(tried_, [&](const auto& entry) { return !Tried(entry.first, now); });
  if (tried_.size() >= limits::kHearsayTried) {
    tried_.erase(std::min_element(tried_.begin(), tried_.end(), [](const auto& a, const auto& b) {
      return a.second < b.second;
    }));
  }
  tried_[address] = now;
  return address;
}

bool ClusterHearsay::Pending(MonotonicTime now) const {
  return !waiting_.empty() ||
         (dropped_ != MonotonicTime() && Between(dropped_, now) < limits::kHearsayAgain);
}

bool ClusterHearsay::Tried(const std::string& address, MonotonicTime now) const {
  const auto found = tried_.find(address);
  return found != tried_.end() && Between(found->second, now) < limits::kHearsayAgain;
}

}  // namespace bascule::metadata
