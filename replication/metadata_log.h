// The ordered log of metadata commands, as everybody above sees it: the Raft group's log. On the
// metadata thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"
#include "replication/peer_transport.h"

namespace bascule {

// A member of the metadata group.
struct GroupMember {
  PeerId id;
  std::string server_id;
  std::string address;  // of its peer port
  bool voter = false;
  bool operator==(const GroupMember&) const = default;
};

// What the log is applied to.
class MetadataState {
 public:
  virtual ~MetadataState() = default;
  // In index order, each once. What it returns goes to the proposer. Unimplemented: a command of a
  // newer version; the broker must stop.
  virtual absl::Status Apply(MetadataIndex index, std::string_view command) = 0;
  // The group has other members from `index` on.
  virtual void ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) = 0;
  virtual std::string Snapshot() const = 0;
  // Whether the command makes the state larger: those are refused when the disk is nearly full, the
  // others are what makes room again.
  virtual bool Grows(std::string_view /*command*/) const { return true; }
  // At the start, or (a member that was far behind) in between: everything is replaced.
  virtual absl::Status Restore(MetadataIndex index, std::string_view snapshot) = 0;
};

// How this broker stands in the group.
struct MetadataRole {
  uint64_t term = 0;
  PeerId leader;         // 0 = nobody is known
  bool leading = false;  // this broker, and everything committed before its term is applied
  bool operator==(const MetadataRole&) const = default;
};

class MetadataLog {
 public:
  virtual ~MetadataLog() = default;
  // On the leader. `done` gets Apply's result once the command is committed and applied here,
  // straight after that Apply. Unavailable: surely not taken (not the leader, disk full).
  // ResourceExhausted: likewise, and no leader takes it: it is too large to be sent. Unknown:
  // it may have been taken; whoever repeats it must be able to tell (client and sequence).
  virtual void Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) = 0;
  // On any member. `done` runs when everything that was committed before the call is applied here.
  // Unavailable: no leader confirmed it in time.
  virtual void ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Empty, or why commands are not taken.
  virtual std::string degraded() const = 0;
  virtual MetadataRole role() const = 0;
  // Called after each change of role(), and never from inside another call to the log.
  virtual void OnRoleChange(absl::AnyInvocable<void(const MetadataRole&)> observer) = 0;
};

// A member as its leader sees it.
struct GroupMemberStatus {
  GroupMember member;
  MetadataIndex match;
  bool active = false;  // answered within an election timeout
};

struct GroupStatus {
  MetadataRole role;
  std::string cluster_id;
  PeerId self;
  MetadataIndex commit, applied, first, last, snapshot;
  uint64_t log_bytes = 0;
  bool stalled =
      false;  // the disk has no room at all: this member applies nothing and answers nobody
  std::vector<GroupMemberStatus> members;  // match and active: on the leader only
};

// Changing the group. On the metadata thread of its leader; errors as in MetadataLog::Propose, and
// FailedPrecondition while another change is under way.
class MetadataGroup {
 public:
  virtual ~MetadataGroup() = default;
  using Done = absl::AnyInvocable<void(absl::Status)>;
  virtual void AddMember(const GroupMember& member, Done done) = 0;  // also promotes and demotes
  virtual void RemoveMember(PeerId id, Done done) = 0;
  // `done`: OK when this broker leads no more.
  virtual void TransferLeadership(PeerId to, Done done) = 0;
  virtual GroupStatus Status() const = 0;
  // On any member: its own connection with the leader broke and could not be made again at once. An
  // election need not wait for the leader's whole silence. Nothing where somebody else leads.
  virtual void OnLeaderLost(PeerId leader) = 0;
};

}  // namespace bascule
