// How long a change of metadata may take: the caller's deadline, or limits::kDefaultMetadataTimeout
// without one.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <chrono>

#include "core/base/limits.h"
#include "core/base/types.h"
#include "core/env/clock.h"

namespace bascule {

inline Duration MetadataTimeout(const grpc::CallbackServerContext& context, Clock& clock) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max())
    return limits::kDefaultMetadataTimeout;
  const auto at = std::chrono::duration_cast<Duration>(deadline.time_since_epoch());
  return std::max(Duration(0), at - Duration(clock.Wall().value()));
}

}  // namespace bascule
