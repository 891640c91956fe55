#include "replication/meta/cluster/broker_registrar.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "replication/meta/requests/requests.pb.h"

namespace bascule::metadata {
namespace {

constexpr std::chrono::seconds kRegistrationTimeout{5};
constexpr std::chrono::milliseconds kRegistrationRetryPeriod{500};
constexpr std::chrono::seconds kLeaveTimeout{5};
constexpr int kLeaveAttempts = 20;
constexpr int kAttemptsOfOneTimeout = 5;

}  // namespace

BrokerRegistrar::BrokerRegistrar(Executor& home, MetaFrontend& frontend, BrokerSelf self,
                                 bool alone)
    : home_(home), frontend_(frontend), self_(std::move(self)), alone_(alone) {
  registration_.id = self_.id;
  registration_.node = self_.node;
  registration_.incarnation = self_.incarnation;
  registration_.peer_address = self_.peer_address;
  registration_.rack = self_.rack;
  frontend_.state().AddObserver(lifetime_.Guard([this] { OnChange(); }));
}

void BrokerRegistrar::OnChange() {
  if (new_sink_ != nullptr && RegisteredHere()) TryHandOver();
  CheckSession();
}

void BrokerRegistrar::Advertise(std::string host, int32_t port) {
  home_.Post(lifetime_.Guard([this, host = std::move(host), port]() mutable {
    registration_.host = host;
    registration_.port = port;
    frontend_.state().view().Advertise(std::move(host), port);
    CheckSession();
  }));
}

void BrokerRegistrar::Register(DeltaSink& sink, RegistrationRecord& record, Done done) {
  BASCULE_CHECK(home_.OnThisThread());
  new_sink_ = &sink;
  record_ = &record;
  registered_ = std::move(done);
  if (record_->told_by() != 0) return AskWhetherTold();
  BeginRegistration();
}

void BrokerRegistrar::Stop() {
  BASCULE_CHECK(home_.OnThisThread());
  new_sink_ = nullptr;
  registered_ = nullptr;
  lifetime_.End();
}

void BrokerRegistrar::Retire(Duration timeout, Done done) {
  BASCULE_CHECK(home_.OnThisThread());
  BASCULE_CHECK(!retired_);
  retired_ = true;
  fencing_ = true;
  frontend_.FenceSelf(
      timeout, lifetime_.Guard([this, done = std::move(done)](const absl::Status& fenced) mutable {
        fencing_ = false;
        done(fenced);
        StayFenced();
      }));
}

// A registration that was on its way may be carried out after the fencing.
void BrokerRegistrar::StayFenced() {
  if (fencing_ || registering_ || !RegisteredHere()) return;
  fencing_ = true;
  frontend_.FenceSelf(kRegistrationTimeout, lifetime_.Guard([this](const absl::Status& fenced) {
    fencing_ = false;
    if (fenced.ok()) return StayFenced();
    LogWarning("broker ", self_.id, " is not fenced: ", FromAbsl(fenced.message()));
    home_.After(kRegistrationRetryPeriod, lifetime_.Guard([this] { StayFenced(); }));
  }));
}

// An earlier process was about to tell what is owed, and ended before it noted that the group has it. Told once
// more, it would take from this broker what it was given since, of which nothing can be lost.
void BrokerRegistrar::AskWhetherTold() {
  log_->ReadBarrier(lifetime_.Guard([this](const absl::Status& passed) {
    if (!passed.ok()) {
      return home_.After(kRegistrationRetryPeriod, lifetime_.Guard([this] { AskWhetherTold(); }));
    }
    if (WasTold()) {
      if (const absl::Status paid = record_->Paid(); !paid.ok()) return EndRegistration(paid);
      LogInfo("broker ", self_.id,
              ": what its data directory owed the cluster was told by the process before this one");
    }
    BeginRegistration();
  }));
}

bool BrokerRegistrar::WasTold() const {
  const RegisteredBroker* known = frontend_.table().FindBroker(self_.id);
  return known != nullptr && known->node == self_.node && known->incarnation == record_->told_by();
}

void BrokerRegistrar::BeginRegistration() {
  if (absl::Status prepared = PrepareRegistration(); !prepared.ok())
    return EndRegistration(prepared);
  SendRegistration();
}

// The generation is on the disk before anybody hears of it. A group of one names none: what it would
// be compared with lies in the same directory.
absl::Status BrokerRegistrar::PrepareRegistration() {
  RETURN_IF_ERROR(record_->Raise(Positions()));
  RETURN_IF_ERROR(record_->Telling(self_.incarnation));
  registration_.generation = alone_ ? 0 : record_->generation();
  registration_.lost_all = record_->owes_all();
  registration_.kept_all = !record_->owes_all();
  registration_.lost = record_->owed();
  return absl::OkStatus();
}

void BrokerRegistrar::EndRegistration(const absl::Status& status) {
  new_sink_ = nullptr;
  if (registered_) std::exchange(registered_, nullptr)(status);
}

bool BrokerRegistrar::RegisteredHere() const {
  const RegisteredBroker* known = frontend_.table().FindBroker(self_.id);
  return known != nullptr && known->incarnation == self_.incarnation && !known->fenced;
}

bool BrokerRegistrar::IsFencedHere() const {
  const RegisteredBroker* known = frontend_.table().FindBroker(self_.id);
  return new_sink_ != nullptr && !registering_ && known != nullptr &&
         known->incarnation == self_.incarnation && known->fenced;
}

void BrokerRegistrar::SendRegistration() {
  if (registering_ || replaced_ || retired_) return;
  registering_ = true;
  meta::Request request;
  ToProto(registration_, *request.mutable_register_broker());
  frontend_.Ask(request, kRegistrationTimeout,
                lifetime_.Guard([this](const RequestOutcome& outcome) { OnRegistered(outcome); }));
}

void BrokerRegistrar::OnRegistered(const RequestOutcome& outcome) {
  registering_ = false;
  if (outcome.status.ok()) return CheckSession();
  const absl::StatusCode code = outcome.status.code();
  const bool refused =
      code == absl::StatusCode::kAlreadyExists || code == absl::StatusCode::kFailedPrecondition ||
      code == absl::StatusCode::kPermissionDenied || code == absl::StatusCode::kInvalidArgument;
  LogWarning("broker ", self_.id, " is not registered: ", FromAbsl(outcome.status.message()));
  if (refused && !handed_over() && registered_) return EndRegistration(outcome.status);
  if (code == absl::StatusCode::kOutOfRange && NoteOlderCopy(outcome.status)) return;
  RetryRegistration();
}

void BrokerRegistrar::RetryRegistration() {
  home_.After(kRegistrationRetryPeriod, lifetime_.Guard([this] {
    if (new_sink_ != nullptr) return SendRegistration();
    CheckSession();
  }));
}

// False: not clear yet, ask again. That it is a copy is durable here before this process ends: the
// next one owes all records, and gives up the old part in the group, whose votes it has forgotten.
bool BrokerRegistrar::NoteOlderCopy(const absl::Status& refused) {
  const RegisteredBroker* known = frontend_.table().FindBroker(self_.id);
  const bool seen = known != nullptr && known->generation >= registration_.generation;
  if (new_sink_ == nullptr || !seen) return false;
  if (absl::Status noted = record_->NoteOlder(known->generation, /*rejoin=*/true); !noted.ok()) {
    LogError(FromAbsl(noted.message()));
    return false;
  }
  LogError(
      FromAbsl(refused.message()),
      " (restored from a backup or a snapshot?). What it holds counts as lost and is not led "
      "again. Started again, this broker joins as a new member; a stream whose only replica "
      "stood here stays without a leader until it is deleted and created anew. To read what the "
      "directory holds make a copy of it a cluster of its own (basculed --recover-quorum) and "
      "start that away from this one's NATS");
  LeaveGroup(absl::DataLossError(refused.message()), 1);
  return true;
}

// The vote that this directory has forgotten things of is given up while this process lives: of two voters both
// are needed for that, and who ends first leaves a group that can never change again.
void BrokerRegistrar::LeaveGroup(const absl::Status& why, int attempt) {
  registering_ = true;  // nothing else is asked
  meta::Request request;
  request.mutable_remove_member()->set_server_id(self_.id);
  request.mutable_remove_member()->set_force(true);
  frontend_.Ask(
      request, kLeaveTimeout, lifetime_.Guard([this, why, attempt](const RequestOutcome& outcome) {
        if (outcome.status.ok() || absl::IsNotFound(outcome.status)) return EndRegistration(why);
        LogWarning("giving up the vote of this older copy: ", FromAbsl(outcome.status.message()));
        // Another change is under way, the process before this one counts as alive, too few others
        // live: said at once. Nobody leads, the leader has no room: said when time is up.
        const absl::StatusCode code = outcome.status.code();
        const bool refused = code == absl::StatusCode::kFailedPrecondition;
        const bool may_pass = refused || code == absl::StatusCode::kUnavailable ||
                              code == absl::StatusCode::kUnknown ||
                              code == absl::StatusCode::kDeadlineExceeded;
        const int next = attempt + (refused ? 1 : kAttemptsOfOneTimeout);
        if (!may_pass || next > kLeaveAttempts) return EndRegistration(why);
        home_.After(kRegistrationRetryPeriod,
                    lifetime_.Guard([this, why, next] { LeaveGroup(why, next); }));
      }));
}

// What is owed is paid on the disk first: from the hand-over on records are written, and those are not
// lost.
void BrokerRegistrar::TryHandOver() {
  if (paying_) return;
  const bool owed = record_->owes_all() || !record_->owed().empty();
  if (const absl::Status paid = record_->Paid(); !paid.ok()) {
    LogWarning("broker ", self_.id,
               " is registered and cannot note it: ", FromAbsl(paid.message()));
    paying_ = true;
    return home_.After(kRegistrationRetryPeriod, lifetime_.Guard([this] {
      paying_ = false;
      OnChange();
    }));
  }
  const int32_t replicas = frontend_.table().LoadOf(self_.id).partitions;
  if (owed && replicas > 0) {
    LogWarning("broker ", self_.id, " told the cluster that its data directory lost ",
               registration_.lost_all ? Concat("all of its ", replicas)
                                      : Concat(registration_.lost.size(), " of its ", replicas),
               " replicas: where no other replica is there is no leader");
  }
  HandOver();
  KeepRecord();
}

// Goes on for as long as this process lives. A disk that cannot write makes the directory older than
// it is said to be nowhere: it is said only what is durable.
void BrokerRegistrar::KeepRecord() {
  home_.After(limits::kPositionsPeriod, lifetime_.Guard([this] {
    constexpr auto kTurns = limits::kGenerationPeriod / limits::kPositionsPeriod;
    const bool raise = !alone_ && ++record_turns_ % kTurns == 0;
    const absl::Status kept =
        raise ? record_->Raise(Positions()) : record_->NotePositions(Positions());
    if (!kept.ok()) {
      LogWarning("the data directory's record: ", FromAbsl(kept.message()));
    } else if (raise) {
      registration_.generation = record_->generation();
    }
    KeepRecord();
  }));
}

void BrokerRegistrar::HandOver() {
  DeltaSink& sink = *std::exchange(new_sink_, nullptr);
  // What was lost is told once: what is written from now on is not lost.
  registration_.lost_all = false;
  registration_.kept_all = true;
  registration_.lost.clear();
  frontend_.state().HandOver(sink);
  frontend_.state().settlement().WhenAllSettled(lifetime_.Guard([this] {
    if (!registered_) return;
    std::exchange(registered_, nullptr)(absl::OkStatus());
  }));
}

// Once registered a broker stays so: fenced (its heartbeats did not arrive), it registers again,
// and with a new address too. Replaced or removed, it must end.
void BrokerRegistrar::CheckSession() {
  if (retired_) return StayFenced();
  if (!handed_over() && IsFencedHere())
    return RetryRegistration();  // before it heard of its registration
  if (!handed_over() || replaced_) return;
  const RegisteredBroker* known = frontend_.table().FindBroker(self_.id);
  if (known == nullptr || known->incarnation != self_.incarnation) {
    replaced_ = true;
    const absl::Status why = absl::FailedPreconditionError(
        known == nullptr
            ? Concat("broker ", self_.id, " was removed from the cluster")
            : Concat("another process runs as broker ", self_.id, " at ", known->peer_address));
    LogError(FromAbsl(why.message()));
    if (fatal_) fatal_(why);
    return;
  }
  const bool moved = known->host != registration_.host || known->port != registration_.port;
  if ((!known->fenced && !moved) || registering_) return;
  home_.Post(lifetime_.Guard([this] {
    if (replaced_ || registering_ || retired_) return;
    const RegisteredBroker* now = frontend_.table().FindBroker(self_.id);
    const bool moved_now =
        now != nullptr && (now->host != registration_.host || now->port != registration_.port);
    if (now == nullptr || !(now->fenced || moved_now)) return;
    if (now->fenced) LogWarning("broker ", self_.id, " was fenced; it registers again");
    SendRegistration();
  }));
}

}  // namespace bascule::metadata
