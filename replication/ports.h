// Where replication/meta and replication/partition meet: metadata deltas go one way, requests that
// only the metadata log can grant (a new leader epoch) the other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/stream/description.h"
#include "replication/isr/reconciliation.h"
#include "replication/peer_transport.h"

namespace bascule {

struct StreamCreated {
  StreamDescription stream;
};
struct StreamDeleted {
  StreamId id;
  std::string name;
};
// Its settings are other ones; partitions that change with them are told by deltas of their own.
struct StreamUpdated {
  StreamDescription stream;
};
struct PartitionChanged {
  StreamId id;
  std::string name;
  PartitionDescription partition;
};
// Of the metadata log: after `first`, up to `second`.
using IndexRanges = std::vector<std::pair<MetadataIndex, MetadataIndex>>;

// What of a broker its partitions' leaders have to know: whose acknowledgements count (R4a), who may
// join an ISR (R1c).
struct BrokerLife {
  uint64_t incarnation = 0;
  bool live = false;  // registered and not fenced
  PeerId node{};      // where it is reached
  bool operator==(const BrokerLife&) const = default;
};
using BrokerLives = std::map<std::string, BrokerLife, std::less<>>;  // by id

using MetaDelta = std::variant<StreamCreated, StreamDeleted, PartitionChanged, StreamUpdated>;

// The only door through which a partition comes, goes or changes its role (R1).
class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  // Before the first delta: what there is, as of the command `applied`. Older streams that are not
  // in it were deleted, but for those whose id is doubtful: nobody knows what became of them.
  virtual void OnTakeOver(const std::set<StreamId>& /*streams*/, MetadataIndex /*applied*/,
                          const IndexRanges& /*doubtful*/) {}
  // All brokers, when one of them is another one: behind the deltas of the same command, so that
  // whoever counts acknowledgements of a broker's new life knows that it lost its place, or is
  // doubted, when it is told of that life.
  virtual void OnBrokers(const BrokerLives& /*brokers*/) {}
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
  // Any thread. The leader in `epoch`, which is this broker, cannot serve (its log failed, or cannot be
  // opened): asks that another in-sync replica leads. If one may, a PartitionChanged delta says so; if
  // not, nothing happens. Asked again while an answer is under way, nothing is sent.
  virtual void RequestSuccessor(PartitionKey key, LeaderEpoch epoch) = 0;
};

// What the leader of a partition proposes about its in-sync replicas.
class IsrRequests {
 public:
  virtual ~IsrRequests() = default;
  // Any thread. The answer changes nothing: what is granted comes as a PartitionChanged delta (R1a).
  // `ended`, on the metadata thread: it was refused, or carried out, or nobody knows; the delta of
  // what was carried out has come before, unless nobody knows.
  virtual void RequestIsrChange(PartitionKey key, isr::IsrProposal proposal,
                                absl::AnyInvocable<void()> ended) = 0;
};

}  // namespace bascule
