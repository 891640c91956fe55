// What a member of the metadata group does while it runs: once a second, and when others knock.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/broker/metadata_node.h"

namespace bascule::broker {
namespace {

constexpr std::chrono::seconds kRefreshPeriod{1};

}  // namespace

// The cluster dials this broker where it was before: after its configuration changed, or because it
// was alone when it was made. The leader writes the new address down; where no leader is heard of,
// for nobody reaches us, any member passes it on. Said again until it is so.
void MetadataNode::TellAddress() {
  if (!peers_) return;
  const std::vector<GroupMember> members = group_->members();
  const auto self = std::find_if(members.begin(), members.end(),
                                 [this](const GroupMember& m) { return m.id == self_.node; });
  if (self == members.end() || self->address == self_.peer_address) return;
  if (!std::exchange(told_address_, true))
    LogInfo("the cluster dials this broker at \"", self->address, "\"; it is told ",
            self_.peer_address);
  metadata::JoinRequest join;
  join.cluster_namespace = options_.config.cluster_namespace;
  join.cluster_id = cluster_id_;
  join.server_id = self_.id;
  join.node = self_.node;
  join.address = self_.peer_address;
  join.feature_level = metadata::kFeatureLevel;
  const std::string request = metadata::EncodeIntroRequest(join);
  const auto answered = [](const absl::StatusOr<std::string>& answer) {
    if (!answer.ok()) LogWarning("the new peer address: ", FromAbsl(answer.status().message()));
  };
  if (group_->role().leader != PeerId())
    return control_->OnIntroduction(self_.id, request, kRefreshPeriod, answered);
  for (const GroupMember& member : members) {
    if (member.id != self_.node)
      peers_->Introduce(member.address, request, kRefreshPeriod, answered);
  }
}

// What the leader is told with each heartbeat.
std::string MetadataNode::Trouble() const {
  if (std::string why = group_->degraded(); !why.empty()) return why;
  if (!disk_full_ || !disk_full_()) return "";
  return Concat("the disk of ", directory_.path(),
                " is full up to disk.reserve, publishes to it are refused; make room, or lower the "
                "retention of streams");
}

// On the metadata thread: after each change of the role, and once a second.
void MetadataNode::Refresh() {
  TellAddress();
  lookout_->Tick(control_->Answer(), group_->members());
  const std::string past = peers_ && group_->Status().stalled ? group_->degraded() : "";
  if (past != past_) {
    past_ = past;
    say_past_(past_);
  }
  std::vector<std::string> degraded;
  if (!group_->degraded().empty()) degraded.push_back(group_->degraded());
  if (group_->role().leader == PeerId())
    degraded.push_back("no metadata leader is known: streams can be neither made nor changed");
  for (std::string& sentence : lookout_->Degraded()) degraded.push_back(std::move(sentence));
  if (peers_) {
    for (std::string& sentence : peers_->Degraded()) degraded.push_back(std::move(sentence));
  }
  if (options_.config.cluster.insecure)
    degraded.push_back("cluster.insecure: brokers talk to each other in plain text, unchecked");
  degraded_.store(std::make_shared<const std::vector<std::string>>(std::move(degraded)));
}

void MetadataNode::KeepFresh() {
  const auto refresh = [this] {
    Refresh();
    AskWhoIsThere();
  };
  refresh();
  fresh_.Repeat(kRefreshPeriod, refresh);
}

void MetadataNode::AskWhoIsThere() {
  if (!peers_ || !removal_->Tick(group_->role().leader != PeerId())) return;
  std::set<std::string> addresses;
  for (const GroupMember& member : group_->members()) addresses.insert(member.address);
  for (const std::string& address : lookout_->Addresses()) addresses.insert(address);
  addresses.erase(self_.peer_address);
  for (const std::string& address : addresses) {
    peers_->Introduce(
        address,
        metadata::EncodeIntroRequest(metadata::WhoRequest{options_.config.cluster_namespace}),
        kRefreshPeriod, lifetime_.Bind([this](const absl::StatusOr<std::string>& bytes) {
          if (!bytes.ok()) return;
          if (const auto answer = metadata::DecodeIntroAnswer(*bytes); answer.ok())
            OnWhoIsThere(*answer);
        }));
  }
}

void MetadataNode::OnWhoIsThere(const metadata::IntroAnswer& answer) {
  // Who joined while this broker was away may lead by now. What comes from it is refused here until the log
  // tells of it, and the log comes from the leader.
  if (answer.cluster_id == cluster_id_ && group_->role().leader == PeerId()) {
    for (const GroupMember& member : answer.members) group_->Expect(member);
  }
  if (!removal_->OnAnswer(answer, group_->role().leader != PeerId())) return;
  LogError("broker ", answer.server_id, ", which leads the cluster ", cluster_id_,
           ", says that this broker is no member any more: it was removed; to join again move ",
           meta_, " away and start it");
  seams_.fatal();
}

std::vector<std::string> MetadataNode::Degraded() const {
  const auto degraded = degraded_.load();
  return degraded ? *degraded : std::vector<std::string>();
}

std::map<std::string, uint64_t> MetadataNode::ReadCounters() const {
  return peers_ ? peers_->ReadCounters() : std::map<std::string, uint64_t>();
}

// The transport logs both.
void MetadataNode::OnPeerUp(const PeerIdentity& peer) {
  lookout_->OnPeerUp(peer.id);
  seams_.home.Post(lifetime_.Guard([this, peer] {
    if (leader_work_) return leader_work_->OnPeerUp(peer);
    early_peers_.insert_or_assign(peer.id, peer);
  }));
}

void MetadataNode::OnPeerDown(const PeerIdentity& peer) {
  lookout_->OnPeerDown(peer.id);
  seams_.home.Post(lifetime_.Guard([this, peer] {
    early_peers_.erase(peer.id);
    if (leader_work_) leader_work_->OnPeerDown(peer);
  }));
}

void MetadataNode::OnIntroduction(const std::string& server_id, std::string request,
                                  Duration timeout, PeerHandler::Respond respond) {
  seams_.home.Post(lifetime_.Guard([this, server_id, request = std::move(request), timeout,
                                    waiting = WaitingRequest(std::move(respond))]() mutable {
    if (control_)
      return control_->OnIntroduction(server_id, std::move(request), timeout, waiting.Begin());
    if (join_)
      return join_->OnIntroduction(server_id, std::move(request), timeout, waiting.Begin());
    if (early_.size() >= limits::kPeerIntroductions)
      return waiting.Begin()(absl::UnavailableError("the broker is starting"));
    early_.push_back([this, server_id, request = std::move(request), timeout,
                      waiting = std::move(waiting)]() mutable {
      OnIntroduction(server_id, std::move(request), timeout, waiting.Begin());
    });
  }));
}

// An invitation may come as soon as the peer port is open.
void MetadataNode::AnswerEarly() {
  for (Task& task : std::exchange(early_, {})) task();
}

}  // namespace bascule::broker
