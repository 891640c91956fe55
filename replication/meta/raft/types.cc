#include "replication/meta/raft/types.h"

#include <algorithm>

namespace bascule::raft {
namespace {

// raftpb.ConfChange: 1 id (unused, always written), 2 type, 3 node_id, 4 context; all but the last
// are varints.
constexpr uint8_t kIdTag = 1 << 3;
constexpr uint8_t kTypeTag = 2 << 3;
constexpr uint8_t kNodeTag = 3 << 3;
constexpr uint8_t kContextTag = 4 << 3 | 2;
constexpr int kMaxVarintBytes = 10;
constexpr int kVarintBits = 7;

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= kVarintBits) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

bool TakeVarint(std::string_view& in, uint64_t& value) {
  value = 0;
  for (int i = 0; i < kMaxVarintBytes && !in.empty(); ++i) {
    const auto byte = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << (kVarintBits * i);
    if (byte < 0x80) return true;
  }
  return false;
}

bool Has(const std::vector<NodeId>& ids, NodeId id) {
  return std::binary_search(ids.begin(), ids.end(), id);
}

void Insert(std::vector<NodeId>& ids, NodeId id) {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  if (at == ids.end() || *at != id) ids.insert(at, id);
}

}  // namespace

bool Configuration::IsVoter(NodeId id) const { return Has(voters, id); }
bool Configuration::IsLearner(NodeId id) const { return Has(learners, id); }

std::string EncodeConfChange(const ConfChange& change) {
  std::string out;
  AppendVarint(out, kIdTag);
  AppendVarint(out, 0);
  AppendVarint(out, kTypeTag);
  AppendVarint(out, static_cast<uint64_t>(change.type));
  AppendVarint(out, kNodeTag);
  AppendVarint(out, change.node.value());
  if (!change.context.empty()) {
    AppendVarint(out, kContextTag);
    AppendVarint(out, change.context.size());
    out += change.context;
  }
  return out;
}

std::optional<ConfChange> DecodeConfChange(std::string_view bytes) {
  ConfChange change;
  uint64_t type = 0;
  while (!bytes.empty()) {
    uint64_t tag = 0;
    uint64_t value = 0;
    if (!TakeVarint(bytes, tag) || !TakeVarint(bytes, value)) return std::nullopt;
    switch (tag) {
      case kIdTag:
        break;
      case kTypeTag:
        type = value;
        break;
      case kNodeTag:
        change.node = NodeId(value);
        break;
      case kContextTag:
        if (value > bytes.size()) return std::nullopt;
        change.context = bytes.substr(0, value);
        bytes.remove_prefix(value);
        break;
      default:
        return std::nullopt;
    }
  }
  const bool known = type == static_cast<uint64_t>(ConfChangeType::kAddVoter) ||
                     type == static_cast<uint64_t>(ConfChangeType::kRemove) ||
                     type == static_cast<uint64_t>(ConfChangeType::kAddLearner);
  if (!known || change.node == NodeId()) return std::nullopt;
  change.type = static_cast<ConfChangeType>(type);
  return change;
}

void Apply(const ConfChange& change, Configuration& configuration) {
  std::erase(configuration.voters, change.node);
  std::erase(configuration.learners, change.node);
  if (change.type == ConfChangeType::kAddVoter) Insert(configuration.voters, change.node);
  if (change.type == ConfChangeType::kAddLearner) Insert(configuration.learners, change.node);
}

std::string_view ToText(MessageType type) {
  switch (type) {
    case MessageType::kAppend:
      return "append";
    case MessageType::kAppendResponse:
      return "append-response";
    case MessageType::kVote:
      return "vote";
    case MessageType::kVoteResponse:
      return "vote-response";
    case MessageType::kSnapshot:
      return "snapshot";
    case MessageType::kHeartbeat:
      return "heartbeat";
    case MessageType::kHeartbeatResponse:
      return "heartbeat-response";
    case MessageType::kTransferLeader:
      return "transfer-leader";
    case MessageType::kTimeoutNow:
      return "timeout-now";
    case MessageType::kReadIndex:
      return "read-index";
    case MessageType::kReadIndexResponse:
      return "read-index-response";
    case MessageType::kPreVote:
      return "pre-vote";
    case MessageType::kPreVoteResponse:
      return "pre-vote-response";
  }
  return "unknown";
}

}  // namespace bascule::raft
