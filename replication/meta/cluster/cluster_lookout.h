// What a member of a cluster (or a group of one) looks out for among the other brokers of its
// namespace: members that it has no connection with, wherever they are now; a second process that
// uses its own server id; another cluster. On the metadata thread, but for what says otherwise.
//
//   bus: who is there?  ─► an answer names a member that we have no connection with, at an address
//                          ─► IntroduceTo(that member, there): who?  ─► it is it: dial it there
//   cluster.join: who?  ─► the same
//   an answer names our own server id, by another process ─► IntroduceTo(ourselves, there): who?
//                          ─► it is: the newer of the two ends
//
// The bus only says where to look. With TLS a member is who has the certificate of its server id;
// without, who says at its peer port that it is this node of this cluster. A member whom we have a
// connection with is never looked for.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "core/env/timer.h"
#include "core/ports/discovery.h"
#include "replication/meta/cluster/cluster_messages.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/peer_transport.h"

namespace bascule::metadata {

struct ClusterLookoutOptions {
  std::string cluster_namespace;
  BrokerSelf self;
  std::string place;                   // this machine and process, for people
  std::vector<std::string> addresses;  // cluster.join
  // At first, and then for a moment each period, it looks for those who should not be there.
  Duration look = std::chrono::seconds(5);
  Duration glance = std::chrono::seconds(1);
  Duration period = std::chrono::seconds(60);
  // Before the group starts: at most so long, or this long after our own answer came round.
  Duration look_before = std::chrono::milliseconds(500);
  Duration grace = std::chrono::milliseconds(100);
};

// Stopped before it is destroyed, unless nothing was begun.
class ClusterLookout {
 public:
  // `peers` null: a group of one. `fatal`: this process must end, and why.
  ClusterLookout(Executor& home, Clock& clock, Discovery& discovery, PeerTransport* peers,
                 ClusterLookoutOptions options, std::function<void(const absl::Status&)> fatal);

  // Whether another process has our server id, before ours does anything under it: AlreadyExists
  // says who and where. `own`: what is answered meanwhile.
  void LookBefore(IntroAnswer own, absl::AnyInvocable<void(absl::Status)> done);
  // Once a second: what others are told, and who the members are.
  void Tick(IntroAnswer own, const std::vector<GroupMember>& members);
  // For good: nothing is asked any more, Tick included.
  void Stop();
  std::vector<std::string> Degraded() const;
  // Where brokers of our cluster may be that our log does not name: configured, or heard of on the bus.
  std::vector<std::string> Addresses() const;

  // Any thread.
  void OnPeerUp(PeerId id);
  void OnPeerDown(PeerId id);

 private:
  struct Lost {
    std::string server_id;
    std::string known;                // where the log says that it is
    std::string found;                // where it was found last
    std::deque<std::string> waiting;  // where else it may be
    std::map<std::string, MonotonicTime> tried;
    size_t asking = 0;
  };
  void Answer(IntroAnswer own);
  void Look();
  void OnAnswer(const IntroAnswer& answer);  // over the bus
  void NoteHeard(const std::string& address);
  void OnOwn();
  void EndBefore();
  void OnTwin(const IntroAnswer& answer);
  void VerifyTwin(const IntroAnswer& heard);
  void Condemn(const IntroAnswer& twin);
  bool IsNewer(const IntroAnswer& other) const;  // we are
  std::string Describe(const IntroAnswer& twin) const;
  void OnOtherCluster(const IntroAnswer& answer);
  void AskConfigured();
  void Suggest(const IntroAnswer& answer);
  void SuggestAt(PeerId id, const std::string& address);
  void Try(PeerId id);
  void Tried(PeerId id, const std::string& address, const absl::StatusOr<std::string>& answer);
  IntroRequest Who() const { return WhoRequest{options_.cluster_namespace}; }
  Duration Uptime() const { return Between(options_.self.began, clock_.Monotonic()); }

  Executor& home_;
  Clock& clock_;
  Discovery& discovery_;
  PeerTransport* const peers_;
  const ClusterLookoutOptions options_;
  const std::function<void(const absl::Status&)> fatal_;
  std::shared_ptr<const IntroAnswer> own_;
  std::deque<std::string> heard_;  // of our cluster, as they say; the newest first
  // What the bus is answered; exchanged whole.
  std::shared_ptr<std::atomic<std::shared_ptr<const IntroAnswer>>> answer_;
  std::unique_ptr<DiscoveryQuery> query_;
  absl::AnyInvocable<void(absl::Status)> before_;  // null: not, or not any more
  bool started_ = false;                           // Tick was called
  MonotonicTime starting_until_;
  MonotonicTime look_until_;
  MonotonicTime looked_;
  std::set<PeerId> up_;
  std::map<PeerId, Lost> lost_;
  std::set<std::string> asking_;  // configured addresses
  bool verifying_ = false;
  std::string twin_;  // a sentence
  MonotonicTime twin_heard_;
  std::string other_cluster_;  // a sentence
  MonotonicTime other_heard_;
  Timer look_before_{home_};  // its end
  Timer grace_{home_};
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
