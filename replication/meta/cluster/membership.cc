#include "replication/meta/cluster/membership.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace bascule::metadata {
namespace {

// A learner this close to the end has caught up: with new commands there is always something on its
// way.
constexpr uint64_t kCaughtUpEntries = 128;

bool IsActive(const GroupStatus& status, const GroupMemberStatus& member) {
  return member.active || member.member.id == status.self;
}

bool IsCaughtUp(const GroupStatus& status, const GroupMemberStatus& member) {
  return IsActive(status, member) && member.match + kCaughtUpEntries >= status.last &&
         member.match > MetadataIndex();
}

const GroupMemberStatus* ReadyLearner(const GroupStatus& status) {
  const GroupMemberStatus* best = nullptr;
  for (const GroupMemberStatus& member : status.members) {
    if (member.member.voter || !IsCaughtUp(status, member)) continue;
    if (best == nullptr || member.member.server_id < best->member.server_id) best = &member;
  }
  return best;
}

// The voter that is missed least: the longest silent one.
const GroupMemberStatus* WeakestVoter(const GroupStatus& status, const MemberSilence& silence,
                                      MonotonicTime now) {
  const GroupMemberStatus* weakest = nullptr;
  for (const GroupMemberStatus& member : status.members) {
    if (!member.member.voter || member.member.id == status.self) continue;
    if (weakest == nullptr ||
        silence.Of(member.member.id, now) > silence.Of(weakest->member.id, now)) {
      weakest = &member;
    }
  }
  return weakest;
}

GroupMember As(const GroupMemberStatus& member, bool voter) {
  GroupMember changed = member.member;
  changed.voter = voter;
  return changed;
}

}  // namespace

void MemberSilence::Note(const GroupStatus& status, MonotonicTime now) {
  for (const GroupMemberStatus& member : status.members) {
    const auto [it, anew] = active_.try_emplace(member.member.id, now);
    if (IsActive(status, member)) it->second = now;
  }
  std::erase_if(active_, [&status](const auto& entry) {
    return std::none_of(status.members.begin(), status.members.end(),
                        [&entry](const auto& m) { return m.member.id == entry.first; });
  });
}

Duration MemberSilence::Of(PeerId id, MonotonicTime now) const {
  const auto it = active_.find(id);
  return it == active_.end() ? Duration::zero() : Between(it->second, now);
}

bool QuorumWithout(const GroupStatus& status, PeerId id) {
  int32_t voters = 0;
  int32_t live = 0;
  for (const GroupMemberStatus& member : status.members) {
    if (!member.member.voter || member.member.id == id) continue;
    ++voters;
    if (IsActive(status, member)) ++live;
  }
  return live > 0 && live >= voters / 2 + 1;
}

std::optional<GroupMember> NextVoterChange(const GroupStatus& status, const VoterRules& rules,
                                           const MemberSilence& silence, MonotonicTime now) {
  const auto voters = static_cast<int32_t>(
      std::count_if(status.members.begin(), status.members.end(),
                    [](const GroupMemberStatus& m) { return m.member.voter; }));
  const int32_t limit =
      rules.max_voters > 0 ? rules.max_voters : std::numeric_limits<int32_t>::max();
  const GroupMemberStatus* learner = ReadyLearner(status);
  if (learner != nullptr && voters < limit) return As(*learner, true);
  const GroupMemberStatus* weakest = WeakestVoter(status, silence, now);
  if (weakest == nullptr || !QuorumWithout(status, weakest->member.id)) return std::nullopt;
  const bool silent = silence.Of(weakest->member.id, now) >= rules.patience;
  if (voters > limit || (voters == limit && learner != nullptr && silent))
    return As(*weakest, false);
  return std::nullopt;
}

}  // namespace bascule::metadata
