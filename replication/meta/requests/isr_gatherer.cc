#include "replication/meta/requests/isr_gatherer.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {
namespace {

// Of the request around the changes: names, numbers, tags.
constexpr size_t kRequestOverhead = limits::kPeerNameBytes + 128;
// Of one change within it: tag and length.
constexpr size_t kChangeOverhead = 8;

meta::AlterIsr::Change ChangeOf(PartitionKey key, const isr::IsrProposal& proposal) {
  meta::AlterIsr::Change change;
  ToProto(key, *change.mutable_partition());
  change.set_leader_epoch(proposal.epoch.value());
  change.set_version(proposal.version);
  for (const isr::IsrProposal::Member& member : proposal.isr) {
    meta::AlterIsr::Member& out = *change.add_isr();
    out.set_broker(member.broker);
    out.set_incarnation(member.incarnation);
    out.set_verified(std::find(proposal.verified.begin(), proposal.verified.end(), member.broker) !=
                     proposal.verified.end());
  }
  return change;
}

}  // namespace

void IsrGatherer::Add(PartitionKey key, const isr::IsrProposal& proposal,
                      absl::AnyInvocable<void()> ended) {
  BASCULE_CHECK(home_.OnThisThread());
  waiting_.push_back({ChangeOf(key, proposal), std::move(ended)});
  SendSoon();
}

// A turn later: what other shards have posted by now is in front of it.
void IsrGatherer::SendSoon() {
  if (std::exchange(busy_, true)) return;
  home_.Post(lifetime_.Guard([this] { Send(); }));
}

void IsrGatherer::Send() {
  meta::Request request;
  size_t bytes = kRequestOverhead;
  while (!waiting_.empty() && asked_.size() < limits::kIsrChangesPerRequest) {
    bytes += waiting_.front().change.ByteSizeLong() + kChangeOverhead;
    if (bytes > limits::kMetaRequestBytes && !asked_.empty()) break;
    *request.mutable_alter_isr()->add_changes() = std::move(waiting_.front().change);
    asked_.push_back(std::move(waiting_.front().ended));
    waiting_.pop_front();
  }
  ask_(request, lifetime_.Guard([this](const RequestOutcome& outcome) { OnAnswer(outcome); }));
}

void IsrGatherer::OnAnswer(const RequestOutcome& outcome) {
  // That some were out of date is usual, and their leaders hear by delta of what is newer.
  if (!outcome.status.ok() && !absl::IsFailedPrecondition(outcome.status)) {
    LogWarning("changes of in-sync replicas of ", asked_.size(),
               " partitions: ", FromAbsl(outcome.status.message()), "; their leaders ask again");
  }
  busy_ = false;
  std::vector<absl::AnyInvocable<void()>> ended = std::exchange(asked_, {});
  if (!waiting_.empty()) SendSoon();
  for (auto& end : ended) end();
}

}  // namespace bascule::metadata
