// A Subscribe request checked as far as it can be without the partition, in the wire contract's
// order. Pure.
#pragma once

#include <memory>
#include <string_view>

#include "core/base/status.h"
#include "core/ports/stream_catalog.h"

namespace proto {
class SubscribeRequest;
}

namespace bascule::api {

struct SubscriptionPlan {
  std::shared_ptr<const CatalogEntry> entry;
  std::shared_ptr<PartitionPort> port;
  PartitionId partition;
  StartPosition start;
  StopPosition stop;
  Direction direction = Direction::kForward;
};

// Errors, in this order: InvalidArgument (group without consumer), NotFound, FailedPrecondition
// (not the leader), Unimplemented (consumer groups), InvalidArgument (unknown positions).
absl::StatusOr<SubscriptionPlan> CheckSubscribe(const proto::SubscribeRequest& request,
                                                const StreamCatalog& catalog,
                                                std::string_view server_id);

}  // namespace bascule::api
