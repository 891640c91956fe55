// This broker's requests that change metadata: carried out by the metadata leader, answered when they are
// applied here and the brokers concerned have done their part. Public calls from any thread; everything else
// on the metadata thread.
//
//   gRPC thread      metadata thread of B                    metadata thread of the leader L
//   CreateStream ──► RequestSender ── PeerTransport::Call ─► RequestService, StreamRequests
//                                                            MetadataLog::Propose ...
//                                                            AppliedMetadata::Apply
//                    WhenApplied   ◄─ {code, text, index} ── answer
//                    AppliedMetadata::Apply up to it ──────► DeltaSink::OnDelta: open, lead, listen
//                    Settlement, here and (SettledRequest) on the brokers that lead its partitions
//              ◄──── done: all settled, or the deadline: applied is enough
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "core/ports/stream_admin.h"
#include "replication/meta/requests/applied_metadata.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/metadata_log.h"
#include "replication/ports.h"

namespace bascule::metadata {

class IsrGatherer;
class RequestSender;
class RequestService;
class StreamRequests;

class MetaFrontend final : public StreamAdmin, public EpochRequests, public IsrRequests {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  // `peers`: null in a group of one.
  MetaFrontend(Executor& home, Clock& clock, PeerTransport* peers, BrokerSelf self);
  ~MetaFrontend() override;

  // --- start-up, in this order ---
  // What the log is applied to.
  AppliedMetadata& state() { return state_; }
  const MetaTable& table() const { return state_.table(); }
  // `log` was opened with state(). Takes its OnRoleChange.
  void SetLog(MetadataLog& log);
  // See StreamRequests. `replication_factor`: of streams that leave it open; 0 = automatic.
  void SetStreamDefaults(const StreamSettings& defaults, int32_t replication_factor = 0);
  // See PlacementBook.
  void SetSilence(std::function<bool(const std::string&)> silent);
  void SetCapacity(std::function<absl::Status(const std::string&, size_t)> capacity);
  // See RequestService.
  void SetClusterRequests(RequestTarget& target);
  // Of PeerService::kMetadata.
  PeerHandler& peer_handler();
  // Called after the frontend itself has heard of the role.
  void AddRoleObserver(absl::AnyInvocable<void(const MetadataRole&)> observer);

  // --- StreamAdmin, EpochRequests, IsrRequests: any thread ---
  // Unavailable: there is no leader, surely nothing was changed. DeadlineExceeded: the outcome is
  // unknown.
  void CreateStream(StreamSpec spec, Duration timeout, Done done) override;
  void DeleteStream(std::string name, Duration timeout, Done done) override;
  void UpdateStream(std::string name, StreamOverrides changes, Duration timeout,
                    Done done) override;
  std::vector<BrokerDescription> Brokers() override { return state_.view().Read(); }
  void RequestNewEpoch(PartitionKey key) override;
  void RequestSuccessor(PartitionKey key, LeaderEpoch epoch) override;
  // Before feature level kReplicasLevel nothing is asked. It is not asked again; as it may be
  // refused at once, the leader proposes again at a later tick, not from `ended`.
  void RequestIsrChange(PartitionKey key, isr::IsrProposal proposal,
                        absl::AnyInvocable<void()> ended) override;

  // --- for the broker itself: any thread; `done` on the metadata thread, applied here if OK ---
  // Gives the partition, led in `epoch`, to `to` (R7a). FailedPrecondition: another epoch, or it may
  // not lead now; the cluster's feature level.
  void MoveLeader(PartitionKey key, LeaderEpoch epoch, std::string to, Duration timeout, Done done);
  // Fences this process, at an orderly stop: all that it leads moves in one command. Only for
  // BrokerRegistrar::Retire; otherwise the registrar would register it again.
  void FenceSelf(Duration timeout, Done done);

  // Asks the metadata leader, and waits until its answer is true here. On the metadata thread.
  void Ask(const meta::Request& request, Duration timeout, RequestDone done);

 private:
  struct Settling;

  void AskSoon(meta::Request request, Duration timeout, Done done);
  void OnRole(const MetadataRole& role);
  void OnChange();
  void ChangeStream(const meta::Request& request, const std::string& name, Duration timeout,
                    Done done);
  std::set<std::string> LeadersOf(const StreamDescription* stream) const;
  void SettleEverywhere(StreamId id, const std::set<std::string>& leaders, MetadataIndex index,
                        MonotonicTime deadline, Done done);
  void SettleOn(const std::string& broker, StreamId id, MetadataIndex index, MonotonicTime deadline,
                std::shared_ptr<Settling> settling);
  Duration Left(MonotonicTime deadline) const;

  Executor& home_;
  Clock& clock_;
  PeerTransport* const peers_;
  const BrokerSelf self_;
  AppliedMetadata state_;
  std::vector<absl::AnyInvocable<void(const MetadataRole&)>> role_observers_;
  std::unique_ptr<StreamRequests> streams_;
  std::unique_ptr<RequestService> service_;
  std::set<PartitionKey> yielding_;  // a successor is asked for, unanswered
  std::unique_ptr<RequestSender> sender_;
  std::unique_ptr<IsrGatherer> isr_changes_;
  uint32_t feature_level_ = 0;  // streams were bound for
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
