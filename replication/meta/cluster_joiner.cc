#include "replication/meta/cluster_joiner.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule {
namespace {

constexpr std::chrono::milliseconds kRoundPeriod{250};
constexpr std::chrono::seconds kAskTimeout{1};
constexpr std::chrono::seconds kJoinTimeout{10};
constexpr std::chrono::seconds kSayPeriod{10};
// What answered within this time is there.
constexpr std::chrono::seconds kFresh{2};

// Refusals that more asking does not mend.
bool IsFinal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnauthenticated(status);
}

}  // namespace

ClusterJoiner::ClusterJoiner(Executor& home, Clock& clock, PeerTransport& peers,
                             ClusterJoinerOptions options)
    : home_(home), clock_(clock), peers_(peers), options_(std::move(options)) {}

ClusterJoiner::~ClusterJoiner() { *alive_ = false; }

void ClusterJoiner::Start(Done done) {
  done_ = std::move(done);
  began_ = said_ = clock_.Monotonic();
  for (const std::string& address : options_.addresses) asked_[address];
  Round();
}

std::string ClusterJoiner::Question() const {
  return EncodeIntroRequest(WhoRequest{options_.cluster_namespace});
}

std::string ClusterJoiner::Answer() const {
  IntroAnswer answer;
  answer.cluster_namespace = options_.cluster_namespace;
  answer.server_id = options_.server_id;
  answer.node = options_.node;
  answer.leader_address = options_.address;  // where we wait
  answer.feature_level = options_.feature_level;
  return EncodeIntroAnswer(answer);
}

void ClusterJoiner::OnDiscovered(std::string_view bytes) {
  absl::StatusOr<IntroAnswer> answer = DecodeIntroAnswer(bytes);
  if (!answer.ok() || answer->cluster_namespace != options_.cluster_namespace) return;
  if (answer->node == options_.node) return;
  std::vector<std::string> addresses;
  if (!answer->leader_address.empty()) addresses.push_back(answer->leader_address);
  for (const GroupMember& member : answer->members) addresses.push_back(member.address);
  home_.Post([this, alive = alive_, addresses = std::move(addresses)] {
    if (!*alive || !done_) return;
    // Anybody on the bus can answer: only what the peer port says counts.
    for (const std::string& address : addresses) Consider(address);
  });
}

void ClusterJoiner::OnIntroduction(const std::string& /*server_id*/, std::string request,
                                   Duration /*timeout*/, PeerHandler::Respond respond) {
  absl::StatusOr<IntroRequest> decoded = DecodeIntroRequest(request);
  if (!decoded.ok()) return respond(decoded.status());
  if (std::holds_alternative<WhoRequest>(*decoded)) return respond(Answer());
  if (std::holds_alternative<JoinRequest>(*decoded)) {
    return respond(absl::UnavailableError(
        Concat("broker ", options_.server_id, " is no member of a cluster yet")));
  }
  InviteRequest invite = std::get<InviteRequest>(*std::move(decoded));
  if (invite.cluster_namespace != options_.cluster_namespace) {
    return respond(absl::FailedPreconditionError(
        Concat("broker ", options_.server_id, " belongs to namespace ", options_.cluster_namespace,
               ", the invitation is from ", invite.cluster_namespace)));
  }
  home_.Post([this, alive = alive_, invite = std::move(invite)] {
    if (!*alive || !done_) return;
    LogInfo("invited into the cluster ", invite.cluster_id);
    for (const std::string& address : invite.addresses) Consider(address);
  });
  respond(Answer());
}

void ClusterJoiner::Consider(const std::string& address) {
  const bool known = asked_.contains(address);
  if (address.empty() || (!known && asked_.size() >= limits::kJoinAddresses)) return;
  AskWho(address);
}

void ClusterJoiner::Round() {
  if (!done_) return;
  std::vector<std::string> addresses;
  for (const auto& [address, asked] : asked_) addresses.push_back(address);
  if (!joining_)
    for (const std::string& address : addresses) AskWho(address);
  if (MayStart()) return Finish(JoinOutcome{true, "", {}});
  SayWhatIsMissing();
  home_.After(kRoundPeriod, [this, alive = alive_] {
    if (*alive) Round();
  });
}

void ClusterJoiner::AskWho(const std::string& address) {
  if (address == options_.address || std::exchange(asked_[address].asking, true)) return;
  peers_.Introduce(address, Question(), kAskTimeout,
                   [this, alive = alive_, address](absl::StatusOr<std::string> answer) {
                     home_.Post([this, alive, address, answer = std::move(answer)] {
                       if (!*alive || !done_) return;
                       asked_[address].asking = false;
                       if (!answer.ok()) return;
                       const auto decoded = DecodeIntroAnswer(*answer);
                       if (decoded.ok()) Take(address, *decoded);
                     });
                   });
}

void ClusterJoiner::Take(const std::string& address, const IntroAnswer& answer) {
  if (answer.cluster_namespace != options_.cluster_namespace) {
    LogWarning("the broker at ", address, " belongs to namespace ", answer.cluster_namespace,
               ", not to ", options_.cluster_namespace, ": not asked again");
    asked_.erase(address);
    return;
  }
  Asked& asked = asked_[address];
  asked.heard = clock_.Monotonic();
  asked.answer = answer;
  if (answer.cluster_id.empty() || joining_) return;
  Join(answer.leader_address.empty() ? address : answer.leader_address);
}

void ClusterJoiner::Join(const std::string& address) {
  joining_ = true;
  JoinRequest join;
  join.cluster_namespace = options_.cluster_namespace;
  join.server_id = options_.server_id;
  join.node = options_.node;
  join.address = options_.address;
  join.feature_level = options_.feature_level;
  peers_.Introduce(address, EncodeIntroRequest(join), kJoinTimeout,
                   [this, alive = alive_, address](absl::StatusOr<std::string> answer) {
                     home_.Post([this, alive, address, answer = std::move(answer)] {
                       if (*alive && done_) OnJoinAnswer(address, answer);
                     });
                   });
}

void ClusterJoiner::OnJoinAnswer(const std::string& address,
                                 const absl::StatusOr<std::string>& answer) {
  joining_ = false;
  const absl::StatusOr<IntroAnswer> decoded =
      answer.ok() ? DecodeIntroAnswer(*answer) : absl::StatusOr<IntroAnswer>(answer.status());
  if (decoded.ok()) {
    const bool member = std::any_of(decoded->members.begin(), decoded->members.end(),
                                    [&](const GroupMember& m) { return m.id == options_.node; });
    if (member) return Finish(JoinOutcome{false, decoded->cluster_id, decoded->members});
    return;  // the next round asks whoever leads now
  }
  const absl::Status& why = decoded.status();
  if (IsFinal(why)) return Finish(why);
  if (!absl::IsAlreadyExists(why)) {
    LogWarning("the cluster's broker at ", address,
               " did not take us yet: ", FromAbsl(why.message()));
    return;
  }
  // Our own session of before may still have to expire.
  if (refused_since_ == MonotonicTime()) {
    refused_since_ = said_ = clock_.Monotonic();
    LogWarning("the cluster's broker at ", address, " does not take us: ", FromAbsl(why.message()),
               "; asking again for ",
               std::chrono::duration_cast<std::chrono::seconds>(options_.refusal_patience).count(),
               " s");
  }
  if (Between(refused_since_, clock_.Monotonic()) >= options_.refusal_patience) Finish(why);
}

void ClusterJoiner::Finish(absl::StatusOr<JoinOutcome> outcome) {
  if (auto done = std::exchange(done_, nullptr)) done(std::move(outcome));
}

bool ClusterJoiner::MayStart() {
  const MonotonicTime now = clock_.Monotonic();
  if (joining_ || Between(began_, now) < options_.quiet) return false;
  std::set<std::string> waiting{options_.server_id};
  for (const auto& [address, asked] : asked_) {
    const bool fresh = asked.heard != MonotonicTime() && Between(asked.heard, now) < kFresh;
    if (!fresh) continue;
    if (!asked.answer.cluster_id.empty()) return false;
    if (options_.peers.contains(asked.answer.server_id)) waiting.insert(asked.answer.server_id);
  }
  if (options_.seed) return true;
  if (options_.peers.empty() || *options_.peers.begin() != options_.server_id) return false;
  return waiting.size() > options_.peers.size() / 2;
}

void ClusterJoiner::SayWhatIsMissing() {
  const MonotonicTime now = clock_.Monotonic();
  if (Between(said_, now) < kSayPeriod) return;
  said_ = now;
  const auto answered = std::count_if(asked_.begin(), asked_.end(), [&](const auto& entry) {
    const Asked& asked = entry.second;
    return asked.heard != MonotonicTime() && Between(asked.heard, now) < kFresh;
  });
  if (!options_.peers.empty()) {
    LogWarning("waiting for the cluster of namespace ", options_.cluster_namespace, ": ",
               *options_.peers.begin(), " starts it when a majority of ", options_.peers.size(),
               " peers is there; ", answered, " other brokers answer");
    return;
  }
  LogWarning("waiting for a cluster of namespace ", options_.cluster_namespace,
             " to join; none of ", answered,
             " brokers that answer has one. Start one broker with clustering.raft.bootstrap.seed: "
             "true, or invite this one: bascule cluster add ",
             options_.address);
}

}  // namespace bascule
