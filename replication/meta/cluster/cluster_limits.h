// The bounds of looking for a cluster and its members.
#pragma once

#include <chrono>
#include <cstddef>

#include "core/base/limits.h"

namespace bascule::limits {

// Past kJoinAddresses that brokers of the cluster named, the one that was silent the longest makes
// room. Configured addresses are not counted. So many of each kind are asked at once, the others in
// turn.
inline constexpr size_t kJoinAsksConfigured = 32;
inline constexpr size_t kJoinAsksTold = 16;

// What anybody may say on the bus: brokers that are listened to at once, addresses of one, how many
// are asked at once, and how long one that was asked is not asked again on the bus's word. What
// comes beyond is not asked, and comes again.
inline constexpr size_t kHearsayBrokers = 64;
inline constexpr size_t kHearsayAddresses = 8;
inline constexpr size_t kHearsayAsks = 8;
inline constexpr size_t kHearsayTried = 1024;
inline constexpr std::chrono::seconds kHearsayAgain{5};

// How long one that was asked who it is may take to answer.
inline constexpr std::chrono::seconds kIntroductionPatience{1};

// How long a member that has joined may take to register before another directory with its server id takes its place.
inline constexpr std::chrono::seconds kJoinedRegisters{10};

static_assert(kJoinAsksConfigured + kJoinAsksTold + kHearsayAsks < kPeerIntroductions,
              "a place for the join itself is left");

}  // namespace bascule::limits
