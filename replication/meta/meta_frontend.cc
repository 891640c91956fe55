#include "replication/meta/meta_frontend.h"

#include <atomic>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kEpochRetryPeriod{1};

// Answers once: with the first of "settled" and "time is up".
struct Answer {
  absl::AnyInvocable<void(absl::Status)> done;
  void Give(const absl::Status& status) {
    if (auto once = std::exchange(done, nullptr)) once(status);
  }
};

}  // namespace

// The deltas of one command on their way through this broker.
struct MetaFrontend::Settling {
  size_t waiting = 0;
  absl::Status first;  // error
  absl::AnyInvocable<void()> when_done;

  void Done(const absl::Status& status) {
    if (first.ok()) first = status;
    if (--waiting == 0 && when_done) when_done();
  }
  void WhenDone(absl::AnyInvocable<void()> run) {
    if (waiting == 0) return run();
    when_done = std::move(run);
  }
};

MetaFrontend::MetaFrontend(Executor& home, Clock& clock, std::string broker)
    : home_(home), clock_(clock), broker_(std::move(broker)) {}

void MetaFrontend::Advertise(std::string host, int32_t port) {
  host_ = std::move(host);
  port_ = port;
}

absl::Status MetaFrontend::Apply(MetadataIndex index, std::string_view command) {
  MetaTable::Applied applied = table_.Apply(index, command);
  int32_t partitions = 0;
  for (const auto& [name, stream] : table_.streams())
    partitions += static_cast<int32_t>(stream.partitions.size());
  partition_count_.store(partitions);
  settling_ = std::make_shared<Settling>();
  if (sink_ == nullptr) return applied.result;  // replay: Register hands the outcome over
  settling_->waiting = applied.deltas.size();
  for (const MetaDelta& delta : applied.deltas) {
    sink_->OnDelta(delta, [settling = settling_](const absl::Status& status) {
      if (!status.ok()) LogWarning("metadata change: ", FromAbsl(status.message()));
      settling->Done(status);
    });
  }
  return applied.result;
}

void MetaFrontend::Register(DeltaSink& sink, uint64_t incarnation,
                            absl::AnyInvocable<void(absl::Status)> done) {
  log_->Propose(EncodeRegisterBroker(broker_, incarnation),
                [this, &sink, done = std::move(done)](const absl::Status& registered) mutable {
                  if (!registered.ok()) return done(registered);
                  sink_ = &sink;
                  auto waiting = std::make_shared<std::pair<size_t, Answer>>();
                  waiting->first = table_.streams().size() + 1;
                  waiting->second.done = std::move(done);
                  const auto settled = [waiting](const absl::Status& status) {
                    if (!status.ok())
                      LogError("a stream could not be opened: ", FromAbsl(status.message()));
                    if (--waiting->first == 0) waiting->second.Give(absl::OkStatus());
                  };
                  for (const auto& [name, stream] : table_.streams())
                    sink.OnDelta(StreamCreated{stream}, settled);
                  settled(absl::OkStatus());
                });
}

// One broker: every partition has one replica, here.
StreamDescription MetaFrontend::Place(const StreamSpec& spec) const {
  StreamDescription stream;
  stream.name = spec.name;
  stream.subject = spec.subject;
  stream.group = spec.group;
  stream.created = clock_.Wall();
  stream.overrides = spec.overrides;
  for (int32_t id = 0; id < spec.partitions; ++id) {
    stream.partitions.push_back({PartitionId(id), broker_, LeaderEpoch(), {broker_}, {broker_}});
  }
  return stream;
}

void MetaFrontend::CreateStream(StreamSpec spec, Duration timeout,
                                absl::AnyInvocable<void(absl::Status)> done) {
  home_.Post([this, spec = std::move(spec), timeout, done = std::move(done)]() mutable {
    if (const absl::Status valid = NormalizeAndValidate(spec, 1); !valid.ok()) return done(valid);
    if (table_.Find(spec.name) != nullptr)
      return done(absl::AlreadyExistsError("stream already exists"));
    if (partition_count_.load() + spec.partitions >
        static_cast<int32_t>(limits::kMaxPartitionsPerBroker)) {
      return done(absl::ResourceExhaustedError(Concat(
          "this broker holds its limit of ", limits::kMaxPartitionsPerBroker, " partitions")));
    }
    ProposeAndSettle(EncodeCreateStream(Place(spec)), timeout, std::move(done));
  });
}

void MetaFrontend::DeleteStream(std::string name, Duration timeout,
                                absl::AnyInvocable<void(absl::Status)> done) {
  home_.Post([this, name = std::move(name), timeout, done = std::move(done)]() mutable {
    if (IsReservedStream(name)) return done(absl::InvalidArgumentError("Stream is reserved"));
    if (table_.Find(name) == nullptr) return done(absl::NotFoundError("stream does not exist"));
    ProposeAndSettle(EncodeDeleteStream(name), timeout, std::move(done));
  });
}

// Answers when the change is applied and settled here. A feed that cannot listen yet (no NATS)
// holds the answer back no longer than the timeout: the stream exists.
void MetaFrontend::ProposeAndSettle(std::string command, Duration timeout,
                                    absl::AnyInvocable<void(absl::Status)> done) {
  auto answer = std::make_shared<Answer>();
  answer->done = std::move(done);
  log_->Propose(std::move(command), [this, answer, timeout](const absl::Status& result) {
    if (!result.ok()) return answer->Give(result);
    // The log calls this straight after Apply of the same command.
    settling_->WhenDone([answer, settling = std::weak_ptr<Settling>(settling_)] {
      const auto settled = settling.lock();
      if (!settled || settled->first.ok()) return answer->Give(absl::OkStatus());
      answer->Give(absl::InternalError(Concat("the change is made, but the stream is not ready: ",
                                              FromAbsl(settled->first.message()))));
    });
    home_.After(timeout, [answer] { answer->Give(absl::OkStatus()); });
  });
}

std::vector<BrokerDescription> MetaFrontend::Brokers() {
  const int32_t partitions = partition_count_.load();
  return {{broker_, host_, port_, partitions, partitions}};
}

void MetaFrontend::RequestNewEpoch(PartitionKey key) {
  home_.Post([this, key] {
    log_->Propose(EncodeRaiseEpoch(key.stream, key.partition),
                  [this, key](const absl::Status& status) {
                    if (status.ok() || absl::IsNotFound(status))
                      return;  // deleted meanwhile: nobody waits
                    LogWarning("no new leader epoch: ", FromAbsl(status.message()));
                    // Nobody else asks again, and the partition takes no messages until it has one.
                    const bool refused = absl::IsUnavailable(status) && log_->degraded().empty();
                    if (refused)
                      home_.After(kEpochRetryPeriod, [this, key] { RequestNewEpoch(key); });
                  });
  });
}

}  // namespace bascule
