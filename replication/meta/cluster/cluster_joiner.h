// A broker whose data directory belongs to no cluster yet finds out which one it is to be part of:
// an existing one, which it joins, or a new one, which it starts. On the metadata thread, but for
// what says otherwise.
//
//   every 250 ms   Introduce(who) to the addresses that are configured, to those that brokers of
//                  the cluster named, and last, a few at a time, to what was heard over the bus
//   a peer names a cluster ─► noted durably: from now on this broker joins that one or none
//   a member answers       ─► Introduce(join) to its leader and through it, in turn, until the
//                             cluster takes us or refuses for good
//   nobody has one for 2 s ─► seed: start one, if the bus could be asked; of a peer list the smallest
//                             id does, once a majority of the list (itself included) waits and
//                             knows of none
//
// An emptied disk comes this way too: it asks before it starts anything, so an emptied seed joins
// the cluster that it once started. What is heard over the bus only says where to ask: who is there
// is what the peer port says (with TLS: a broker with a certificate of the cluster's authority).
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "core/env/timer.h"
#include "replication/meta/cluster/cluster_hearsay.h"
#include "replication/meta/cluster/cluster_messages.h"
#include "replication/meta/cluster/cluster_note.h"
#include "replication/peer_transport.h"

namespace bascule::metadata {

struct ClusterJoinerOptions {
  std::string cluster_namespace;
  std::string server_id;
  PeerId node;          // fresh: it is ours once we have joined or started
  std::string address;  // of our peer port, as others reach it
  uint32_t feature_level = 0;
  bool seed = false;
  std::set<std::string> peers;         // server ids that start together; ours among them, or empty
  std::vector<std::string> addresses;  // configured: whom to ask
  std::optional<KnownCluster> known;   // what an earlier start noted
  // Notes durably that a peer has named a cluster. Null: there is nothing to note it in.
  std::function<absl::Status(const KnownCluster&)> note;
  std::string note_file;  // where that is
  // This directory was a member before, and is an older copy: the cluster has to take its vote away first.
  bool older_copy = false;
  // Whether the question went out on the bus. Null: there is no bus.
  std::function<bool()> bus_asked;
  Duration quiet = std::chrono::seconds(2);              // nobody answered: the seed starts
  Duration refusal_patience = std::chrono::seconds(10);  // our server id may be about to be free
};

struct JoinOutcome {
  bool start_new = false;  // nobody has a cluster: this broker starts one
  std::string cluster_id;  // of the cluster that took us
  std::vector<GroupMember> members;
};

class ClusterJoiner {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<JoinOutcome>)>;
  ClusterJoiner(Executor& home, Clock& clock, PeerTransport& peers, ClusterJoinerOptions options);

  // `done` once: the outcome, or why the cluster will not have us (AlreadyExists: another broker
  // lives under our server id, ...).
  void Start(Done done);
  // Nothing is asked, answered or noted any more, and nothing comes of what was asked. On the metadata
  // thread.
  void Stop();

  // Any thread. What others ask of us meanwhile: we wait; an invitation tells us whom to ask.
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond);
  // Any thread. An answer to the same question over the bus; ours are ignored.
  void OnDiscovered(std::string_view answer);
  // Any thread. What we answer to that question.
  std::string Answer() const;
  // The question.
  std::string Question() const;

 private:
  enum class Source : uint8_t { kConfigured, kTold, kHeard };
  struct Asked {
    Source source = Source::kConfigured;
    bool asking = false;
    MonotonicTime heard;  // last answer; 0 = never
    IntroAnswer answer;
  };
  void Round();
  void AskInTurn(Source source, size_t most);
  void AskHeard();
  void AskWho(const std::string& address, Source source);
  void Take(const std::string& address, Source source, const IntroAnswer& answer);
  // Another broker of the cluster says that one is there.
  void Tell(const std::string& address);
  // A peer names a cluster. False: it is not the one that this broker is to join, or cannot be
  // noted.
  bool Know(const std::string& cluster_id, const std::string& named_by);
  std::string Forget() const;
  void Invited(const InviteRequest& invite, PeerHandler::Respond respond);
  void Join(const std::string& address);
  void OnJoinAnswer(const std::string& address, const absl::StatusOr<std::string>& answer);
  void Finish(absl::StatusOr<JoinOutcome> outcome);
  bool MayStart();
  bool IsFresh(const Asked& asked) const;
  void SayWhatIsMissing();
  void SayIfVoteIsNeeded(const IntroAnswer& answer);
  std::set<std::string> Addresses() const;
  size_t& Asking(Source source) { return asking_[static_cast<size_t>(source)]; }

  Executor& home_;
  Clock& clock_;
  PeerTransport& peers_;
  const ClusterJoinerOptions options_;
  Done done_;
  std::map<std::string, Asked> asked_;  // by address; configured or told
  ClusterHearsay hearsay_;
  std::array<size_t, 3> asking_{};      // questions under way, by source
  std::map<Source, std::string> turn_;  // the address that was asked last
  std::optional<KnownCluster> known_;
  std::atomic<std::shared_ptr<const std::string>> known_id_;  // the same for Answer
  std::string other_cluster_;                                 // that was warned of
  bool joining_ = false;
  bool said_vote_ = false;  // that nobody can take our vote of before away
  uint64_t joins_ = 0;
  MonotonicTime quiet_since_;  // nobody could have answered before
  MonotonicTime said_;
  MonotonicTime refused_since_;  // 0 = not refused
  Timer rounds_{home_};
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
