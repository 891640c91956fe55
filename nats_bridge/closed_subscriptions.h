// Subscriptions that were closed, until nats.c (3.4) cannot touch them any more. Its reader looks a
// subscription up for a message, lets go of the lock, and then uses it without holding it; one that
// is destroyed in between is used after it was freed. Closing takes it out of what is looked up, and
// the reader handles one thing after the other: so once a PING that went out after the closing is
// answered, the reader has left whatever it had found before. That is waited for, and a time on top,
// since there is no source to read it in.
#pragma once

#include <nats/nats.h>

#include <deque>
#include <functional>

#include "absl/synchronization/mutex.h"
#include "core/base/types.h"
#include "core/env/clock.h"

namespace bascule::nats {

// Any thread.
class ClosedSubscriptions {
 public:
  using Destroy = std::function<void(natsSubscription*)>;
  // `clock` outlives it.
  explicit ClosedSubscriptions(Clock& clock, Destroy destroy = natsSubscription_Destroy)
      : clock_(clock), destroy_(std::move(destroy)) {}
  ~ClosedSubscriptions();  // destroys all: nats.c's threads are gone
  ClosedSubscriptions(const ClosedSubscriptions&) = delete;
  ClosedSubscriptions& operator=(const ClosedSubscriptions&) = delete;

  // Takes over the last reference to one that was just unsubscribed.
  void Keep(natsSubscription* closed);
  // A PING that went out at `sent` was answered, or the reader has ended since.
  void Answered(MonotonicTime sent);
  // Destroys those of before the last answered PING that are older than limits::kNatsClosedFor.
  void Sweep();
  size_t size() const;

 private:
  struct Closed {
    natsSubscription* subscription;
    MonotonicTime at;
  };
  Clock& clock_;
  const Destroy destroy_;
  mutable absl::Mutex mutex_;
  std::deque<Closed> closed_ ABSL_GUARDED_BY(mutex_);  // in the order of closing
  MonotonicTime answered_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::nats
