// How many subscriptions a server takes on one connection (max_subscriptions). It does not say: it
// refuses one, and nats.c then ends the connection, with all the others. So after a first refusal
// the number is found by halving, and what is beyond it is not asked for again. Pure; one thread at
// a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"

namespace bascule::nats {

class SubscriptionCap {
 public:
  // How many to have open, for now; SIZE_MAX while none was refused.
  size_t limit() const {
    return refused_ == SIZE_MAX ? SIZE_MAX : taken_ + (refused_ - taken_) / 2;
  }
  // Whether limit() is what the server takes: nothing more will be tried.
  bool known() const { return refused_ == SIZE_MAX || refused_ - taken_ <= 1; }
  // The server answered with `open` of them open.
  void Took(size_t open) {
    taken_ = std::max(taken_, open);
    if (taken_ >= refused_) refused_ = SIZE_MAX;  // it takes more than it did
    CheckInvariants();
  }
  // It ended a connection with `open` of them open because they were too many.
  void Refused(size_t open) {
    refused_ = std::max<size_t>(open, 1);
    // What it took before the limit was lowered says nothing.
    if (taken_ >= refused_) taken_ = 0;
    CheckInvariants();
  }

 private:
  // The limit lies between what was taken and what was not, which never meet.
  void CheckInvariants() const {
    BASCULE_CHECK_LT(taken_, refused_);
    BASCULE_CHECK_GE(limit(), taken_);
    if (refused_ != SIZE_MAX) BASCULE_CHECK_LT(limit(), refused_);
  }

  size_t taken_ = 0;
  size_t refused_ = SIZE_MAX;
};

}  // namespace bascule::nats
