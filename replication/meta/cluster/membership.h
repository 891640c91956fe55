// Who votes: the next change of the metadata group that its leader should make. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "replication/metadata_log.h"

namespace bascule::metadata {

// Since when members are silent, as their leader sees it.
class MemberSilence {
 public:
  // A new leader: nobody is silent yet.
  void Begin() { active_.clear(); }
  void Note(const GroupStatus& status, MonotonicTime now);
  Duration Of(PeerId id, MonotonicTime now) const;

 private:
  std::map<PeerId, MonotonicTime> active_;  // when last
};

struct VoterRules {
  int32_t max_voters = 0;  // 0 = all
  Duration patience{0};    // a voter silent for as long gives its place to a learner
};

// A learner that has caught up votes when there is a place; a silent voter is demoted when such a
// learner waits for its place; voters beyond the limit are demoted. One change at a time, and none
// after which the live voters would be no majority.
std::optional<GroupMember> NextVoterChange(const GroupStatus& status, const VoterRules& rules,
                                           const MemberSilence& silence, MonotonicTime now);

// Whether those who vote and live are still a majority when `id` votes no more.
bool QuorumWithout(const GroupStatus& status, PeerId id);

}  // namespace bascule::metadata
