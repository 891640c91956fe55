// Reads that wait for a quorum to confirm that their leader still leads (thesis 6.4). In order: a
// confirmation of one confirms those before it. Pure.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "replication/meta/raft/types.h"

namespace bascule::raft {

struct PendingRead {
  std::string context;
  NodeId from;  // who asked: this member or a follower
  Index index;  // committed when it was asked
  std::set<NodeId> confirmed;
};

class ReadQueue {
 public:
  // False: a read of this context waits already.
  bool Add(PendingRead read);
  // `from` answered the heartbeat that carried `context`; all who confirmed it so far (null: no
  // such read).
  const std::set<NodeId>* Confirm(std::string_view context, NodeId from);
  // Takes this read and those before it.
  std::vector<PendingRead> TakeThrough(std::string_view context);
  std::vector<PendingRead> TakeAll();
  // The newest context, which a heartbeat carries; empty when nothing waits.
  std::string_view Newest() const;
  size_t size() const { return reads_.size(); }

 private:
  std::deque<PendingRead> reads_;
};

}  // namespace bascule::raft
