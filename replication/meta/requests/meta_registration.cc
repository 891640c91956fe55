// MetaFrontend's part that follows the log: what is applied goes to the partitions, and this broker
// stays registered.
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "replication/meta/requests/applied_watch.h"
#include "replication/meta/requests/meta_frontend.h"
#include "replication/meta/requests/registration_record.h"
#include "replication/meta/requests/request_sender.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/requests/settlement.h"
#include "replication/meta/requests/stream_requests.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kRegistrationTimeout{5};
constexpr std::chrono::milliseconds kRegistrationRetryPeriod{500};

StreamId StreamOf(const MetaDelta& delta) {
  if (const auto* created = std::get_if<StreamCreated>(&delta)) return created->stream.id;
  if (const auto* updated = std::get_if<StreamUpdated>(&delta)) return updated->stream.id;
  if (const auto* deleted = std::get_if<StreamDeleted>(&delta)) return deleted->id;
  return std::get<PartitionChanged>(delta).id;
}

}  // namespace

absl::Status MetaFrontend::Apply(MetadataIndex index, std::string_view command) {
  BASCULE_CHECK(home_.OnThisThread());
  const uint32_t level = table_.feature_level();
  MetaTable::Applied applied = table_.Apply(index, command);
  AfterChange(applied.deltas);
  if (table_.feature_level() != level) streams_->BindStreams();
  return applied.result;
}

void MetaFrontend::ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) {
  BASCULE_CHECK(home_.OnThisThread());
  table_.ApplyMembers(index, members);
  AfterChange({});
}

absl::Status MetaFrontend::Restore(MetadataIndex index, std::string_view snapshot) {
  MetaTable restored;
  RETURN_IF_ERROR(restored.Restore(index, snapshot));
  std::vector<MetaDelta> deltas;
  if (sink_ != nullptr) deltas = Differences(table_, restored);
  table_ = std::move(restored);
  AfterChange(deltas);
  return absl::OkStatus();
}

void MetaFrontend::AfterChange(const std::vector<MetaDelta>& deltas) {
  if (sink_ != nullptr) {
    for (const MetaDelta& delta : deltas) Deliver(delta);
  } else if (new_sink_ != nullptr && RegisteredHere()) {
    TryHandOver();
  }
  RenewView();
  CheckSession();
  std::vector<AppliedWatch::Wake> due = applied_->Take(table_.applied());
  if (due.empty()) return;
  // Not from inside the log's Apply: who wakes may propose.
  home_.Post([due = std::move(due), alive = std::weak_ptr<bool>(alive_)]() mutable {
    for (AppliedWatch::Wake& wake : due) {
      if (!alive.expired()) wake();
    }
  });
}

void MetaFrontend::Deliver(const MetaDelta& delta) {
  const bool last = std::holds_alternative<StreamDeleted>(delta);
  sink_->OnDelta(
      delta, [end = settlement_->Begin(StreamOf(delta), last)](const absl::Status& status) mutable {
        if (!status.ok()) LogWarning("metadata change: ", FromAbsl(status.message()));
        end(status);
      });
}

void MetaFrontend::Advertise(std::string host, int32_t port) {
  home_.Post([this, host = std::move(host), port, alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (alive.expired()) return;
    registration_.host = std::move(host);
    registration_.port = port;
    RenewView();
    CheckSession();
  });
}

void MetaFrontend::Register(DeltaSink& sink, RegistrationRecord& record, Done done) {
  BASCULE_CHECK(home_.OnThisThread());
  new_sink_ = &sink;
  record_ = &record;
  registered_ = std::move(done);
  if (absl::Status prepared = PrepareRegistration(); !prepared.ok())
    return EndRegistration(prepared);
  SendRegistration();
}

// The generation is on the disk before anybody hears of it. A group of one names none: what it would
// be compared with lies in the same directory.
absl::Status MetaFrontend::PrepareRegistration() {
  RETURN_IF_ERROR(record_->Raise());
  registration_.generation = peers_ == nullptr ? 0 : record_->generation();
  registration_.lost_all = record_->owes_all();
  registration_.kept_all = !record_->owes_all();
  registration_.lost = record_->owed();
  return absl::OkStatus();
}

void MetaFrontend::EndRegistration(const absl::Status& status) {
  new_sink_ = nullptr;
  if (registered_) std::exchange(registered_, nullptr)(status);
}

bool MetaFrontend::RegisteredHere() const {
  const RegisteredBroker* known = table_.FindBroker(self_.id);
  return known != nullptr && known->incarnation == self_.incarnation && !known->fenced;
}

void MetaFrontend::SendRegistration() {
  if (registering_ || replaced_) return;
  registering_ = true;
  meta::Request request;
  meta::ToProto(registration_, *request.mutable_register_broker());
  Ask(request, kRegistrationTimeout,
      [this](const RequestOutcome& outcome) { OnRegistered(outcome); });
}

void MetaFrontend::OnRegistered(const RequestOutcome& outcome) {
  registering_ = false;
  if (outcome.status.ok()) return CheckSession();
  const absl::StatusCode code = outcome.status.code();
  const bool refused =
      code == absl::StatusCode::kAlreadyExists || code == absl::StatusCode::kFailedPrecondition ||
      code == absl::StatusCode::kPermissionDenied || code == absl::StatusCode::kInvalidArgument;
  LogWarning("broker ", self_.id, " is not registered: ", FromAbsl(outcome.status.message()));
  if (refused && sink_ == nullptr && registered_) return EndRegistration(outcome.status);
  if (code == absl::StatusCode::kOutOfRange && NoteOlderCopy(outcome.status)) return;
  RetryRegistration();
}

void MetaFrontend::RetryRegistration() {
  home_.After(kRegistrationRetryPeriod, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    if (sink_ == nullptr && new_sink_ != nullptr) return SendRegistration();
    CheckSession();
  });
}

// False: not clear yet, ask again. That it is a copy is durable here before this process ends: the
// next one owes all records, and gives up the old part in the group, whose votes it has forgotten.
bool MetaFrontend::NoteOlderCopy(const absl::Status& refused) {
  const RegisteredBroker* known = table_.FindBroker(self_.id);
  const bool seen = known != nullptr && known->generation >= registration_.generation;
  if (sink_ != nullptr || new_sink_ == nullptr || !seen) return false;
  if (absl::Status noted = record_->NoteOlder(known->generation, /*rejoin=*/true); !noted.ok()) {
    LogError(FromAbsl(noted.message()));
    return false;
  }
  EndRegistration(absl::DataLossError(Concat(
      FromAbsl(refused.message()),
      " (restored from a backup or a snapshot?). What it holds counts as lost and is not led "
      "again. Started again, this broker joins as a new member; a stream whose only replica "
      "stood here stays without a leader until it is deleted and created anew. To read what the "
      "directory holds make a copy of it a cluster of its own (basculed --recover-quorum) and "
      "start that away from this one's NATS")));
  return true;
}

// What is owed is paid on the disk first: from the hand-over on records are written, and those are not
// lost.
void MetaFrontend::TryHandOver() {
  if (paying_) return;
  const bool owed = record_->owes_all() || !record_->owed().empty();
  if (const absl::Status paid = record_->Paid(); !paid.ok()) {
    LogWarning("broker ", self_.id,
               " is registered and cannot note it: ", FromAbsl(paid.message()));
    paying_ = true;
    return home_.After(kRegistrationRetryPeriod, [this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      paying_ = false;
      AfterChange({});
    });
  }
  const int32_t replicas = table_.LoadOf(self_.id).partitions;
  if (owed && replicas > 0) {
    LogWarning("broker ", self_.id, " told the cluster that its data directory lost ",
               registration_.lost_all ? Concat("all of its ", replicas)
                                      : Concat(registration_.lost.size(), " of its ", replicas),
               " replicas: where no other replica is there is no leader");
  }
  HandOver();
  if (peers_ != nullptr) RaiseGeneration();
}

// Goes on for as long as this process lives. A disk that cannot write makes the directory older than
// it is said to be nowhere: it is said only what is durable.
void MetaFrontend::RaiseGeneration() {
  home_.After(limits::kGenerationPeriod, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    if (const absl::Status raised = record_->Raise(); raised.ok()) {
      registration_.generation = record_->generation();
    } else {
      LogWarning("the data directory's generation: ", FromAbsl(raised.message()));
    }
    RaiseGeneration();
  });
}

// Nothing was handed over before, so the whole table is new to the partitions (R2b).
void MetaFrontend::HandOver() {
  sink_ = std::exchange(new_sink_, nullptr);
  // What was lost is told once: what is written from now on is not lost.
  registration_.lost_all = false;
  registration_.kept_all = true;
  registration_.lost.clear();
  std::set<StreamId> known;
  for (const auto& [name, stream] : table_.streams()) known.insert(stream.id);
  sink_->OnTakeOver(known, table_.applied(), table_.doubtful());
  for (const auto& [name, stream] : table_.streams()) Deliver(StreamCreated{stream});
  settlement_->WhenAllSettled([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || !registered_) return;
    std::exchange(registered_, nullptr)(absl::OkStatus());
  });
}

// Once registered a broker stays so: fenced (its heartbeats did not arrive), it registers again,
// and with a new address too. Replaced or removed, it must end.
void MetaFrontend::CheckSession() {
  if (sink_ == nullptr || replaced_) return;
  const RegisteredBroker* known = table_.FindBroker(self_.id);
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
  home_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || replaced_ || registering_) return;
    const RegisteredBroker* now = table_.FindBroker(self_.id);
    const bool moved_now =
        now != nullptr && (now->host != registration_.host || now->port != registration_.port);
    if (now == nullptr || !(now->fenced || moved_now)) return;
    if (now->fenced) LogWarning("broker ", self_.id, " was fenced; it registers again");
    SendRegistration();
  });
}

void MetaFrontend::RenewView() {
  auto view = std::make_shared<std::vector<BrokerDescription>>();
  const BrokerLoad mine = table_.LoadOf(self_.id);
  view->push_back({self_.id, registration_.host, registration_.port, self_.rack, mine.partitions,
                   mine.leading});
  for (const auto& [id, broker] : table_.brokers()) {
    if (id == self_.id || broker.fenced || broker.port == 0) continue;
    const BrokerLoad load = table_.LoadOf(id);
    view->push_back({id, broker.host, broker.port, broker.rack, load.partitions, load.leading});
  }
  const absl::MutexLock lock(&view_mutex_);
  view_ = std::move(view);
}

std::vector<BrokerDescription> MetaFrontend::Brokers() {
  std::shared_ptr<const std::vector<BrokerDescription>> view;
  {
    const absl::MutexLock lock(&view_mutex_);
    view = view_;
  }
  return *view;
}

}  // namespace bascule
