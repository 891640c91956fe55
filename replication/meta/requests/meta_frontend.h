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

class RequestSender;
class RequestService;
class StreamRequests;

class MetaFrontend final : public StreamAdmin, public EpochRequests {
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
  // See StreamRequests.
  void SetStreamDefaults(const StreamSettings& defaults);
  // See PlacementBook.
  void SetSilence(std::function<bool(const std::string&)> silent);
  void SetCapacity(std::function<absl::Status(const std::string&, size_t)> capacity);
  // See RequestService.
  void SetClusterRequests(RequestTarget& target);
  // Of PeerService::kMetadata.
  PeerHandler& peer_handler();
  // Called after the frontend itself has heard of the role.
  void AddRoleObserver(absl::AnyInvocable<void(const MetadataRole&)> observer);

  // --- StreamAdmin, EpochRequests: any thread ---
  // Unavailable: there is no leader, surely nothing was changed. DeadlineExceeded: the outcome is
  // unknown.
  void CreateStream(StreamSpec spec, Duration timeout, Done done) override;
  void DeleteStream(std::string name, Duration timeout, Done done) override;
  void UpdateStream(std::string name, StreamOverrides changes, Duration timeout,
                    Done done) override;
  std::vector<BrokerDescription> Brokers() override { return state_.view().Read(); }
  void RequestNewEpoch(PartitionKey key) override;

  // Asks the metadata leader, and waits until its answer is true here. On the metadata thread.
  void Ask(const meta::Request& request, Duration timeout, RequestDone done);

 private:
  struct Settling;

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
  std::unique_ptr<RequestSender> sender_;
  uint32_t feature_level_ = 0;  // streams were bound for
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
