// How long a change of metadata may take: up to shortly before the caller's deadline, so that the
// caller hears what became of it; without one limits::kDefaultMetadataTimeout.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <chrono>

#include "core/base/limits.h"
#include "core/base/types.h"
#include "core/env/clock.h"

namespace bascule::api {

inline Duration MetadataTimeout(const grpc::CallbackServerContext& context, Clock& clock) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max())
    return limits::kDefaultMetadataTimeout;
  constexpr Duration kWayBack = std::chrono::milliseconds(200);
  const auto at = std::chrono::duration_cast<Duration>(deadline.time_since_epoch());
  const Duration left = std::max(Duration(0), at - Duration(clock.Wall().value()));
  // gRPC tells us a deadline that is up to a hundredth later than the caller's.
  return left - std::min(left / 10, kWayBack + left / 50);
}

}  // namespace bascule::api
