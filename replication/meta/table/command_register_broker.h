#pragma once

#include <string>
#include <vector>

#include "replication/meta/table/command.h"
#include "replication/peer_transport.h"

namespace bascule::meta {
class RegisterBroker;
}  // namespace bascule::meta

namespace bascule::metadata {

extern const MetaCommand kRegisterBrokerCommand;

// A replica whose log may be short, and what it ends with (R7b).
struct DoubtfulReplica {
  PartitionKey partition;
  LeaderEpoch epoch;
  Offset end;
};

// How a broker enters the cluster, or comes back.
struct BrokerRegistration {
  std::string id;
  PeerId node;  // of its data directory; 0: a version before clusters
  uint64_t incarnation = 0;
  std::string host;  // where clients reach it
  int32_t port = 0;
  std::string peer_address;
  std::string rack;
  uint32_t feature_level = kFeatureLevel;
  // Replicas whose data is gone or not what was promised (R6b).
  bool lost_all = false;
  // The streams in its data directory are this cluster's and are there, although the node id is
  // another one (its metadata was damaged and moved away).
  bool kept_all = false;
  std::vector<PartitionKey> lost;
  std::vector<DoubtfulReplica> doubtful;
  uint64_t generation = 0;  // of the data directory (RegistrationRecord); 0: unsaid
};

std::string EncodeRegisterBroker(const BrokerRegistration& registration);
void ToProto(const BrokerRegistration& in, meta::RegisterBroker& out);
BrokerRegistration FromProto(const meta::RegisterBroker& in);

}  // namespace bascule::metadata
