// Places for subscribers: so many of one partition, and so many from one address, so that one
// client cannot have all of them. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/base/limits.h"
#include "core/ports/partition_port.h"

namespace bascule::api {

class SubscriberSlots {
 public:
  enum class Verdict { kTaken, kPartitionFull, kAddressFull };

  explicit SubscriberSlots(size_t per_partition = limits::kMaxSubscribersPerPartition,
                           size_t per_address = limits::kDefaultSubscriptionsPerAddress)
      : per_partition_(per_partition), per_address_(per_address) {}

  // Every taken place is released once, with the same arguments.
  Verdict Take(const PartitionPort* partition, const std::string& address) {
    const absl::MutexLock lock(&mutex_);
    if (Count(by_partition_, partition) >= per_partition_) return Verdict::kPartitionFull;
    if (Count(by_address_, address) >= per_address_) return Verdict::kAddressFull;
    ++by_partition_[partition];
    ++by_address_[address];
    return Verdict::kTaken;
  }
  void Release(const PartitionPort* partition, const std::string& address) {
    const absl::MutexLock lock(&mutex_);
    GiveBack(by_partition_, partition);
    GiveBack(by_address_, address);
  }
  size_t taken_by(const std::string& address) {
    const absl::MutexLock lock(&mutex_);
    return Count(by_address_, address);
  }
  size_t per_address() const { return per_address_; }

 private:
  template <typename Key>
  static size_t Count(const absl::flat_hash_map<Key, size_t>& counts, const Key& key) {
    const auto it = counts.find(key);
    return it == counts.end() ? 0 : it->second;
  }
  template <typename Key>
  static void GiveBack(absl::flat_hash_map<Key, size_t>& counts, const Key& key) {
    const auto it = counts.find(key);
    if (it != counts.end() && --it->second == 0) counts.erase(it);
  }

  const size_t per_partition_;
  const size_t per_address_;
  absl::Mutex mutex_;
  // None is 0.
  absl::flat_hash_map<const PartitionPort*, size_t> by_partition_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, size_t> by_address_ ABSL_GUARDED_BY(mutex_);
};

// Who is at the other end of a connection, without the port: "ipv4:10.0.0.7". An IPv6 address
// counts with its whole /64, of which anybody has as many as he likes. `peer` as gRPC names it.
std::string ClientAddress(std::string_view peer);
// The same without the scheme, and whole: "10.0.0.7", "2001:db8::7".
std::string ClientHost(std::string_view peer);

}  // namespace bascule::api
