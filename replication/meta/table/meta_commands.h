// Commands of the metadata log, encoded (commands.proto). Times and identities are put in by the
// proposer.
#pragma once

#include <string>
#include <vector>

#include "core/stream/description.h"
#include "replication/peer_transport.h"

namespace bascule {

// What this version of the program understands. Raised with each version that adds a command or a
// setting of streams or gives one another meaning; in force only when every broker of the cluster has it.
// 2: generations of data directories, kept results with short texts, message.max.bytes of streams.
inline constexpr uint32_t kFeatureLevel = 2;
inline constexpr uint32_t kGenerationsLevel = 2;

// Who asked for a command, so that it is carried out once. incarnation 0: nobody repeats it.
struct CommandOrigin {
  std::string broker;
  uint64_t incarnation = 0;
  uint64_t sequence = 0;  // from 1, one per request
  uint64_t answered = 0;  // all sequences up to it are answered
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
  uint64_t generation = 0;  // of the data directory (RegistrationRecord); 0: unsaid
};

struct BrokerSession {
  std::string broker;
  uint64_t incarnation = 0;
  bool operator==(const BrokerSession&) const = default;
};

// How far a broker's data directory has come.
struct DirectoryGeneration {
  BrokerSession session;
  uint64_t generation = 0;
};

// `stream`: of its partitions only the replicas count.
std::string EncodeCreateStream(const StreamDescription& stream, const CommandOrigin& origin = {});
std::string EncodeDeleteStream(const std::string& name, const CommandOrigin& origin = {});
std::string EncodeUpdateStream(const std::string& name, const StreamOverrides& changes,
                               const CommandOrigin& origin = {});
std::string EncodeRegisterBroker(const BrokerRegistration& registration);
// `leader`: refused when another one leads; empty: whoever leads.
std::string EncodeRaiseEpoch(PartitionKey key, const std::string& leader = "",
                             const CommandOrigin& origin = {});
std::string EncodeFenceBrokers(const std::vector<BrokerSession>& sessions);
std::string EncodeNoteGenerations(const std::vector<DirectoryGeneration>& directories);
std::string EncodeRemoveBroker(const std::string& broker, bool force);
std::string EncodeInitCluster(const std::string& cluster_id);
std::string EncodeRaiseFeatureLevel(uint32_t level);

}  // namespace bascule
