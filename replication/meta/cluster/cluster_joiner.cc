#include "replication/meta/cluster/cluster_joiner.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/meta/cluster/cluster_limits.h"

namespace bascule::metadata {
namespace {

constexpr std::chrono::milliseconds kRoundPeriod{250};
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
    : home_(home),
      clock_(clock),
      peers_(peers),
      options_(std::move(options)),
      known_(options_.known) {
  known_id_.store(std::make_shared<const std::string>(known_ ? known_->cluster_id : ""));
}

void ClusterJoiner::Start(Done done) {
  BASCULE_CHECK(home_.OnThisThread());
  done_ = std::move(done);
  quiet_since_ = said_ = clock_.Monotonic();
  for (const std::string& address : options_.addresses) {
    if (address != options_.address) asked_[address];
  }
  if (known_) {
    LogInfo("this broker is to be part of the cluster ",
            known_->cluster_id.empty() ? "that was there" : known_->cluster_id, " (says ",
            known_->file, "): it joins that one, and starts none");
  }
  rounds_.Repeat(kRoundPeriod, [this] { Round(); });
  Round();
}

void ClusterJoiner::Stop() {
  BASCULE_CHECK(home_.OnThisThread());
  rounds_.Cancel();
  done_ = nullptr;
  lifetime_.End();
}

std::string ClusterJoiner::Question() const {
  return EncodeIntroRequest(WhoRequest{options_.cluster_namespace});
}

std::string ClusterJoiner::Answer() const {
  IntroAnswer answer;
  answer.cluster_namespace = options_.cluster_namespace;
  answer.server_id = options_.server_id;
  answer.node = options_.node;
  answer.address = options_.address;
  answer.leader_address = options_.address;  // where we wait
  answer.feature_level = options_.feature_level;
  answer.known_cluster_id = *known_id_.load();
  return EncodeIntroAnswer(answer);
}

void ClusterJoiner::OnDiscovered(std::string_view bytes) {
  absl::StatusOr<IntroAnswer> answer = DecodeIntroAnswer(bytes);
  if (!answer.ok() || answer->cluster_namespace != options_.cluster_namespace) return;
  if (answer->node == options_.node) return;
  home_.Post(lifetime_.Guard([this, answer = *std::move(answer)] {
    if (!done_) return;
    // Anybody on the bus can answer: only what the peer port says counts.
    hearsay_.Hear(answer, Addresses(), clock_.Monotonic());
    AskHeard();
  }));
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
  home_.Post(lifetime_.Guard(
      [this, invite = std::move(invite), waiting = WaitingRequest(std::move(respond))]() mutable {
        if (!done_) return waiting.Begin()(Answer());  // it has found its cluster already
        Invited(invite, waiting.Begin());
      }));
}

void ClusterJoiner::Invited(const InviteRequest& invite, PeerHandler::Respond respond) {
  BASCULE_CHECK(home_.OnThisThread());
  if (!Know(invite.cluster_id, "the invitation of a member")) {
    return respond(absl::FailedPreconditionError(
        known_ ? Concat("broker ", options_.server_id, " is to be part of the cluster ",
                        known_->cluster_id, " (says ", known_->file, "), not of ",
                        invite.cluster_id, ": give it an empty data directory first")
               : Concat("broker ", options_.server_id, " could not note the invitation")));
  }
  LogInfo("invited into the cluster ", invite.cluster_id);
  respond(Answer());
  for (const std::string& address : invite.addresses) {
    Tell(address);
    if (const auto told = asked_.find(address); told != asked_.end())
      AskWho(address, told->second.source);
  }
}

std::set<std::string> ClusterJoiner::Addresses() const {
  std::set<std::string> addresses{options_.address};
  for (const auto& [address, asked] : asked_) addresses.insert(address);
  return addresses;
}

void ClusterJoiner::Tell(const std::string& address) {
  BASCULE_CHECK(home_.OnThisThread());
  if (address.empty() || address.size() > limits::kPeerNameBytes || address == options_.address ||
      asked_.contains(address))
    return;
  auto told = std::count_if(asked_.begin(), asked_.end(),
                            [](const auto& a) { return a.second.source == Source::kTold; });
  if (static_cast<size_t>(told) >= limits::kJoinAddresses) {
    auto silent = asked_.end();
    for (auto it = asked_.begin(); it != asked_.end(); ++it) {
      if (it->second.source != Source::kTold || it->second.asking) continue;
      if (silent == asked_.end() || it->second.heard < silent->second.heard) silent = it;
    }
    if (silent == asked_.end()) return;  // all are being asked: it will be told again
    asked_.erase(silent);
  }
  asked_[address].source = Source::kTold;
}

void ClusterJoiner::Round() {
  BASCULE_CHECK(home_.OnThisThread());
  if (!joining_) {
    AskInTurn(Source::kConfigured, limits::kJoinAsksConfigured);
    AskInTurn(Source::kTold, limits::kJoinAsksTold);
    AskHeard();
  }
  if (MayStart()) return Finish(JoinOutcome{true, "", {}});
  SayWhatIsMissing();
}

// Beginning behind the one that was asked last, so that all are asked whatever their number.
void ClusterJoiner::AskInTurn(Source source, size_t most) {
  std::vector<std::string> order;
  for (const auto& [address, asked] : asked_) {
    if (asked.source == source && !asked.asking) order.push_back(address);
  }
  const auto next = std::upper_bound(order.begin(), order.end(), turn_[source]);
  std::rotate(order.begin(), next, order.end());
  for (const std::string& address : order) {
    if (Asking(source) >= most) return;
    turn_[source] = address;
    AskWho(address, source);
  }
}

void ClusterJoiner::AskHeard() {
  if (joining_) return;
  while (Asking(Source::kHeard) < limits::kHearsayAsks) {
    const auto address = hearsay_.Next(clock_.Monotonic());
    if (!address.has_value()) return;
    if (!asked_.contains(*address)) AskWho(*address, Source::kHeard);
  }
}

void ClusterJoiner::AskWho(const std::string& address, Source source) {
  if (source != Source::kHeard && std::exchange(asked_[address].asking, true)) return;
  ++Asking(source);
  peers_.Introduce(
      address, Question(), limits::kIntroductionPatience,
      lifetime_.Bind([this, address, source](const absl::StatusOr<std::string>& answer) {
        if (!done_) return;
        --Asking(source);
        const auto asked = asked_.find(address);
        if (source != Source::kHeard && asked != asked_.end()) asked->second.asking = false;
        if (answer.ok()) {
          const auto decoded = DecodeIntroAnswer(*answer);
          if (decoded.ok()) Take(address, source, *decoded);
        }
        if (done_) AskHeard();
      }));
}

void ClusterJoiner::Take(const std::string& address, Source source, const IntroAnswer& answer) {
  BASCULE_CHECK(home_.OnThisThread());
  if (answer.cluster_namespace != options_.cluster_namespace) {
    LogWarning("the broker at ", address, " belongs to namespace ", answer.cluster_namespace,
               ", not to ", options_.cluster_namespace, ": not asked again");
    asked_.erase(address);
    return;
  }
  const std::string& named =
      answer.cluster_id.empty() ? answer.known_cluster_id : answer.cluster_id;
  if (!named.empty() && !Know(named, Concat("broker ", answer.server_id, " at ", address))) return;
  if (source == Source::kHeard) Tell(address);
  if (const auto asked = asked_.find(address); asked != asked_.end()) {
    asked->second.heard = clock_.Monotonic();
    asked->second.answer = answer;
  }
  if (answer.cluster_id.empty()) return;
  for (const GroupMember& member : answer.members) Tell(member.address);
  if (options_.older_copy) SayIfVoteIsNeeded(answer);
  if (joining_) return;
  // Its leader may be gone, and nobody knows yet: then whoever answers finds the next one.
  const bool to_leader = joins_++ % 2 == 0 && !answer.leader_address.empty() &&
                         answer.leader_address != options_.address;
  Join(to_leader ? answer.leader_address : address);
}

// How a directory forgets its cluster. One that holds a cluster's streams never does.
std::string ClusterJoiner::Forget() const {
  if (known_->file == options_.note_file) return Concat("remove ", known_->file);
  return Concat("move the whole data directory away, which is bound to it (", known_->file, ")");
}

bool ClusterJoiner::Know(const std::string& cluster_id, const std::string& named_by) {
  if (known_ && known_->cluster_id == cluster_id) return true;
  if (known_ && !known_->cluster_id.empty()) {
    if (std::exchange(other_cluster_, cluster_id) != cluster_id) {
      LogError(named_by, " names the cluster ", cluster_id,
               ", but this broker is to be part of the cluster ", known_->cluster_id, ", which ",
               known_->named_by,
               " named: it is not joined. If that one is gone for good, stop this broker, ",
               Forget(), ", and start it again");
    }
    return false;
  }
  KnownCluster known{cluster_id, named_by, known_ ? known_->file : ""};
  if (options_.note != nullptr) {
    if (const absl::Status noted = options_.note(known); !noted.ok()) {
      Finish(noted);
      return false;
    }
  }
  if (known.file.empty()) known.file = options_.note_file;
  LogInfo(named_by, " names the cluster ", cluster_id, ": this broker joins it, and starts none");
  known_id_.store(std::make_shared<const std::string>(cluster_id));
  known_ = std::move(known);
  return true;
}

void ClusterJoiner::Join(const std::string& address) {
  joining_ = true;
  JoinRequest join;
  join.cluster_namespace = options_.cluster_namespace;
  join.cluster_id = known_->cluster_id;
  join.server_id = options_.server_id;
  join.node = options_.node;
  join.address = options_.address;
  join.feature_level = options_.feature_level;
  peers_.Introduce(address, EncodeIntroRequest(join), kJoinTimeout,
                   lifetime_.Bind([this, address](const absl::StatusOr<std::string>& answer) {
                     if (done_) OnJoinAnswer(address, answer);
                   }));
}

void ClusterJoiner::OnJoinAnswer(const std::string& address,
                                 const absl::StatusOr<std::string>& answer) {
  BASCULE_CHECK(home_.OnThisThread());
  joining_ = false;
  const absl::StatusOr<IntroAnswer> decoded =
      answer.ok() ? DecodeIntroAnswer(*answer) : absl::StatusOr<IntroAnswer>(answer.status());
  if (decoded.ok()) {
    const bool member = std::any_of(decoded->members.begin(), decoded->members.end(),
                                    [&](const GroupMember& m) { return m.id == options_.node; });
    if (member && known_ && !known_->cluster_id.empty() &&
        known_->cluster_id != decoded->cluster_id) {
      LogWarning("the broker at ", address, " answers for the cluster ", decoded->cluster_id,
                 ", not for ", known_->cluster_id, "; not joined");
      return;
    }
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
  rounds_.Cancel();
  if (auto done = std::exchange(done_, nullptr)) done(std::move(outcome));
}

// The others are no majority without the vote that this directory forgot things of. It is not used again: only who
// answers knows what was promised with it, and whether that is all is not known to that one either.
void ClusterJoiner::SayIfVoteIsNeeded(const IntroAnswer& answer) {
  size_t voters = 0;
  size_t others = 0;
  for (const GroupMember& member : answer.members) {
    if (!member.voter) continue;
    ++voters;
    if (member.server_id != options_.server_id) ++others;
  }
  const bool needed = answer.leader == PeerId() && others < voters && others < voters / 2 + 1;
  if (!needed || std::exchange(said_vote_, true)) return;
  LogError(
      "the metadata group of the cluster ", answer.cluster_id, " has ", voters,
      " voters, and without this broker's directory, of which an older copy is here, the other ",
      others,
      " are no majority that could take it in anew. What the copy holds stays as it is. Stop "
      "broker ",
      answer.server_id,
      ", run basculed --recover-quorum with its configuration, and start it: then this "
      "broker, which goes on asking, joins as a new member");
}

bool ClusterJoiner::IsFresh(const Asked& asked) const {
  return asked.heard != MonotonicTime() && Between(asked.heard, clock_.Monotonic()) < kFresh;
}

bool ClusterJoiner::MayStart() {
  // Whom a peer has named its cluster waits for it, whoever answers now.
  if (known_ || joining_) return false;
  const MonotonicTime now = clock_.Monotonic();
  // Silence says something only once somebody could have been asked. (A majority of a peer list that
  // waits says it by itself.)
  if (options_.seed && options_.bus_asked != nullptr && !options_.bus_asked()) quiet_since_ = now;
  if (Between(quiet_since_, now) < options_.quiet) return false;
  if (hearsay_.Pending(now) || Asking(Source::kHeard) > 0) return false;
  if (options_.seed) return true;
  if (options_.peers.empty() || *options_.peers.begin() != options_.server_id) return false;
  std::set<std::string> waiting{options_.server_id};
  for (const auto& [address, asked] : asked_) {
    if (IsFresh(asked) && options_.peers.contains(asked.answer.server_id))
      waiting.insert(asked.answer.server_id);
  }
  return waiting.size() > options_.peers.size() / 2;
}

void ClusterJoiner::SayWhatIsMissing() {
  const MonotonicTime now = clock_.Monotonic();
  if (Between(said_, now) < kSayPeriod) return;
  said_ = now;
  const auto answered = std::count_if(asked_.begin(), asked_.end(),
                                      [&](const auto& entry) { return IsFresh(entry.second); });
  if (known_ && options_.older_copy) {
    LogWarning("waiting for the cluster ", known_->cluster_id, " of namespace ",
               options_.cluster_namespace,
               " to take this broker, whose directory is an older copy, in anew; ", answered,
               " other brokers answer. Its metadata leader has to be there for that. Where so many "
               "directories are copies that none is elected, stop all brokers, run basculed "
               "--recover-quorum on "
               "one that is no copy, start it, and then the others");
    return;
  }
  if (known_) {
    LogWarning(
        "waiting for the cluster ", known_->cluster_id, " of namespace ",
        options_.cluster_namespace, ", which ", known_->named_by, " named, to take this ",
        "broker; ", answered,
        " other brokers answer. If that cluster is gone for good, stop all brokers that wait for ",
        "it, ", Forget(), ", on each of them, and start them again");
    return;
  }
  if (!options_.peers.empty()) {
    LogWarning("waiting for the cluster of namespace ", options_.cluster_namespace, ": ",
               *options_.peers.begin(), " starts it when a majority of ", options_.peers.size(),
               " peers is there; ", answered, " other brokers answer");
    return;
  }
  if (options_.seed && options_.bus_asked != nullptr && !options_.bus_asked()) {
    LogWarning(
        "waiting for NATS: only there, or at the addresses of cluster.join, can this broker "
        "ask whether its cluster exists already before it starts one");
    return;
  }
  if (options_.seed) {
    LogWarning("on NATS somebody keeps naming brokers of namespace ", options_.cluster_namespace,
               " where none answers; no cluster is started before all are asked. Find out who ",
               "publishes below ", options_.cluster_namespace, ".ack.discovery");
    return;
  }
  LogWarning("waiting for a cluster of namespace ", options_.cluster_namespace,
             " to join; none of ", answered,
             " brokers that answer has one. Start one broker with clustering.raft.bootstrap.seed: "
             "true, or invite this one: bascule cluster add ",
             options_.address);
}

}  // namespace bascule::metadata
