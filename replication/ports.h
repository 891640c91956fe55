// Where replication/meta and replication/partition meet: metadata deltas go one way, requests that
// only the metadata log can grant (a new leader epoch) the other.
#pragma once

#include <variant>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/stream/description.h"

namespace bascule {

struct StreamCreated {
  StreamDescription stream;
};
struct StreamDeleted {
  StreamId id;
  std::string name;
};
struct PartitionChanged {
  StreamId id;
  std::string name;
  PartitionDescription partition;
};
using MetaDelta = std::variant<StreamCreated, StreamDeleted, PartitionChanged>;

// The only door through which a partition comes, goes or changes its role (R1).
class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  // On the metadata thread, in log order. `settled` runs there when this broker has done its part:
  // partitions open and listening, or closed and gone; with the first error otherwise (the stream
  // exists all the same).
  virtual void OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) = 0;
};

class EpochRequests {
 public:
  virtual ~EpochRequests() = default;
  // Any thread. A partition whose log may have become shorter must not go on in its epoch (R2a):
  // asks for a new one. The answer is a PartitionChanged delta.
  virtual void RequestNewEpoch(PartitionKey key) = 0;
};

}  // namespace bascule
