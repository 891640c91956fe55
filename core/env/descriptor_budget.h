// Who may have how many of the process's descriptors, so that none of them takes another's: what is
// refused in time has a reason and a remedy, what fails later has neither. Pure, but for the two
// functions at the end.
//
//   limit = reserve (always) + peers (in a cluster) + clients + partitions (the rest)
#pragma once

#include <cstddef>
#include <string>

#include "core/base/limits.h"
#include "core/base/status.h"

namespace bascule {

struct DescriptorNeeds {
  size_t limit = 0;  // of the process: RLIMIT_NOFILE
  bool cluster = false;
  size_t clients = 0;  // api.connections.max; 0: what fits, limits::kDefaultApiConnections at most
};

class DescriptorBudget {
 public:
  DescriptorBudget() = default;  // of nothing
  // ResourceExhausted when what is asked for leaves nothing for partitions; the text says what to
  // raise, and how far.
  static absl::StatusOr<DescriptorBudget> Plan(const DescriptorNeeds& needs);

  size_t limit() const { return limit_; }
  size_t reserve() const { return limits::kReservedDescriptors; }
  size_t peers() const { return peers_; }  // connections of both directions
  size_t clients() const { return clients_; }
  // Partitions whose files can be open at once.
  size_t partitions() const;

  // ResourceExhausted when `count` partitions on this broker are too many.
  absl::Status CheckPartitions(size_t count) const;
  std::string Describe() const;  // one line

 private:
  explicit DescriptorBudget(const DescriptorNeeds& needs);  // the shares, whether they fit or not
  size_t Least() const;                                     // the limit that these need
  DescriptorNeeds needs_;
  size_t limit_ = 0;
  size_t peers_ = 0;
  size_t clients_ = 0;
};

// Raises the soft limit to the hard one; the limit now in force.
size_t RaiseDescriptorLimit();

}  // namespace bascule
