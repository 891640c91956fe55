// Places for connections: so many in all, and so many from one address. Pure; one thread at a time.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "core/base/check.h"

namespace bascule {

class ConnectionQuota {
 public:
  enum class Verdict { kAdmitted, kFull, kAddressFull };

  ConnectionQuota(size_t max, size_t per_address) : max_(max), per_address_(per_address) {}

  // An admitted one is released once.
  Verdict Take(const std::string& address) {
    if (taken_ >= max_) return Verdict::kFull;
    const auto it = by_address_.find(address);
    if ((it == by_address_.end() ? 0 : it->second) >= per_address_) return Verdict::kAddressFull;
    ++by_address_[address];
    ++taken_;
    return Verdict::kAdmitted;
  }
  void Release(const std::string& address) {
    const auto it = by_address_.find(address);
    if (it == by_address_.end()) return;
    BASCULE_CHECK_GT(taken_, 0U);
    --taken_;
    if (--it->second == 0) by_address_.erase(it);
  }

  void CheckInvariants() const {
    BASCULE_CHECK_LE(taken_, max_);
    size_t sum = 0;
    for (const auto& [address, count] : by_address_) {
      BASCULE_CHECK_GT(count, 0U);
      BASCULE_CHECK_LE(count, per_address_);
      sum += count;
    }
    BASCULE_CHECK_EQ(sum, taken_);
  }

  size_t taken() const { return taken_; }
  size_t addresses() const { return by_address_.size(); }

 private:
  const size_t max_;
  const size_t per_address_;
  size_t taken_ = 0;
  std::map<std::string, size_t> by_address_;  // none is 0
};

}  // namespace bascule
