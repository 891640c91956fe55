#include "replication/meta/cluster/removal_watch.h"

#include <algorithm>

namespace bascule::metadata {
namespace {

constexpr int kAskAfterSeconds = 5;
constexpr int kBelievedAnswers = 2;

}  // namespace

bool RemovalWatch::Tick(bool leader_known) {
  if (leader_known) {
    leaderless_seconds_ = removed_answers_ = 0;
    return false;
  }
  // Once one has said so, at once again: until then it may acknowledge what nobody will ever read.
  return ++leaderless_seconds_ % kAskAfterSeconds == 0 || removed_answers_ > 0;
}

// Only a leader knows: to the others the log may have said it, or not yet.
bool RemovalWatch::OnAnswer(const IntroAnswer& answer, bool leader_known) {
  if (answer.cluster_id != cluster_id_ || answer.leader != answer.node) return false;
  const bool member = std::any_of(answer.members.begin(), answer.members.end(),
                                  [this](const GroupMember& known) { return known.id == self_; });
  if (member || leader_known) {
    removed_answers_ = 0;
    return false;
  }
  return ++removed_answers_ == kBelievedAnswers;
}

}  // namespace bascule::metadata
