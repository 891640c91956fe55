#include "nats_bridge/closed_subscriptions.h"

#include <algorithm>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "nats_bridge/bridge_limits.h"

namespace bascule::nats {

ClosedSubscriptions::~ClosedSubscriptions() {
  for (const Closed& closed : closed_) destroy_(closed.subscription);
}

void ClosedSubscriptions::Keep(natsSubscription* closed) {
  BASCULE_CHECK(closed != nullptr);
  const absl::MutexLock lock(&mutex_);
  const MonotonicTime now = clock_.Monotonic();  // under the lock, so that times ascend
  if (!closed_.empty()) BASCULE_CHECK(closed_.back().at <= now);
  closed_.push_back({closed, now});
}

void ClosedSubscriptions::Answered(MonotonicTime sent) {
  BASCULE_CHECK(sent <= clock_.Monotonic());
  const absl::MutexLock lock(&mutex_);
  answered_ = std::max(answered_, sent);
}

void ClosedSubscriptions::Sweep() {
  std::vector<natsSubscription*> safe;
  {
    const absl::MutexLock lock(&mutex_);
    const MonotonicTime now = clock_.Monotonic();
    while (!closed_.empty() && closed_.front().at < answered_ &&
           Between(closed_.front().at, now) >= limits::kNatsClosedFor) {
      safe.push_back(closed_.front().subscription);
      closed_.pop_front();
    }
  }
  for (natsSubscription* subscription : safe) destroy_(subscription);  // takes nats.c's locks
}

size_t ClosedSubscriptions::size() const {
  const absl::MutexLock lock(&mutex_);
  return closed_.size();
}

}  // namespace bascule::nats
