#include "replication/meta/cluster/cluster_lookout.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/meta/cluster/cluster_limits.h"

namespace bascule::metadata {
namespace {

// Processes that began within this time of each other are told apart by their incarnations: what
// each hears of the other's age is a little old.
constexpr std::chrono::seconds kSameAge{3};
// A twin that was not heard of for so long is gone.
constexpr std::chrono::seconds kForgotten{150};

}  // namespace

ClusterLookout::ClusterLookout(Executor& home, Clock& clock, Discovery& discovery,
                               PeerTransport* peers, ClusterLookoutOptions options,
                               std::function<void(const absl::Status&)> fatal)
    : home_(home),
      clock_(clock),
      discovery_(discovery),
      peers_(peers),
      options_(std::move(options)),
      fatal_(std::move(fatal)),
      answer_(std::make_shared<std::atomic<std::shared_ptr<const IntroAnswer>>>()) {}

void ClusterLookout::Stop() {
  query_.reset();
  look_before_.Cancel();
  grace_.Cancel();
  lifetime_.End();
}

void ClusterLookout::LookBefore(IntroAnswer own, absl::AnyInvocable<void(absl::Status)> done) {
  BASCULE_CHECK(home_.OnThisThread());
  before_ = std::move(done);
  Answer(std::move(own));
  Look();
  look_before_.Start(options_.look_before, [this] { EndBefore(); });
}

void ClusterLookout::EndBefore() {
  if (verifying_) return;  // that ends it
  if (auto end = std::exchange(before_, nullptr)) end(absl::OkStatus());
}

void ClusterLookout::Tick(IntroAnswer own, const std::vector<GroupMember>& members) {
  BASCULE_CHECK(home_.OnThisThread());
  // The group's leadership changes while it stops, and whoever hears of it ticks.
  if (lifetime_.ended()) return;
  const MonotonicTime now = clock_.Monotonic();
  Answer(std::move(own));
  if (!std::exchange(started_, true)) {
    looked_ = now;
    look_until_ = starting_until_ = Add(now, options_.look);
  } else if (Between(looked_, now) >= options_.period) {
    looked_ = now;
    look_until_ = Add(now, options_.glance);
  }
  if (twin_heard_ != MonotonicTime() && Between(twin_heard_, now) > kForgotten) twin_.clear();
  if (Between(other_heard_, now) > kForgotten) other_cluster_.clear();
  std::map<PeerId, Lost> before = std::exchange(lost_, {});
  for (const GroupMember& member : members) {
    if (peers_ == nullptr || member.id == options_.self.node || up_.contains(member.id)) continue;
    Lost& lost = lost_[member.id];
    if (const auto known = before.find(member.id); known != before.end())
      lost = std::move(known->second);
    lost.server_id = member.server_id;
    lost.known = member.address;
  }
  AskConfigured();
  for (const auto& [id, lost] : lost_) Try(id);
  // Without members: none has told us yet who they are.
  if (!lost_.empty() || members.empty() || now < look_until_) {
    if (query_ == nullptr) Look();
  } else {
    query_.reset();
  }
}

void ClusterLookout::Answer(IntroAnswer own) {
  own.place = options_.place;
  own_ = std::make_shared<const IntroAnswer>(std::move(own));
  const bool first = answer_->exchange(own_) == nullptr;
  if (!first) return;
  discovery_.AnswerQueries(
      [answer = answer_, began = options_.self.began, &clock = clock_](std::string_view) {
        IntroAnswer now = *answer->load();
        now.uptime = Between(began, clock.Monotonic());
        return EncodeIntroAnswer(now);
      });
}

void ClusterLookout::Look() {
  query_ = discovery_.Ask(EncodeIntroRequest(Who()), [this](std::string_view bytes) {
    absl::StatusOr<IntroAnswer> answer = DecodeIntroAnswer(bytes);
    if (!answer.ok() || answer->cluster_namespace != options_.cluster_namespace) return;
    (void)home_.TryPost(lifetime_.Guard([this, answer = *std::move(answer)] { OnAnswer(answer); }));
  });
}

void ClusterLookout::OnAnswer(const IntroAnswer& answer) {
  BASCULE_CHECK(home_.OnThisThread());
  if (answer.incarnation == options_.self.incarnation && answer.server_id == options_.self.id)
    return OnOwn();
  if (answer.server_id == options_.self.id) return OnTwin(answer);
  if (answer.cluster_id.empty()) return;  // it waits for its cluster
  if (answer.cluster_id != own_->cluster_id) return OnOtherCluster(answer);
  NoteHeard(answer.address);
  Suggest(answer);
}

void ClusterLookout::NoteHeard(const std::string& address) {
  if (address.empty() || address.size() > limits::kPeerNameBytes) return;
  std::erase(heard_, address);
  heard_.push_front(address);
  if (heard_.size() > limits::kHearsayAddresses) heard_.pop_back();
}

std::vector<std::string> ClusterLookout::Addresses() const {
  std::vector<std::string> addresses = options_.addresses;
  addresses.insert(addresses.end(), heard_.begin(), heard_.end());
  return addresses;
}

// It came round: so have the others' answers, nearly.
void ClusterLookout::OnOwn() {
  if (before_ == nullptr || grace_.armed()) return;
  grace_.Start(options_.grace, [this] { EndBefore(); });
}

bool ClusterLookout::IsNewer(const IntroAnswer& other) const {
  // Who still looks around before its start names no members, and gives way to who has started.
  const bool other_started = !other.members.empty();
  if (started_ != other_started) return other_started;
  const Duration older = other.uptime - Uptime();
  if (older > kSameAge) return true;
  if (older < -Duration(kSameAge)) return false;
  return options_.self.incarnation > other.incarnation;
}

std::string ClusterLookout::Describe(const IntroAnswer& twin) const {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(twin.uptime).count();
  const bool copy = twin.node == options_.self.node;
  return Concat(
      "server id ", options_.self.id, " is in use by the broker at ",
      twin.address.empty() ? twin.place : twin.address,
      twin.address.empty() || twin.place.empty() ? "" : Concat(" (", twin.place, ")"),
      ", which runs for ", age, " s in the namespace ", options_.cluster_namespace,
      copy ? "; the data directory of this broker is a copy of that one's, or the other way "
             "round: stop this one and start it with an empty directory"
           : "; stop that one, or give this one an id of its own (clustering.server.id, "
             "and an empty data directory: a directory keeps its id)");
}

void ClusterLookout::OnTwin(const IntroAnswer& answer) {
  twin_heard_ = clock_.Monotonic();
  if (peers_ != nullptr) return VerifyTwin(answer);
  // There is no peer port to ask at. While it starts a broker takes the bus's word: it may not do
  // anything under an id that is in use. Later nobody on the bus can stop it.
  if (IsNewer(answer) && (!started_ || clock_.Monotonic() < starting_until_))
    return Condemn(answer);
  if (twin_.empty()) LogError(Describe(answer));
  twin_ = Describe(answer);
}

void ClusterLookout::VerifyTwin(const IntroAnswer& heard) {
  if (verifying_) return;
  if (heard.address.empty()) {
    if (twin_.empty()) LogError(Describe(heard));
    twin_ = Describe(heard);
    return;
  }
  verifying_ = true;
  peers_->IntroduceTo(
      options_.self.id, heard.address, EncodeIntroRequest(Who()), limits::kIntroductionPatience,
      lifetime_.Bind([this, heard](const absl::StatusOr<std::string>& bytes) {
        verifying_ = false;
        absl::StatusOr<IntroAnswer> twin =
            bytes.ok() ? DecodeIntroAnswer(*bytes) : absl::StatusOr<IntroAnswer>(bytes.status());
        // Ourselves: the address leads to both, by turns.
        const bool other = twin.ok() && twin->server_id == options_.self.id &&
                           twin->incarnation != options_.self.incarnation;
        if (other) twin->place = heard.place;
        // Of two data directories in one cluster the log says whose the id is, and ends the other.
        const bool decided = other && started_ && twin->cluster_id == own_->cluster_id &&
                             twin->node != options_.self.node;
        if (other && !decided && IsNewer(*twin)) return Condemn(*twin);
        const std::string text =
            decided ? Concat(Describe(*twin), "; the cluster ends one of the two")
            : other ? Concat(Describe(*twin), "; it began after this one and should end")
                    : Concat("on NATS somebody says: ", Describe(heard),
                             ". Nobody with this broker's id answers there");
        if (twin_.empty()) LogError(text);
        twin_ = text;
        EndBefore();
      }));
}

void ClusterLookout::Condemn(const IntroAnswer& twin) {
  const absl::Status why = absl::AlreadyExistsError(Describe(twin));
  if (auto end = std::exchange(before_, nullptr)) return end(why);
  if (started_) fatal_(why);
}

// Whoever answers with another cluster's id in our namespace records the same subjects beside us:
// that is nobody's wish.
void ClusterLookout::OnOtherCluster(const IntroAnswer& answer) {
  other_heard_ = clock_.Monotonic();
  if (!other_cluster_.empty()) return;
  other_cluster_ = Concat(
      "broker ", answer.server_id, " on the same NATS has namespace ", answer.cluster_namespace,
      " too, but belongs to another cluster (", answer.cluster_id, ", ours is ", own_->cluster_id,
      "): both record the same subjects; give one another clustering.namespace, or empty its data "
      "directory and have it join with cluster.join");
  LogError(other_cluster_);
}

void ClusterLookout::AskConfigured() {
  if (lost_.empty()) return;
  for (const std::string& address : options_.addresses) {
    if (address == options_.self.peer_address || asking_.size() >= limits::kHearsayAsks ||
        !asking_.insert(address).second)
      continue;
    peers_->Introduce(address, EncodeIntroRequest(Who()), limits::kIntroductionPatience,
                      lifetime_.Bind([this, address](const absl::StatusOr<std::string>& bytes) {
                        asking_.erase(address);
                        if (!bytes.ok()) return;
                        const auto answer = DecodeIntroAnswer(*bytes);
                        if (!answer.ok() || answer->cluster_id != own_->cluster_id) return;
                        SuggestAt(answer->node, answer->address);
                        SuggestAt(answer->node, address);
                        Suggest(*answer);
                      }));
  }
}

void ClusterLookout::Suggest(const IntroAnswer& answer) {
  SuggestAt(answer.node, answer.address);
  for (const GroupMember& member : answer.members) SuggestAt(member.id, member.address);
}

void ClusterLookout::SuggestAt(PeerId id, const std::string& address) {
  const auto found = lost_.find(id);
  if (found == lost_.end() || address.empty() || address.size() > limits::kPeerNameBytes) return;
  Lost& lost = found->second;
  if (lost.waiting.size() >= limits::kHearsayAddresses ||
      std::find(lost.waiting.begin(), lost.waiting.end(), address) != lost.waiting.end())
    return;
  const MonotonicTime now = clock_.Monotonic();
  std::erase_if(lost.tried,
                [&](const auto& t) { return Between(t.second, now) >= limits::kHearsayAgain; });
  if (lost.tried.contains(address) || lost.tried.size() >= limits::kHearsayTried) return;
  lost.waiting.push_back(address);
  Try(id);
}

void ClusterLookout::Try(PeerId id) {
  Lost& lost = lost_.at(id);
  while (!lost.waiting.empty() && lost.asking < limits::kHearsayAddresses) {
    const std::string address = std::move(lost.waiting.front());
    lost.waiting.pop_front();
    lost.tried[address] = clock_.Monotonic();
    ++lost.asking;
    peers_->IntroduceTo(
        lost.server_id, address, EncodeIntroRequest(Who()), limits::kIntroductionPatience,
        lifetime_.Bind([this, id, address](const absl::StatusOr<std::string>& bytes) {
          Tried(id, address, bytes);
        }));
  }
}

void ClusterLookout::Tried(PeerId id, const std::string& address,
                           const absl::StatusOr<std::string>& bytes) {
  const auto found = lost_.find(id);
  if (found == lost_.end()) return;
  Lost& lost = found->second;
  lost.asking -= std::min<size_t>(lost.asking, 1);
  if (!bytes.ok() || up_.contains(id)) return Try(id);
  const absl::StatusOr<IntroAnswer> answer = DecodeIntroAnswer(*bytes);
  const bool is_it = answer.ok() && answer->cluster_id == own_->cluster_id && answer->node == id &&
                     answer->server_id == lost.server_id;
  if (!is_it) return Try(id);
  if (std::exchange(lost.found, address) != address && address != lost.known)
    LogInfo("broker ", lost.server_id, " is found at ", address, "; the cluster knows it at \"",
            lost.known, "\"");
  peers_->Redirect(id, address);
}

std::vector<std::string> ClusterLookout::Degraded() const {
  BASCULE_CHECK(home_.OnThisThread());
  std::vector<std::string> degraded;
  if (!twin_.empty()) degraded.push_back(twin_);
  if (!other_cluster_.empty()) degraded.push_back(other_cluster_);
  return degraded;
}

void ClusterLookout::OnPeerUp(PeerId id) {
  home_.Post(lifetime_.Guard([this, id] {
    up_.insert(id);
    lost_.erase(id);
  }));
}

void ClusterLookout::OnPeerDown(PeerId id) {
  home_.Post(lifetime_.Guard([this, id] { up_.erase(id); }));
}

}  // namespace bascule::metadata
