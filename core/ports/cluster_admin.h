// The cluster as operators see and change it. Implemented by replication/meta, used by core/api.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

struct ClusterMember {
  std::string server_id;
  uint64_t node = 0;         // of its data directory in the metadata group
  std::string peer_address;  // where other brokers reach it
  std::string host;          // where clients reach it; empty until it has registered
  int32_t port = 0;
  std::string rack;
  bool voter = false;  // or a learner: it receives, and does not decide
  bool leader = false;
  bool live = false;    // its session holds
  std::string trouble;  // of a live one: why it gets nothing new, a sentence; empty: all is well
  uint64_t incarnation = 0;
  uint32_t feature_level = 0;
  int64_t match = -1;  // newest index of the metadata log on its disk; -1 = unknown here
  int32_t partitions = 0;
  int32_t leading = 0;  // partitions that it leads
};

struct PartitionCounts {
  int64_t all = 0;
  int64_t leaderless = 0;
  int64_t below_min_isr = 0;     // led, but nothing is committed
  int64_t under_replicated = 0;  // led, not all replicas in sync; with those below min ISR
};

struct ClusterStatus {
  std::string cluster_id;
  std::string cluster_namespace;
  std::string answered_by;  // server id of the broker whose view this is
  std::string leader;       // server id; empty = nobody is known
  uint64_t term = 0;
  int64_t commit = 0, applied = 0, first = 0, last = 0;
  uint64_t log_bytes = 0;
  uint32_t feature_level = 0;  // in force
  PartitionCounts partitions;
  std::vector<ClusterMember> members;  // by server id
  std::vector<std::string> degraded;   // what is not as it should be, a sentence each
};

// Any thread; callbacks run on the metadata thread and must not block. Any broker takes any call
// and forwards what needs the metadata leader. Unavailable: there is none. Unknown: the call may
// have been carried out.
class ClusterAdmin {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  virtual ~ClusterAdmin() = default;
  // The leader's view; without a leader this broker's own (`leader` is empty then).
  virtual void Status(Duration timeout,
                      absl::AnyInvocable<void(absl::StatusOr<ClusterStatus>)> done) = 0;
  // Invites the broker that waits at this peer address. OK when it is a member.
  virtual void AddMember(std::string peer_address, Duration timeout, Done done) = 0;
  // For ever: its data directory cannot come back. NotFound; FailedPrecondition while it leads
  // partitions or lives, unless `force`.
  virtual void RemoveMember(std::string server_id, bool force, Duration timeout, Done done) = 0;
  // Metadata leadership; empty = to the best follower.
  virtual void TransferLeadership(std::string server_id, Duration timeout, Done done) = 0;
};

}  // namespace bascule
