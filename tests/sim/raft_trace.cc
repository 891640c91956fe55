#include "tests/sim/raft_trace.h"

#include <algorithm>

namespace bascule {

std::string ToText(const raft::Entry& entry) {
  const std::string place = Concat(entry.index, "@", entry.term);
  if (entry.type == raft::EntryType::kNormal) {
    return entry.data.empty() ? Concat(place, ":begin") : Concat(place, ":", entry.data);
  }
  const std::optional<raft::ConfChange> change = raft::DecodeConfChange(entry.data);
  if (!change) return Concat(place, ":no-change");
  const char* what = change->type == raft::ConfChangeType::kAddVoter     ? "voter+"
                     : change->type == raft::ConfChangeType::kAddLearner ? "learner+"
                                                                         : "remove-";
  return Concat(place, ":", what, change->node);
}

std::string ToText(const raft::Configuration& configuration) {
  std::string text;
  for (const raft::NodeId id : configuration.voters) text += Concat(text.empty() ? "" : ",", id);
  for (const raft::NodeId id : configuration.learners) text += Concat(" learner ", id);
  return text;
}

std::string_view ToText(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower:
      return "follower";
    case raft::Role::kPreCandidate:
      return "pre-candidate";
    case raft::Role::kCandidate:
      return "candidate";
    case raft::Role::kLeader:
      return "leader";
  }
  return "?";
}

std::string ToText(const raft::Message& message) {
  std::string text =
      Concat(message.from, " -> ", message.to, "  ", ToText(message.type), " term ", message.term);
  if (message.index > raft::Index() || message.log_term > raft::Term()) {
    text += Concat(" at ", message.index, "@", message.log_term);
  }
  if (message.commit > raft::Index()) text += Concat(" commit ", message.commit);
  if (message.reject) text += Concat(" refused, hint ", message.reject_hint);
  if (!message.context.empty()) text += Concat(" (", message.context, ")");
  for (const raft::Entry& entry : message.entries) text += " " + ToText(entry);
  if (message.snapshot) {
    text += Concat(" snapshot ", message.snapshot->index, "@", message.snapshot->term, " of ",
                   ToText(message.snapshot->configuration));
  }
  return text;
}

std::string RaftTrace::Tail(size_t count) const {
  std::string text;
  for (size_t i = lines_.size() - std::min(count, lines_.size()); i < lines_.size(); ++i) {
    text += lines_[i] + "\n";
  }
  return text;
}

}  // namespace bascule
