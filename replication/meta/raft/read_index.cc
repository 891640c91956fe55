#include "replication/meta/raft/read_index.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace bascule::raft {

bool ReadQueue::Add(PendingRead read) {
  const bool known = std::any_of(reads_.begin(), reads_.end(), [&](const PendingRead& other) {
    return other.context == read.context;
  });
  if (known) return false;
  reads_.push_back(std::move(read));
  return true;
}

const std::set<NodeId>* ReadQueue::Confirm(std::string_view context, NodeId from) {
  for (PendingRead& read : reads_) {
    if (read.context != context) continue;
    read.confirmed.insert(from);
    return &read.confirmed;
  }
  return nullptr;
}

std::vector<PendingRead> ReadQueue::TakeThrough(std::string_view context) {
  const auto at = std::find_if(reads_.begin(), reads_.end(),
                               [&](const PendingRead& read) { return read.context == context; });
  std::vector<PendingRead> taken;
  if (at == reads_.end()) return taken;
  taken.assign(std::make_move_iterator(reads_.begin()), std::make_move_iterator(at + 1));
  reads_.erase(reads_.begin(), at + 1);
  return taken;
}

std::vector<PendingRead> ReadQueue::TakeAll() {
  std::vector<PendingRead> taken(std::make_move_iterator(reads_.begin()),
                                 std::make_move_iterator(reads_.end()));
  reads_.clear();
  return taken;
}

std::string_view ReadQueue::Newest() const {
  return reads_.empty() ? std::string_view() : std::string_view(reads_.back().context);
}

}  // namespace bascule::raft
