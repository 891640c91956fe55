#include "core/api/replica_view.h"

#include <algorithm>

#include "bascule/v1/bascule.pb.h"
#include "core/stream/settings.h"

namespace bascule::api {
namespace {

bool Holds(const std::vector<std::string>& brokers, const std::string& id) {
  return std::find(brokers.begin(), brokers.end(), id) != brokers.end();
}

bool IsDoubted(const PartitionDescription& partition, const std::string& id) {
  return std::any_of(partition.doubtful.begin(), partition.doubtful.end(),
                     [&id](const ReplicaDoubt& doubt) { return doubt.broker == id; });
}

}  // namespace

void FillReplicas(const PartitionDescription& partition, int32_t min_isr,
                  const std::set<std::string>& live, const PartitionStatus* status,
                  v1::Partition& out) {
  for (const std::string& member : partition.elr) out.add_elr(member);
  out.set_min_isr(MinIsr(min_isr, partition.replicas.size()));
  for (const std::string& id : partition.replicas) {
    v1::Replica& replica = *out.add_replica_status();
    replica.set_broker(id);
    replica.set_live(live.contains(id));
    replica.set_in_isr(Holds(partition.isr, id));
    replica.set_eligible(Holds(partition.elr, id));
    replica.set_doubtful(IsDoubted(partition, id));
    if (status == nullptr || !status->leader) continue;
    for (const ReplicaStatus& known : status->replicas) {
      if (known.broker == id && known.acknowledged)
        replica.set_acknowledged_offset(ToWire(*known.acknowledged));
    }
  }
}

}  // namespace bascule::api
