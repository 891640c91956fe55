// A broker's requests on their way to the metadata leader, whoever that is at the time: asked
// again, with the same sequence, until there is an answer or time is up. On the metadata thread.
//
//   Send ─► Try ─ leading here: RequestTarget::Execute
//               ─ a leader is known: PeerTransport::Call
//               ─ nobody: waits for OnRoleChange
//   an answer: done · Unavailable, Unknown, a new leader: Try again · the deadline: what is known
//
// The time of one attempt is bounded, since the network may lose it; the leader knows a repeated
// request by its sequence.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/metadata_log.h"

namespace bascule::metadata {

class RequestSender {
 public:
  // `local`: carries requests out when this broker leads.
  RequestSender(Executor& home, Clock& clock, PeerTransport* peers, BrokerSelf self,
                RequestTarget& local);
  void SetLog(MetadataLog& log);

  // A request that changes something gets a sequence; it is carried out once, however often it is
  // asked. `done` once.
  void Send(meta::Request request, Duration timeout, RequestDone done);
  void OnRoleChange(const MetadataRole& role);

 private:
  struct Waiting {
    meta::Request request;
    MonotonicTime asked_at;
    MonotonicTime deadline;
    RequestDone done;
    uint64_t attempt = 0;     // answers of earlier ones count too; their failures do not
    bool under_way = false;   // this attempt is not answered yet
    bool maybe_done = false;  // some attempt may have been carried out
    MetadataRole asked;       // whom this attempt asks
    Duration backoff{0};
    absl::Status last;
  };
  using Key = uint64_t;

  void Try(Key key);
  void OnAnswer(Key key, uint64_t attempt, RequestOutcome outcome);
  void RetryLater(Key key);
  void Expire(Key key);
  void Finish(Key key, RequestOutcome outcome);
  absl::Status Expired(const Waiting& waiting) const;
  void ArmDeadline(Key key, Duration timeout);

  Executor& home_;
  Clock& clock_;
  PeerTransport* const peers_;
  const BrokerSelf self_;
  RequestTarget& local_;
  MetadataLog* log_ = nullptr;
  std::map<Key, Waiting> waiting_;
  Key next_key_ = 0;
  uint64_t next_sequence_ = 1;
  std::set<uint64_t> unanswered_;  // sequences
  bool led_ = false;               // by the last role that it was told
  MonotonicTime leaderless_since_;
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
