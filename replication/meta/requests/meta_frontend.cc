#include "replication/meta/requests/meta_frontend.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "replication/meta/requests/isr_gatherer.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/request_sender.h"
#include "replication/meta/requests/request_service.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/requests/stream_requests.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {
namespace {

constexpr std::chrono::seconds kEpochRetryPeriod{1};
constexpr std::chrono::seconds kEpochTimeout{5};
constexpr std::chrono::seconds kIsrTimeout{5};
constexpr std::chrono::milliseconds kSettleRetryPeriod{100};
// A broker that cannot be asked for so long is not waited for: the change is made.
constexpr std::chrono::milliseconds kSettlePatience{500};

}  // namespace

// The brokers that one request still waits for. Answers once: with the first of "all are settled"
// and "time is up".
struct MetaFrontend::Settling {
  size_t waiting = 0;
  absl::Status first;  // error
  Done done;
  std::map<std::string, MonotonicTime> unreachable;  // since when, by broker

  void Give() {
    auto once = std::exchange(done, nullptr);
    if (!once) return;
    if (first.ok()) return once(absl::OkStatus());
    once(absl::InternalError(
        Concat("the change is made, but the stream is not ready: ", FromAbsl(first.message()))));
  }
  void End(const absl::Status& status) {
    if (first.ok()) first = status;
    if (--waiting == 0) Give();
  }
};

MetaFrontend::MetaFrontend(Executor& home, Clock& clock, PeerTransport* peers, BrokerSelf self)
    : home_(home),
      clock_(clock),
      peers_(peers),
      self_(std::move(self)),
      state_(home, self_),
      streams_(std::make_unique<StreamRequests>(home, clock, state_.table())),
      service_(std::make_unique<RequestService>(home, state_, *streams_)),
      sender_(std::make_unique<RequestSender>(home, clock, peers, self_, *service_)),
      isr_changes_(std::make_unique<IsrGatherer>(
          home, [this](const meta::Request& request, RequestDone done) {
            Ask(request, kIsrTimeout, std::move(done));
          })) {
  state_.AddObserver([this] { OnChange(); });
}

MetaFrontend::~MetaFrontend() = default;

void MetaFrontend::SetLog(MetadataLog& log) {
  sender_->SetLog(log);
  streams_->SetLog(log);
  log.OnRoleChange(lifetime_.Guard([this](const MetadataRole& role) { OnRole(role); }));
}

void MetaFrontend::SetStreamDefaults(const StreamSettings& defaults, int32_t replication_factor) {
  streams_->SetStreamDefaults(defaults, replication_factor);
}

void MetaFrontend::SetCapacity(std::function<absl::Status(const std::string&, size_t)> capacity) {
  streams_->placements().SetCapacity(std::move(capacity));
}

void MetaFrontend::SetSilence(std::function<bool(const std::string&)> silent) {
  streams_->placements().SetSilence(std::move(silent));
}

void MetaFrontend::SetClusterRequests(RequestTarget& target) {
  service_->SetClusterRequests(target);
}

PeerHandler& MetaFrontend::peer_handler() { return *service_; }

void MetaFrontend::AddRoleObserver(absl::AnyInvocable<void(const MetadataRole&)> observer) {
  role_observers_.push_back(std::move(observer));
}

void MetaFrontend::OnRole(const MetadataRole& role) {
  BASCULE_CHECK(home_.OnThisThread());
  sender_->OnRoleChange(role);
  if (role.leading) streams_->BindStreams();
  for (auto& observer : role_observers_) observer(role);
}

void MetaFrontend::OnChange() {
  const uint32_t level = table().feature_level();
  if (std::exchange(feature_level_, level) != level) streams_->BindStreams();
}

// --- requests of this broker ---

void MetaFrontend::CreateStream(StreamSpec spec, Duration timeout, Done done) {
  home_.Post([this, spec = std::move(spec), timeout, done = std::move(done)]() mutable {
    // Here too: a leader of an older version would not see it.
    if (absl::Status known = CheckLevel(table(), spec.overrides); !known.ok()) return done(known);
    meta::Request request;
    ToProto(spec, *request.mutable_create_stream()->mutable_spec());
    ChangeStream(request, spec.name, timeout, std::move(done));
  });
}

void MetaFrontend::DeleteStream(std::string name, Duration timeout, Done done) {
  home_.Post([this, name = std::move(name), timeout, done = std::move(done)]() mutable {
    meta::Request request;
    request.mutable_delete_stream()->set_name(name);
    ChangeStream(request, name, timeout, std::move(done));
  });
}

void MetaFrontend::UpdateStream(std::string name, StreamOverrides changes, Duration timeout,
                                Done done) {
  home_.Post([this, name = std::move(name), changes, timeout, done = std::move(done)]() mutable {
    if (absl::Status known = CheckLevel(table(), changes); !known.ok()) return done(known);
    meta::Request request;
    request.mutable_update_stream()->set_name(name);
    ToProto(changes, *request.mutable_update_stream()->mutable_changes());
    ChangeStream(request, name, timeout, std::move(done));
  });
}

// A feed that cannot listen yet (no NATS) or a broker that is slow to open holds the answer back no
// longer than the timeout: the change is made.
void MetaFrontend::ChangeStream(const meta::Request& request, const std::string& name,
                                Duration timeout, Done done) {
  const MonotonicTime deadline = Add(clock_.Monotonic(), timeout);
  const StreamDescription* before = table().Find(name);
  const StreamId old = before == nullptr ? StreamId() : before->id;
  std::set<std::string> leaders = LeadersOf(before);
  const bool creates = request.has_create_stream();
  Ask(request, timeout,
      [this, name, deadline, old, leaders = std::move(leaders), creates,
       done = std::move(done)](const RequestOutcome& outcome) mutable {
        if (!outcome.status.ok()) return done(outcome.status);
        const StreamDescription* now = table().Find(name);
        if (now != nullptr) leaders.merge(LeadersOf(now));
        const StreamId id = creates && now != nullptr ? now->id : old;
        if (id == StreamId()) return done(absl::OkStatus());  // not applied here in time, or gone
        SettleEverywhere(id, leaders, outcome.index, deadline, std::move(done));
      });
}

void MetaFrontend::Ask(const meta::Request& request, Duration timeout, RequestDone done) {
  BASCULE_CHECK(home_.OnThisThread());
  const MonotonicTime deadline = Add(clock_.Monotonic(), timeout);
  sender_->Send(request, timeout,
                [this, deadline, done = std::move(done)](RequestOutcome outcome) mutable {
                  if (outcome.index <= table().applied()) return done(std::move(outcome));
                  // Whichever comes first; the other finds nothing left to do.
                  auto answer = std::make_shared<RequestDone>(std::move(done));
                  auto held = std::make_shared<RequestOutcome>(std::move(outcome));
                  const auto give = [answer, held] {
                    if (auto once = std::exchange(*answer, nullptr)) once(*held);
                  };
                  state_.WhenApplied(held->index, give);
                  home_.After(Left(deadline), give);
                });
}

std::set<std::string> MetaFrontend::LeadersOf(const StreamDescription* stream) const {
  std::set<std::string> leaders;
  if (stream == nullptr) return leaders;
  for (const PartitionDescription& partition : stream->partitions) {
    if (!partition.leader.empty()) leaders.insert(partition.leader);
  }
  return leaders;
}

Duration MetaFrontend::Left(MonotonicTime deadline) const {
  return std::max(Between(clock_.Monotonic(), deadline), Duration::zero());
}

// --- waiting until the brokers concerned have done their part ---

void MetaFrontend::SettleEverywhere(StreamId id, const std::set<std::string>& leaders,
                                    MetadataIndex index, MonotonicTime deadline, Done done) {
  auto settling = std::make_shared<Settling>();
  settling->done = std::move(done);
  settling->waiting = 1;
  for (const std::string& broker : leaders) {
    if (broker == self_.id || peers_ == nullptr) continue;
    ++settling->waiting;
    SettleOn(broker, id, index, deadline, settling);
  }
  home_.After(Left(deadline), [settling] { settling->Give(); });
  state_.settlement().WhenSettled(
      id, [settling](const absl::Status& status) { settling->End(status); });
}

void MetaFrontend::SettleOn(const std::string& broker, StreamId id, MetadataIndex index,
                            MonotonicTime deadline, std::shared_ptr<Settling> settling) {
  const RegisteredBroker* there = table().FindBroker(broker);
  const Duration left = Left(deadline);
  // Nobody is there to wait for, or no time.
  if (there == nullptr || there->fenced || left == Duration::zero())
    return settling->End(absl::OkStatus());
  meta::Request request;
  request.set_broker(self_.id);
  request.set_incarnation(self_.incarnation);
  request.mutable_settled()->set_stream_id(id.value());
  request.mutable_settled()->set_index(index.value());
  auto again = [this, broker, id, index, deadline, settling](const RequestOutcome& outcome) {
    const absl::StatusCode code = outcome.status.code();
    const bool lost = code == absl::StatusCode::kUnavailable ||
                      code == absl::StatusCode::kUnknown ||
                      code == absl::StatusCode::kDeadlineExceeded;
    if (!lost) return settling->End(outcome.status);
    const MonotonicTime now = clock_.Monotonic();
    const MonotonicTime since = settling->unreachable.try_emplace(broker, now).first->second;
    if (Between(since, now) >= kSettlePatience) return settling->End(absl::OkStatus());
    home_.After(kSettleRetryPeriod, lifetime_.Guard([this, broker, id, index, deadline, settling] {
      SettleOn(broker, id, index, deadline, settling);
    }));
  };
  CallMetadata(*peers_, there->node, request, left, lifetime_, std::move(again));
}

void MetaFrontend::RequestNewEpoch(PartitionKey key) {
  home_.Post(lifetime_.Guard([this, key] {
    meta::Request request;
    request.mutable_raise_epoch()->set_stream_id(key.stream.value());
    request.mutable_raise_epoch()->set_partition(key.partition.value());
    request.mutable_raise_epoch()->set_leader(self_.id);
    sender_->Send(request, kEpochTimeout, [this, key](const RequestOutcome& outcome) {
      // Deleted meanwhile: nobody waits. Led by another, or by nobody: a delta says so.
      const absl::StatusCode code = outcome.status.code();
      if (outcome.status.ok() || code == absl::StatusCode::kNotFound ||
          code == absl::StatusCode::kFailedPrecondition)
        return;
      LogWarning("no new leader epoch for partition ", key.partition, " of stream id ", key.stream,
                 ": ", FromAbsl(outcome.status.message()));
      // Nobody else asks again, and the partition takes no messages until it has one.
      home_.After(kEpochRetryPeriod, lifetime_.Guard([this, key] { RequestNewEpoch(key); }));
    });
  }));
}

void MetaFrontend::RequestSuccessor(PartitionKey key, LeaderEpoch epoch) {
  home_.Post(lifetime_.Guard([this, key, epoch] {
    const PartitionDescription* const partition = table().Find(key);
    if (partition == nullptr || partition->leader != self_.id || partition->leader_epoch != epoch)
      return;
    const std::string successor = table().SuccessorOf(key);
    if (successor.empty() || !yielding_.insert(key).second) return;
    const auto moved = [this, key, successor](const absl::Status& status) {
      yielding_.erase(key);
      if (absl::IsNotFound(status)) return;  // deleted meanwhile
      LogWarning(
          "partition ", key.partition, " of stream id ", key.stream,
          " cannot be led here now: broker ", successor,
          status.ok() ? " leads it" : Concat(" does not either: ", FromAbsl(status.message())));
    };
    MoveLeader(key, epoch, successor, kEpochTimeout, moved);
  }));
}

void MetaFrontend::RequestIsrChange(PartitionKey key, isr::IsrProposal proposal,
                                    absl::AnyInvocable<void()> ended) {
  home_.Post(lifetime_.Guard(
      [this, key, proposal = std::move(proposal), ended = std::move(ended)]() mutable {
        if (table().feature_level() < kReplicasLevel) return ended();
        isr_changes_->Add(key, proposal, std::move(ended));
      }));
}

void MetaFrontend::MoveLeader(PartitionKey key, LeaderEpoch epoch, std::string to, Duration timeout,
                              Done done) {
  meta::Request request;
  ToProto(key, *request.mutable_move_leader()->mutable_partition());
  request.mutable_move_leader()->set_leader_epoch(epoch.value());
  request.mutable_move_leader()->set_to(std::move(to));
  AskSoon(std::move(request), timeout, std::move(done));
}

void MetaFrontend::FenceSelf(Duration timeout, Done done) {
  meta::Request request;
  request.mutable_fence_self();
  AskSoon(std::move(request), timeout, std::move(done));
}

void MetaFrontend::AskSoon(meta::Request request, Duration timeout, Done done) {
  home_.Post(lifetime_.Guard([this, request = std::move(request), timeout,
                              done = std::move(done)]() mutable {
    Ask(request, timeout,
        [done = std::move(done)](const RequestOutcome& outcome) mutable { done(outcome.status); });
  }));
}

}  // namespace bascule::metadata
