#include "replication/meta/requests/placement_book.h"

#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule::metadata {

std::vector<PlacementBroker> PlacementBook::Candidates() const {
  std::vector<PlacementBroker> candidates;
  for (const auto& [id, broker] : table_.brokers()) {
    if (broker.fenced) continue;
    BrokerLoad load = table_.LoadOf(id);
    if (const auto pending = pending_.find(id); pending != pending_.end()) {
      load.partitions += pending->second.partitions;
      load.leading += pending->second.leading;
    }
    const bool unfit = silent_ && silent_(id);
    candidates.push_back({id, broker.rack, load.partitions, load.leading, unfit});
  }
  return candidates;
}

absl::Status PlacementBook::CheckBrokers(const StreamDescription& stream,
                                         const std::vector<PlacementBroker>& brokers) const {
  std::map<std::string, int32_t> held;
  for (const PlacementBroker& broker : brokers) held[broker.id] = broker.partitions;
  std::map<std::string, int32_t> more;  // a follower holds a partition as its leader does
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas) {
      if (held[broker] + ++more[broker] <= static_cast<int32_t>(limits::kMaxPartitionsPerBroker))
        continue;
      return absl::ResourceExhaustedError(Concat("broker ", broker, " holds its limit of ",
                                                 limits::kMaxPartitionsPerBroker, " partitions"));
    }
  }
  if (!capacity_) return absl::OkStatus();
  for (const auto& [broker, partitions] : more)
    RETURN_IF_ERROR(capacity_(broker, static_cast<size_t>(held[broker] + partitions)));
  return absl::OkStatus();
}

// Every broker keeps the whole table, and one that joins is sent it in one piece.
absl::Status PlacementBook::CheckTable(const StreamDescription& stream) const {
  const size_t streams = table_.streams().size() + pending_streams_;
  if (streams >= limits::kMaxStreamsPerCluster) {
    return absl::ResourceExhaustedError(Concat("the cluster holds its limit of ",
                                               limits::kMaxStreamsPerCluster,
                                               " streams; delete some first"));
  }
  const size_t bytes = table_.stream_bytes() + pending_bytes_ + StreamBytes(stream);
  if (bytes <= limits::kMaxStreamsBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      Concat("with stream ", stream.name, " the descriptions of the cluster's streams come to ",
             bytes, " bytes, at most ", limits::kMaxStreamsBytes,
             " are kept; delete some first, or give them fewer partitions and shorter subjects"));
}

// The first replica is the one that is meant to lead.
void PlacementBook::Account(const StreamDescription& stream, int32_t sign) {
  if (stream.name.empty()) return;
  pending_streams_ += sign > 0 ? 1 : -1;
  pending_bytes_ += sign > 0 ? StreamBytes(stream) : -StreamBytes(stream);
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas) {
      BrokerLoad& load = pending_[broker];
      load.partitions += sign;
      if (&broker == &partition.replicas.front()) load.leading += sign;
    }
  }
}

}  // namespace bascule::metadata
