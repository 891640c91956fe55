// What the members of a Raft group say to each other and keep. Names, numbers and meanings are
// those of etcd's raftpb, so that a group may be mixed with nodes of go.etcd.io/raft
// (tests/interop). Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/types.h"

namespace bascule::raft {

// A member; random, one per data directory, never reused. 0 = none.
using NodeId = Number<struct NodeIdTag, uint64_t>;
using Term = Number<struct TermTag, uint64_t>;
using Index = MetadataIndex;

enum class EntryType : uint8_t { kNormal = 0, kConfChange = 1 };

// An empty normal entry is what a new leader begins its term with; nobody applies it.
struct Entry {
  Index index{};
  Term term{};
  EntryType type = EntryType::kNormal;
  std::string data{};  // a command, or an encoded ConfChange
  bool operator==(const Entry&) const = default;
};

// Who decides (voters) and who only receives (learners). Sorted, disjoint.
struct Configuration {
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  bool operator==(const Configuration&) const = default;
  bool IsVoter(NodeId id) const;
  bool IsLearner(NodeId id) const;
  bool Contains(NodeId id) const { return IsVoter(id) || IsLearner(id); }
};

// One member joins, changes its part or goes.
enum class ConfChangeType : uint8_t { kAddVoter = 0, kRemove = 1, kAddLearner = 3 };
struct ConfChange {
  ConfChangeType type = ConfChangeType::kAddVoter;
  NodeId node;
  std::string context;  // the member's names, for those above
  bool operator==(const ConfChange&) const = default;
};
// The bytes of raftpb.ConfChange. nullopt: not one, or of a kind that we do not know.
std::string EncodeConfChange(const ConfChange& change);
std::optional<ConfChange> DecodeConfChange(std::string_view bytes);

// A voter that is added as a learner is demoted; adding or removing what is (not) there changes
// nothing.
void Apply(const ConfChange& change, Configuration& configuration);

// What must be on disk before a message that promises it leaves. `commit` may lag.
struct HardState {
  Term term;
  NodeId vote;
  Index commit;
  bool operator==(const HardState&) const = default;
};

// A snapshot without its bytes. index 0 = none.
struct SnapshotMeta {
  Index index;
  Term term;
  Configuration configuration;
  bool operator==(const SnapshotMeta&) const = default;
};

enum class MessageType : uint8_t {
  kAppend = 3,
  kAppendResponse = 4,
  kVote = 5,
  kVoteResponse = 6,
  kSnapshot = 7,
  kHeartbeat = 8,
  kHeartbeatResponse = 9,
  kTransferLeader = 13,
  kTimeoutNow = 14,
  kReadIndex = 15,
  kReadIndexResponse = 16,
  kPreVote = 17,
  kPreVoteResponse = 18,
};
std::string_view ToText(MessageType type);

struct Message {
  MessageType type = MessageType::kHeartbeat;
  NodeId to{};
  NodeId from{};
  Term term{};  // of the sender; of a pre-vote: the one it would stand for
  // Append: term of the entry before; votes: of the last entry; refusal: of the hint.
  Term log_term{};
  Index index{};  // append: of the entry before; votes: of the last entry; responses: see raft.cc
  Index commit{};
  std::vector<Entry> entries{};
  std::optional<SnapshotMeta> snapshot{};
  bool reject = false;
  Index reject_hint{};
  std::string
      context{};  // of heartbeats: the read it confirms; of votes: kTransferContext or empty
  bool operator==(const Message&) const = default;
};

// A vote that a leader asked for by kTimeoutNow: stickiness does not hold it back.
inline constexpr std::string_view kTransferContext = "CampaignTransfer";

}  // namespace bascule::raft
