// A broker whose data directory belongs to no cluster yet finds out which one it is to be part of:
// an existing one, which it joins, or a new one, which it starts. On the metadata thread, but for
// what says otherwise.
//
//   every 250 ms              Introduce(who) to every address that is known: configured, heard of
//                             over the bus, named by an invitation
//   a cluster answers      ─► Introduce(join) to its leader, until it takes us or refuses for good
//   nobody has one for 2 s ─► seed: start one; of a peer list the smallest id does, once a majority
//                             of the list (itself included) waits and knows of none
//
// An emptied disk comes this way too: it asks before it starts anything, so an emptied seed joins
// the cluster that it once started.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "replication/meta/cluster_messages.h"
#include "replication/peer_transport.h"

namespace bascule {

struct ClusterJoinerOptions {
  std::string cluster_namespace;
  std::string server_id;
  PeerId node;          // fresh: it is ours once we have joined or started
  std::string address;  // of our peer port, as others reach it
  uint32_t feature_level = 0;
  bool seed = false;
  std::set<std::string> peers;         // server ids that start together; ours among them, or empty
  std::vector<std::string> addresses;  // configured: whom to ask
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
  ~ClusterJoiner();

  // `done` once: the outcome, or why the cluster will not have us (AlreadyExists: another broker
  // lives under our server id, ...).
  void Start(Done done);

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
  struct Asked {
    bool asking = false;
    MonotonicTime heard;  // last answer; 0 = never
    IntroAnswer answer;
  };
  void Round();
  void AskWho(const std::string& address);
  void Take(const std::string& address, const IntroAnswer& answer);
  void Join(const std::string& address);
  void OnJoinAnswer(const std::string& address, const absl::StatusOr<std::string>& answer);
  void Finish(absl::StatusOr<JoinOutcome> outcome);
  bool MayStart();
  void SayWhatIsMissing();
  void Consider(const std::string& address);

  Executor& home_;
  Clock& clock_;
  PeerTransport& peers_;
  const ClusterJoinerOptions options_;
  Done done_;
  std::map<std::string, Asked> asked_;  // by address
  bool joining_ = false;
  MonotonicTime began_;
  MonotonicTime said_;
  MonotonicTime refused_since_;  // 0 = not refused
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace bascule
