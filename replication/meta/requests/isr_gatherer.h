// Changes of the ISR that leaders of this broker propose, gathered: one request at a time is on its way to the
// metadata leader, and what comes meanwhile goes together into the next, so that a broker that falls out of
// thousands of partitions costs a few commits. On the metadata thread.
//
//   Add, Add, Add ─► (one turn later) Ask: AlterIsr of all of them ─► answer, applied here ─► each `ended`
//   Add, Add      ─►      wait                                     ─► Ask: AlterIsr of these
#pragma once

#include <deque>
#include <vector>

#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/ports.h"

namespace bascule::metadata {

class IsrGatherer {
 public:
  // Asks the metadata leader, and calls back when its answer is true here, or time is up.
  using Ask = absl::AnyInvocable<void(const meta::Request& request, RequestDone done)>;

  IsrGatherer(Executor& home, Ask ask) : home_(home), ask_(std::move(ask)) {}

  // `ended` as IsrRequests says.
  void Add(PartitionKey key, const isr::IsrProposal& proposal, absl::AnyInvocable<void()> ended);

 private:
  struct Waiting {
    meta::AlterIsr::Change change;
    absl::AnyInvocable<void()> ended;
  };

  void SendSoon();
  void Send();
  void OnAnswer(const RequestOutcome& outcome);

  Executor& home_;
  Ask ask_;
  bool busy_ = false;  // a request is under way, or about to be
  std::deque<Waiting> waiting_;
  std::vector<absl::AnyInvocable<void()>> asked_;  // of the request that is under way
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
