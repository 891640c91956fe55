// How brokers that are not each other's peers yet speak (cluster.proto): who is there, joining,
// being invited. Carried by PeerTransport::Introduce and by discovery. Decoders are bounded and
// total.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/status.h"
#include "core/ports/cluster_admin.h"
#include "replication/metadata_log.h"

namespace bascule::metadata {

// Asks whether a cluster of this namespace is there.
struct WhoRequest {
  std::string cluster_namespace;
};
struct JoinRequest {
  std::string cluster_namespace;
  std::string cluster_id;  // empty: any
  std::string server_id;
  PeerId node;
  std::string address;  // of its peer port, as others reach it
  uint32_t feature_level = 0;
};
// A member asks a broker that waits to join its cluster, through one of `addresses`.
struct InviteRequest {
  std::string cluster_namespace;
  std::string cluster_id;
  std::vector<std::string> addresses;
};
using IntroRequest = std::variant<WhoRequest, JoinRequest, InviteRequest>;

// The answer to each. To a join that did not reach the leader: `leader_address` is whom to ask.
struct IntroAnswer {
  std::string cluster_namespace;
  std::string cluster_id;  // empty: who answers is no member of a cluster (yet)
  std::string server_id;   // of who answers
  PeerId node;
  PeerId leader;  // 0: nobody is known
  std::string leader_address;
  std::vector<GroupMember> members;
  uint32_t feature_level = 0;    // in force
  std::string address;           // of the peer port of who answers; empty: it has none
  uint64_t incarnation = 0;      // of its process
  Duration uptime{0};            // of that
  std::string place;             // machine and process, for people
  std::string known_cluster_id;  // of no member: the cluster that a peer has named to it
};

std::string EncodeIntroRequest(const IntroRequest& request);
absl::StatusOr<IntroRequest> DecodeIntroRequest(std::string_view bytes);
std::string EncodeIntroAnswer(const IntroAnswer& answer);
absl::StatusOr<IntroAnswer> DecodeIntroAnswer(std::string_view bytes);

std::string EncodeClusterStatus(const ClusterStatus& status);
absl::StatusOr<ClusterStatus> DecodeClusterStatus(std::string_view bytes);

}  // namespace bascule::metadata
