#include "replication/meta/requests/stream_requests.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kBindRetryPeriod{1};

// What a request is about, as a key: requests with one key go one after the other.
std::string SubjectOf(const meta::Request& request) {
  switch (request.request_case()) {
    case meta::Request::kCreateStream:
      return Concat("stream ", request.create_stream().spec().name());
    case meta::Request::kDeleteStream:
      return Concat("stream ", request.delete_stream().name());
    case meta::Request::kUpdateStream:
      return Concat("stream ", request.update_stream().name());
    case meta::Request::kRaiseEpoch:
      return Concat("epoch ", request.raise_epoch().stream_id(), "/",
                    request.raise_epoch().partition());
    default:
      return Concat("broker ", request.broker());
  }
}

}  // namespace

void StreamRequests::Execute(const meta::Request& request, Duration, RequestDone done) {
  const auto answer = [&](absl::Status status) { done({std::move(status), table_.applied(), {}}); };
  if (!log_->role().leading)
    return answer(absl::UnavailableError("this broker is not the metadata leader"));
  if (waiting_ >= limits::kMetaRequestsWaiting)
    return answer(absl::UnavailableError("too many metadata requests wait"));
  Enqueue(std::make_shared<Work>(Work{SubjectOf(request), request, std::move(done)}));
}

void StreamRequests::Enqueue(std::shared_ptr<Work> work) {
  ++waiting_;
  auto& queue = queues_[work->about];
  queue.push_back(work);
  if (queue.size() == 1) Start(work, false);
}

void StreamRequests::Start(std::shared_ptr<Work> work, bool barrier_passed) {
  if (!log_->role().leading)
    return Finish(work, absl::UnavailableError("this broker is not the metadata leader any more"));
  // It was asked before: by way of another leader, or the answer was lost.
  if (const auto kept = table_.Kept(OriginOf(work->request))) return Finish(work, *kept);
  if (work->binds && !FillBinding(*work)) return Finish(work, absl::OkStatus());
  Verdict verdict = work->binds ? Verdict{} : Check(work->request);
  if (verdict.status.ok()) return Propose(std::move(work), verdict);
  if (!verdict.from_table || barrier_passed) return Finish(work, verdict.status);
  log_->ReadBarrier([this, work, alive = std::weak_ptr<bool>(alive_)](const absl::Status& passed) {
    if (alive.expired()) return;
    if (passed.ok()) return Start(work, true);
    Finish(work, absl::UnavailableError(passed.message()));
  });
}

void StreamRequests::Propose(std::shared_ptr<Work> work, const Verdict& verdict) {
  const CommandOrigin origin = OriginOf(work->request);
  const meta::Request& request = work->request;
  std::string command;
  switch (request.request_case()) {
    case meta::Request::kCreateStream:
      command = EncodeCreateStream(verdict.stream, origin);
      break;
    case meta::Request::kDeleteStream:
      command = EncodeDeleteStream(request.delete_stream().name(), origin);
      break;
    case meta::Request::kUpdateStream:
      command = EncodeUpdateStream(request.update_stream().name(),
                                   meta::FromProto(request.update_stream().changes()), origin);
      break;
    case meta::Request::kRaiseEpoch:
      command = EncodeRaiseEpoch({StreamId(request.raise_epoch().stream_id()),
                                  PartitionId(request.raise_epoch().partition())},
                                 request.raise_epoch().leader(), origin);
      break;
    default:
      command = EncodeRegisterBroker(meta::FromProto(request.register_broker()));
  }
  Account(verdict.stream, 1);
  log_->Propose(std::move(command), [this, work, stream = verdict.stream,
                                     alive = std::weak_ptr<bool>(alive_)](absl::Status status) {
    if (alive.expired()) return;
    Account(stream, -1);
    Finish(work, status);
  });
}

void StreamRequests::Finish(const std::shared_ptr<Work>& work, const absl::Status& status) {
  --waiting_;
  work->done({status, table_.applied(), {}});
  const auto queue = queues_.find(work->about);
  queue->second.pop_front();
  if (queue->second.empty()) {
    queues_.erase(queue);
    return;
  }
  // Not from here: a long queue that is refused would nest as deep.
  home_.Post([this, next = queue->second.front(), alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Start(next, false);
  });
}

StreamRequests::Verdict StreamRequests::Check(const meta::Request& request) const {
  switch (request.request_case()) {
    case meta::Request::kCreateStream:
      return CheckCreate(request.create_stream());
    case meta::Request::kDeleteStream:
      return CheckDelete(request.delete_stream().name());
    case meta::Request::kUpdateStream:
      return CheckUpdate(request.update_stream());
    case meta::Request::kRegisterBroker:
      return CheckRegistration(request.register_broker());
    default:
      return {};  // Apply judges
  }
}

StreamRequests::Verdict StreamRequests::CheckCreate(
    const meta::CreateStreamRequest& request) const {
  StreamSpec spec = FromProto(request.spec());
  std::vector<PlacementBroker> brokers = Candidates();
  if (absl::Status valid = NormalizeAndValidate(spec, static_cast<int>(brokers.size()));
      !valid.ok()) {
    return {valid, true, {}};
  }
  if (table_.Find(spec.name) != nullptr)
    return {absl::AlreadyExistsError("stream already exists"), true, {}};
  if (spec.replication_factor > 1) {
    return {absl::UnimplementedError(Concat("replication factor ", spec.replication_factor,
                                            ": this version keeps one replica of each partition")),
            false,
            {}};
  }
  const auto refuse = [](absl::Status status) { return Verdict{std::move(status), true, {}}; };
  if (absl::Status known = CheckLevel(spec.overrides); !known.ok()) return refuse(known);
  Merge(OpenBindings(spec.overrides, defaults_, table_.feature_level()), spec.overrides);
  if (absl::Status can = CheckMinIsr(spec.overrides, spec.replication_factor); !can.ok()) {
    return refuse(
        absl::InvalidArgumentError(Concat(FromAbsl(can.message()),
                                          "; it comes from clustering.min.insync.replicas, ask for "
                                          "at most ",
                                          spec.replication_factor)));
  }
  DropSilent(brokers);
  std::map<std::string, int32_t> held;
  for (const PlacementBroker& broker : brokers) held[broker.id] = broker.partitions;
  StreamDescription stream;
  stream.partitions = Place(spec.partitions, spec.replication_factor, std::move(brokers));
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas) {
      if (++held[broker] <= static_cast<int32_t>(limits::kMaxPartitionsPerBroker)) continue;
      return {absl::ResourceExhaustedError(Concat("broker ", broker, " holds its limit of ",
                                                  limits::kMaxPartitionsPerBroker, " partitions")),
              true,
              {}};
    }
  }
  for (const auto& [broker, partitions] : held) {
    absl::Status fits;
    if (capacity_) fits = capacity_(broker, static_cast<size_t>(partitions));
    if (!fits.ok()) return {fits, true, {}};
  }
  stream.name = spec.name;
  stream.subject = spec.subject;
  stream.group = spec.group;
  stream.created = clock_.Wall();
  stream.overrides = spec.overrides;
  if (absl::Status room = CheckRoom(stream); !room.ok()) return {std::move(room), true, {}};
  if (absl::Status alone = overlap_.Check(stream, table_.streams()); !alone.ok())
    return refuse(std::move(alone));
  return {absl::OkStatus(), false, std::move(stream)};
}

// Every broker keeps the whole table, and one that joins is sent it in one piece.
absl::Status StreamRequests::CheckRoom(const StreamDescription& stream) const {
  const size_t streams = table_.streams().size() + pending_streams_;
  if (streams >= limits::kMaxStreamsPerCluster) {
    return absl::ResourceExhaustedError(Concat("the cluster holds its limit of ",
                                               limits::kMaxStreamsPerCluster,
                                               " streams; delete some first"));
  }
  const size_t bytes = table_.stream_bytes() + pending_bytes_ + StreamBytes(stream);
  if (bytes <= limits::kMaxStreamsBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      Concat("with stream ", stream.name, " the descriptions of the cluster's streams come to ",
             bytes, " bytes, at most ", limits::kMaxStreamsBytes,
             " are kept; delete some first, or give them fewer partitions and shorter subjects"));
}

StreamRequests::Verdict StreamRequests::CheckRegistration(
    const meta::RegisterBroker& request) const {
  for (const auto& [what, text] :
       {std::pair("server id", &request.broker()), std::pair("host", &request.host()),
        std::pair("peer address", &request.peer_address()), std::pair("rack", &request.rack())}) {
    if (text->size() <= limits::kPeerNameBytes) continue;
    return {
        absl::InvalidArgumentError(Concat("the ", what, " of a broker has ", text->size(),
                                          " bytes, at most ", limits::kPeerNameBytes, " are kept")),
        false,
        {}};
  }
  return {};
}

StreamRequests::Verdict StreamRequests::CheckDelete(const std::string& name) const {
  if (IsReservedStream(name)) return {absl::InvalidArgumentError("Stream is reserved"), false, {}};
  if (table_.Find(name) == nullptr) return {absl::NotFoundError("stream does not exist"), true, {}};
  return {};
}

StreamRequests::Verdict StreamRequests::CheckUpdate(
    const meta::UpdateStreamRequest& request) const {
  const StreamOverrides changes = meta::FromProto(request.changes());
  const auto refuse = [](absl::Status status) { return Verdict{std::move(status), false, {}}; };
  if (IsReservedStream(request.name()))
    return refuse(absl::InvalidArgumentError("Stream is reserved"));
  if (changes == StreamOverrides())
    return refuse(absl::InvalidArgumentError("no setting is named that should change"));
  if (absl::Status valid = ValidateOverrides(changes); !valid.ok()) return refuse(valid);
  if (const StreamSetting* fixed = FindFixed(changes); fixed != nullptr) {
    return refuse(absl::InvalidArgumentError(
        Concat("the ", fixed->name, " of a stream cannot change; create another stream with it")));
  }
  if (absl::Status known = CheckLevel(changes); !known.ok()) return {known, true, {}};
  const StreamDescription* stream = table_.Find(request.name());
  if (stream == nullptr) return {absl::NotFoundError("stream does not exist"), true, {}};
  const size_t replicas = stream->partitions.empty() ? 1 : stream->partitions[0].replicas.size();
  return {CheckMinIsr(changes, static_cast<int32_t>(replicas)), true, {}};
}

absl::Status StreamRequests::CheckLevel(const StreamOverrides& overrides) const {
  const StreamSetting* newer = FindNewer(overrides, table_.feature_level());
  if (newer == nullptr) return absl::OkStatus();
  uint32_t possible = kFeatureLevel;
  for (const auto& [id, broker] : table_.brokers())
    possible = std::min(possible, broker.feature_level);
  if (newer->level <= possible) return absl::UnavailableError("the feature level is being raised");
  return absl::FailedPreconditionError(Concat(newer->name, " needs feature level ", newer->level,
                                              ", the cluster has ", table_.feature_level(),
                                              ": bring every broker to this version first"));
}

void StreamRequests::BindStreams() {
  if (log_ == nullptr || !log_->role().leading) return;
  if (std::exchange(binding_, true)) {
    bind_again_ = true;
    return;
  }
  // Everything of earlier leaders is applied behind it.
  log_->ReadBarrier([this, alive = std::weak_ptr<bool>(alive_)](const absl::Status& passed) {
    if (alive.expired()) return;
    if (passed.ok()) return BindNext("");
    bind_again_ = true;
    EndBinding();
  });
}

// One stream at a time, behind what is asked of it: a stream that was deleted and made anew is
// bound as it is.
void StreamRequests::BindNext(const std::string& after) {
  auto next = table_.streams().upper_bound(after);
  const auto bound = [this](const StreamDescription& stream) {
    return OpenBindings(stream.overrides, defaults_, table_.feature_level()) == StreamOverrides();
  };
  while (next != table_.streams().end() && bound(next->second)) ++next;
  if (next == table_.streams().end() || !log_->role().leading) return EndBinding();
  const std::string name = next->first;
  auto work = std::make_shared<Work>();
  work->request.mutable_update_stream()->set_name(name);
  work->about = SubjectOf(work->request);
  work->binds = true;
  work->done = [this, name, alive = std::weak_ptr<bool>(alive_)](const RequestOutcome& outcome) {
    if (alive.expired()) return;
    if (!outcome.status.ok()) bind_again_ = true;
    home_.Post([this, name, alive] {
      if (!alive.expired()) BindNext(name);
    });
  };
  Enqueue(std::move(work));
}

void StreamRequests::EndBinding() {
  binding_ = false;
  if (!std::exchange(bind_again_, false)) return;
  home_.After(kBindRetryPeriod, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) BindStreams();
  });
}

// false: nothing is missing, or the stream is gone.
bool StreamRequests::FillBinding(Work& work) const {
  const StreamDescription* stream = table_.Find(work.request.update_stream().name());
  if (stream == nullptr) return false;
  StreamOverrides open = OpenBindings(stream->overrides, defaults_, table_.feature_level());
  if (open == StreamOverrides()) return false;
  // A default that the stream's replicas cannot meet would stop it: they were enough before.
  const size_t replicas = stream->partitions.empty() ? 1 : stream->partitions[0].replicas.size();
  if (open.min_isr && !CheckMinIsr(open, static_cast<int32_t>(replicas)).ok()) open.min_isr = 0;
  work.request.mutable_update_stream()->clear_changes();
  meta::ToProto(open, *work.request.mutable_update_stream()->mutable_changes());
  return true;
}

std::vector<PlacementBroker> StreamRequests::Candidates() const {
  std::vector<PlacementBroker> candidates;
  for (const auto& [id, broker] : table_.brokers()) {
    if (broker.fenced) continue;
    BrokerLoad load = table_.LoadOf(id);
    if (const auto pending = pending_.find(id); pending != pending_.end()) {
      load.partitions += pending->second.partitions;
      load.leading += pending->second.leading;
    }
    candidates.push_back({id, broker.rack, load.partitions, load.leading});
  }
  return candidates;
}

void StreamRequests::DropSilent(std::vector<PlacementBroker>& candidates) const {
  if (!silent_) return;
  std::vector<PlacementBroker> heard = candidates;
  std::erase_if(heard, [this](const PlacementBroker& broker) { return silent_(broker.id); });
  if (!heard.empty()) candidates = std::move(heard);
}

// The first replica is the one that is meant to lead.
void StreamRequests::Account(const StreamDescription& stream, int32_t sign) {
  if (!stream.name.empty()) {  // else no stream is made
    sign > 0 ? overlap_.Proposed(stream) : overlap_.Settled(stream);
    pending_streams_ += sign > 0 ? 1 : -1;
    pending_bytes_ += sign > 0 ? StreamBytes(stream) : -StreamBytes(stream);
  }
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas) {
      BrokerLoad& load = pending_[broker];
      load.partitions += sign;
      if (&broker == &partition.replicas.front()) load.leading += sign;
    }
  }
}

}  // namespace bascule
