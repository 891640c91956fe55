// Requests that change metadata: taken by any broker, carried out by the metadata leader, answered
// when they are applied here and the brokers concerned have done their part. Public calls from any
// thread; everything else on the metadata thread.
//
//   gRPC thread      metadata thread of B                    metadata thread of the leader L
//   CreateStream ──► RequestSender ── PeerTransport::Call ─► OnPeerCall, StreamRequests::Execute
//                                                            MetadataLog::Propose ...
//                                                            MetaTable::Apply
//                    AppliedWatch  ◄─ {code, text, index} ── answer
//                    Apply up to `index` -> deltas ────────► DeltaSink::OnDelta: open, lead, listen
//                    Settlement, here and (SettledRequest) on the brokers that lead its partitions
//              ◄──── done: all settled, or the deadline: applied is enough
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/ports/stream_admin.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/table/meta_table.h"
#include "replication/metadata_log.h"
#include "replication/ports.h"

namespace bascule {

class AppliedWatch;
class RegistrationRecord;
class RequestSender;
class Settlement;
class StreamRequests;

class MetaFrontend final : public StreamAdmin,
                           public EpochRequests,
                           public MetadataState,
                           public PeerHandler {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  // `peers`: null in a group of one.
  MetaFrontend(Executor& home, Clock& clock, PeerTransport* peers, BrokerSelf self);
  ~MetaFrontend() override;

  // --- start-up, in this order ---
  // `log` was opened with this object as its state. Takes its OnRoleChange.
  void SetLog(MetadataLog& log);
  // See StreamRequests.
  void SetStreamDefaults(const StreamSettings& defaults);
  void SetSilence(std::function<bool(const std::string&)> silent);
  // See StreamRequests::SetCapacity.
  void SetCapacity(std::function<absl::Status(const std::string&, size_t)> capacity);
  // Carries out what is no matter of streams (ClusterControl).
  void SetClusterRequests(RequestTarget& target) { cluster_ = &target; }
  // Called after the frontend itself has heard of the role.
  void AddRoleObserver(absl::AnyInvocable<void(const MetadataRole&)> observer);
  // This process cannot go on: it was replaced, or removed from the cluster.
  void SetFatal(absl::AnyInvocable<void(const absl::Status&)> fatal) { fatal_ = std::move(fatal); }
  // The address that clients are told; before it this broker is not listed by others. Any thread,
  // also after Register.
  void Advertise(std::string host, int32_t port);
  // Takes the broker's partitions over under new epochs (R2a, R2b), then hands every stream to
  // `sink`, and goes on handing over what changes. What `record` owes is told (R6b), and paid before
  // `sink` hears anything. `done`: all streams are settled, or the refusal (another broker has this
  // server id, the data directory is an older copy, ...); it is tried until there is a leader. Fenced
  // later, the broker registers again by itself.
  void Register(DeltaSink& sink, RegistrationRecord& record, Done done);
  // Of the data directory, as heartbeats tell it; 0: not registered, or a group of one.
  uint64_t generation() const { return sink_ == nullptr ? 0 : registration_.generation; }
  const MetaTable& table() const { return table_; }

  // --- StreamAdmin, EpochRequests: any thread ---
  // Unavailable: there is no leader, surely nothing was changed. DeadlineExceeded: the outcome is
  // unknown.
  void CreateStream(StreamSpec spec, Duration timeout, Done done) override;
  void DeleteStream(std::string name, Duration timeout, Done done) override;
  void UpdateStream(std::string name, StreamOverrides changes, Duration timeout,
                    Done done) override;
  std::vector<BrokerDescription> Brokers() override;
  void RequestNewEpoch(PartitionKey key) override;

  // --- MetadataState ---
  absl::Status Apply(MetadataIndex index, std::string_view command) override;
  void ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) override;
  std::string Snapshot() const override { return table_.Snapshot(); }
  bool Grows(std::string_view command) const override { return MetaTable::Grows(command); }
  absl::Status Restore(MetadataIndex index, std::string_view snapshot) override;

  // --- PeerHandler of PeerService::kMetadata: any thread ---
  void OnPeerMessage(const PeerIdentity& from, std::string message) override;
  void OnPeerCall(const PeerIdentity& from, std::string request, Duration timeout,
                  Respond respond) override;
  void OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                  Respond respond) override;

  // Asks the metadata leader, and waits until its answer is true here. On the metadata thread.
  void Ask(const meta::Request& request, Duration timeout, RequestDone done);

 private:
  struct Local;  // the target of requests when this broker leads
  struct Settling;

  void OnRole(const MetadataRole& role);
  void Execute(const meta::Request& request, Duration timeout, RequestDone done);
  void AnswerSettled(const meta::Request& request, Duration timeout, RequestDone done);
  void ChangeStream(const meta::Request& request, const std::string& name, Duration timeout,
                    Done done);
  std::set<std::string> LeadersOf(const StreamDescription* stream) const;
  void SettleEverywhere(StreamId id, const std::set<std::string>& leaders, MetadataIndex index,
                        MonotonicTime deadline, Done done);
  void SettleOn(const std::string& broker, StreamId id, MetadataIndex index, MonotonicTime deadline,
                std::shared_ptr<Settling> settling);
  Duration Left(MonotonicTime deadline) const;

  // Registration (meta_registration.cc).
  absl::Status PrepareRegistration();
  void EndRegistration(const absl::Status& status);
  void SendRegistration();
  void OnRegistered(const RequestOutcome& outcome);
  void RetryRegistration();
  bool NoteOlderCopy(const absl::Status& refused);
  void RaiseGeneration();
  void TryHandOver();
  void CheckSession();
  void HandOver();
  void Deliver(const MetaDelta& delta);
  void AfterChange(const std::vector<MetaDelta>& deltas);
  void RenewView();
  bool RegisteredHere() const;

  Executor& home_;
  Clock& clock_;
  PeerTransport* const peers_;
  const BrokerSelf self_;
  MetadataLog* log_ = nullptr;
  RequestTarget* cluster_ = nullptr;
  absl::AnyInvocable<void(const absl::Status&)> fatal_;
  std::vector<absl::AnyInvocable<void(const MetadataRole&)>> role_observers_;
  MetaTable table_;
  std::unique_ptr<AppliedWatch> applied_;
  std::unique_ptr<Settlement> settlement_;
  std::unique_ptr<StreamRequests> streams_;
  std::unique_ptr<Local> local_;
  std::unique_ptr<RequestSender> sender_;

  DeltaSink* sink_ = nullptr;      // from our registration on (R2b)
  DeltaSink* new_sink_ = nullptr;  // until then
  RegistrationRecord* record_ = nullptr;
  Done registered_;
  BrokerRegistration registration_;
  bool registering_ = false;
  bool paying_ = false;  // a hand-over that could not be paid for is tried again
  bool replaced_ = false;
  absl::Mutex view_mutex_;
  std::shared_ptr<const std::vector<BrokerDescription>> view_
      ABSL_GUARDED_BY(view_mutex_);  // what Brokers() says
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // tasks that outlive us find it gone
};

}  // namespace bascule
