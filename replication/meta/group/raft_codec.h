// Between the Raft core's values and the bytes that travel and are kept (raft_message.proto).
// Decoders are total: whatever arrives is a value or an error.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "replication/meta/raft/types.h"

namespace bascule::raft_group {

// How a member is reached; its id is the key.
struct MemberNames {
  std::string server_id;
  std::string address;
  bool operator==(const MemberNames&) const = default;
};
using MemberBook = std::map<raft::NodeId, MemberNames>;

std::string EncodeRaftMessage(const raft::Message& message);
// `from` is who the connection belongs to. InvalidArgument: not a message, or of an unknown type.
absl::StatusOr<raft::Message> DecodeRaftMessage(raft::NodeId from, std::string_view bytes);

std::string EncodeMemberNames(const MemberNames& names);
absl::StatusOr<MemberNames> DecodeMemberNames(std::string_view bytes);

std::string EncodeSnapshotBody(const MemberBook& members, std::string_view state);
struct SnapshotBody {
  MemberBook members;
  std::string state;
};
// DataLoss.
absl::StatusOr<SnapshotBody> DecodeSnapshotBody(std::string_view bytes);

}  // namespace bascule::raft_group
