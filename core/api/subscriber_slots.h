// Places for subscribers: limits::kMaxSubscribersPerPartition of one partition. Any thread.
#pragma once

#include <cstddef>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "core/base/limits.h"
#include "core/ports/partition_port.h"

namespace bascule {

class SubscriberSlots {
 public:
  explicit SubscriberSlots(size_t limit = limits::kMaxSubscribersPerPartition) : limit_(limit) {}

  // False when the partition has no place left. Every taken place is released once.
  bool Take(const PartitionPort* partition) {
    std::lock_guard lock(mutex_);
    size_t& taken = taken_[partition];
    if (taken >= limit_) return false;
    ++taken;
    return true;
  }
  void Release(const PartitionPort* partition) {
    std::lock_guard lock(mutex_);
    auto it = taken_.find(partition);
    if (it != taken_.end() && --it->second == 0) taken_.erase(it);
  }

 private:
  const size_t limit_;
  std::mutex mutex_;
  absl::flat_hash_map<const PartitionPort*, size_t> taken_;
};

}  // namespace bascule
