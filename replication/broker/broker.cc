#include "replication/broker/broker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/env/countdown.h"
#include "core/log/recovery_points.h"
#include "core/stream/difference.h"
#include "replication/broker/hand_over.h"

namespace bascule::broker {
namespace {

constexpr char kPointsMeaning[] =
    ": how far the logs had come is not known, so that a partition whose directory is gone too "
    "began anew and gives its offsets again. Compare what bascule stream info shows with what was "
    "here, and put back from a copy what is missing, while the broker is stopped";

constexpr std::chrono::milliseconds kBarrierRetry{200};
// R8: of a member whose broker is heard by others, so that it is not fenced.
constexpr int kSilentSessions = 2;
constexpr std::chrono::seconds kLateDeclares{1};
constexpr std::chrono::seconds kLatePatience{30};

// A partition is listed before its directory is made.
bool HasStreams(FileSystem& fs, const std::string& data) {
  const auto streams = fs.List(JoinPath(data, "streams"));
  if (!streams.ok()) return false;
  return std::any_of(streams->begin(), streams->end(), [](const DirectoryEntry& stream) {
    uint64_t id;
    return absl::SimpleAtoi(stream.name, &id);
  });
}

bool HoldsAny(const metadata::MetaTable& table, const std::string& broker) {
  for (const auto& [name, stream] : table.streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      const auto& replicas = partition.replicas;
      if (std::find(replicas.begin(), replicas.end(), broker) != replicas.end()) return true;
    }
  }
  return false;
}

}  // namespace

Broker::Broker(BrokerSeams seams, BrokerOptions options, DataDirectory directory)
    : seams_(std::move(seams)),
      options_(std::move(options)),
      directory_(std::move(directory)),
      sync_(seams_.metadata.fs, seams_.sync_pool, seams_.metadata.clock),
      replicas_(seams_.shards),
      metadata_(
          seams_.metadata, options_, directory_,
          [this](const std::string& why) { catalog_.SetPast(why); }, replicas_),
      late_timer_(seams_.metadata.home),
      lifetime_(seams_.metadata.home) {}

Broker::~Broker() = default;

void Broker::Start(Done done) {
  seams_.metadata.home.Post([this, done = std::move(done)]() mutable {
    started_ = std::move(done);
    metadata_.Start([this](const absl::Status& status) { OnMember(status); });
  });
}

// Nothing is known of the logs without them: damage, in a directory that was used. In a new one they
// are written at once, so that they can be missed from then on.
absl::StatusOr<log::RecoveryPointSet> Broker::LoadPoints() {
  FileSystem& fs = seams_.metadata.fs;
  const std::string& data = options_.config.data_dir;
  absl::StatusOr<log::RecoveryPointSet> points = log::LoadRecoveryPoints(fs, data);
  if (absl::IsFailedPrecondition(points.status())) return points;
  const uint64_t known = metadata_.record().positions().points;
  if (points.ok()) {
    if (points->sequence < known) return OlderPoints();
    return points;
  }
  log::RecoveryPointSet none;
  none.sequence = known;
  if (!absl::IsNotFound(points.status())) {
    NotePointsLost(points.status().message());
  } else if (HasStreams(fs, data)) {
    NotePointsMissing();
  } else {
    points_missing_ = true;
    RETURN_IF_ERROR(log::SaveRecoveryPoints(fs, data, none));
  }
  return none;
}

// What stands beside data/registration was put back from a copy older than it. Nothing is touched: the newer files
// may be at hand, and the only replica of a partition has nobody to fetch from.
absl::Status Broker::OlderPoints() const {
  const std::string& data = options_.config.data_dir;
  const std::string points = JoinPath(data, "recovery.points");
  return absl::FailedPreconditionError(
      Concat(points, " is older than ", JoinPath(data, "registration"),
             ": it was put back from a copy, with the streams or without them, and what was stored "
             "since is not known. Put back the newer files, or the whole directory ",
             data, " of one copy; or, to give up what was stored since, remove ", points,
             ": then its offsets are given again"));
}

void Broker::NotePointsMissing() {
  NotePointsLost(Concat(options_.config.data_dir, "/recovery.points was missing at the start"));
}

void Broker::NotePointsLost(absl::string_view what) {
  points_lost_ = Concat(what, kPointsMeaning);
  LogError(points_lost_);
}

std::vector<std::string> Broker::Degraded() const {
  std::vector<std::string> degraded = metadata_.Degraded();
  if (!points_lost_.empty()) degraded.push_back(points_lost_);
  return degraded;
}

absl::Status Broker::MakePartitions() {
  const config::Config& config = options_.config;
  partition::PartitionSetOptions options;
  options.data_directory = config.data_dir;
  options.broker = directory_.server_id();
  options.member = metadata_.node().value();
  options.incarnation = metadata_.incarnation();
  options.max_lag = config.replica_max_lag;
  options.max_silence = kSilentSessions * config.cluster.session_timeout;
  options.defaults = config.stream_defaults;
  options.max_message_bytes = static_cast<size_t>(config.max_message_bytes);
  const MetadataSeams& seams = seams_.metadata;
  ASSIGN_OR_RETURN(const DiskSpace space, seams.fs.Space(config.data_dir));
  options.disk_reserve_bytes = config.disk_reserve.Of(space.total_bytes);
  ASSIGN_OR_RETURN(log::RecoveryPointSet points, LoadPoints());
  replicas_.SetChannel(metadata_.replica_channel());
  partitions_ = std::make_unique<partition::PartitionSet>(
      partition::PartitionSetEnvironment{
          seams.fs, seams.clock, seams.home, seams_.shards, seams_.disk_pool, sync_, seams_.acks,
          seams_.feeds, catalog_, metadata_.frontend(), metadata_.frontend(), replicas_},
      options, std::move(points));
  return absl::OkStatus();
}

metadata::DirectoryPositions Broker::Positions() const {
  metadata::DirectoryPositions positions = metadata_.Positions();
  positions.points = partitions_->points_sequence();
  return positions;
}

void Broker::OnMember(const absl::Status& status) {
  if (!status.ok()) return End(status);
  if (const absl::Status made = MakePartitions(); !made.ok()) return End(made);
  metadata_.SetDiskFull([this] { return partitions_->disk_full(); });
  metadata_.registrar().SetPositions([this] { return Positions(); });
  const auto last = BeginRecovery(seams_.metadata.fs, options_.config.data_dir, options_.boot_id);
  if (!last.ok()) return End(last.status());
  last_stop_ = *last;
  RecoverReplicas();
}

// What became of the replicas while nobody watched is known before this broker says that it is here.
void Broker::RecoverReplicas() {
  metadata_.group().ReadBarrier(lifetime_.Guard([this](const absl::Status& passed) {
    if (!passed.ok()) {
      return seams_.metadata.home.After(kBarrierRetry,
                                        lifetime_.Guard([this] { RecoverReplicas(); }));
    }
    std::vector<PartitionKey> replicated;
    for (const auto& [name, stream] : metadata_.frontend().table().streams()) {
      for (const PartitionDescription& partition : stream.partitions) {
        const auto& replicas = partition.replicas;
        const bool here =
            std::find(replicas.begin(), replicas.end(), directory_.server_id()) != replicas.end();
        if (here && replicas.size() > 1) replicated.push_back({stream.id, partition.id});
      }
    }
    partitions_->RecoverBefore(
        replicated,
        lifetime_.Guard([this, replicated](std::vector<partition::RecoveredReplica> found) {
          // Without recovery.points nobody knows what should be there.
          const bool known = points_lost_.empty() && !(points_missing_ && metadata_.was_member());
          if (!known) {
            found.clear();
            for (const PartitionKey key : replicated) found.push_back({key, true, false, {}, {}});
          }
          if (const absl::Status told = TellRecovered(found); !told.ok()) return End(told);
          Register();
        }));
  }));
}

// R6b, R7b. Under `os` whatever was not stopped in order may have lost what it acknowledged.
absl::Status Broker::TellRecovered(const std::vector<partition::RecoveredReplica>& found) {
  std::vector<PartitionKey> lost;
  std::vector<metadata::DoubtfulReplica> doubtful;
  for (const partition::RecoveredReplica& replica : found) {
    const StreamDescription* stream = metadata_.frontend().table().Find(replica.key.stream);
    if (stream == nullptr) continue;
    const StreamSettings settings = Resolve(stream->overrides, options_.config.stream_defaults);
    const bool unsynced = settings.durability == Durability::kOs && last_stop_ != LastStop::kClean;
    if (replica.lost || unsynced) {
      lost.push_back(replica.key);
    } else if (last_stop_ == LastStop::kDoubtful ||
               (last_stop_ == LastStop::kKilled && replica.cut)) {
      doubtful.push_back({replica.key, replica.epoch, replica.end});
    }
  }
  if (!lost.empty()) {
    LogWarning(
        lost.size(), " of ", found.size(),
        " replicas have lost records, or may have: they leave the in-sync replicas until they "
        "have caught up");
  }
  if (!doubtful.empty()) {
    LogWarning("the last stop was not in order, and ", doubtful.size(), " of ", found.size(),
               " replicas may end earlier than they did: they are doubted until their leaders have "
               "verified them");
  }
  metadata_.registrar().SetDoubtful(std::move(doubtful));
  return lost.empty() ? absl::OkStatus() : metadata_.record().Owe(lost);
}

void Broker::Register() {
  metadata_.registrar().Register(
      *partitions_, metadata_.record(),
      [this](const absl::Status& registered) { Registered(registered); });
}

void Broker::Registered(const absl::Status& status) {
  // Metadata from before knows of streams here.
  if (points_missing_ && metadata_.was_member() &&
      HoldsAny(metadata_.frontend().table(), directory_.server_id()))
    NotePointsMissing();
  partitions_->Start();
  if (!status.ok()) return End(status);
  const std::string& data = options_.config.data_dir;
  if (const absl::Status noted = NoteServing(seams_.metadata.fs, data, options_.boot_id);
      !noted.ok()) {
    LogWarning("the next start will doubt the replicas here: ", FromAbsl(noted.message()));
  }
  told_ = true;
  Declare();
}

// All at once: without NATS each takes a while until it is clear that nobody listens yet. What needs
// more brokers than are here yet does not hold up the start.
void Broker::Declare() {
  const std::vector<StreamSpec>& specs = options_.config.declared_streams;
  std::vector<StreamSpec> now;
  for (const StreamSpec& spec : specs) {
    if (const int wanted = BrokersFor(spec); wanted > LiveBrokers()) {
      LogInfo("declared stream ", spec.name, " waits for ", wanted, " brokers, ", LiveBrokers(),
              " are here");
      late_.push_back(spec);
    } else {
      now.push_back(spec);
    }
  }
  if (!late_.empty()) {
    late_since_ = seams_.metadata.clock.Monotonic();
    late_timer_.Repeat(kLateDeclares, [this] { DeclareLate(); });
  }
  Create(std::move(now), [this](const absl::Status& status) { End(status); });
}

void Broker::Create(std::vector<StreamSpec> specs, Done done) {
  auto all = std::make_shared<Countdown>(std::move(done));
  for (StreamSpec& spec : specs) {
    streams().CreateStream(
        spec, limits::kDefaultMetadataTimeout,
        lifetime_.Guard([this, spec, part = all->Add()](const absl::Status& created) mutable {
          part(OnDeclared(spec, created));
        }));
  }
}

absl::Status Broker::OnDeclared(const StreamSpec& spec, const absl::Status& created) {
  if (created.ok()) {
    LogInfo("created declared stream ", spec.name, " on ", spec.subject);
    return created;
  }
  if (!absl::IsAlreadyExists(created)) {
    return absl::Status(created.code(),
                        Concat("streams.declare: ", spec.name, ": ", FromAbsl(created.message())));
  }
  const auto entry = catalog_.Find(spec.name);
  if (!entry) return absl::OkStatus();
  for (const std::string& difference :
       Differences(entry->stream, entry->settings, spec, LiveBrokers())) {
    LogWarning("streams.declare: ", spec.name, " exists and differs: ", difference);
  }
  return absl::OkStatus();
}

int Broker::LiveBrokers() const {
  int live = 0;
  for (const auto& [id, broker] : metadata_.frontend().table().brokers())
    live += broker.fenced ? 0 : 1;
  return live;
}

// How many brokers have to live for it. While a cluster begins its first one is alone for a moment:
// who is about to come is in the configuration.
int Broker::BrokersFor(const StreamSpec& spec) const {
  if (!options_.config.cluster.enabled)
    return 1;  // nobody will come: refused or not, it is clear now
  const auto expected = static_cast<int>(options_.config.cluster.bootstrap_peers.size());
  int factor =
      spec.replication_factor != 0 ? spec.replication_factor : options_.config.replication_factor;
  if (factor == 0) factor = expected >= 3 ? 3 : 1;
  return factor == -1 ? std::max(expected, 1) : factor;
}

// Created with the brokers that are here when those that are expected do not come.
void Broker::DeclareLate() {
  const bool patient = Between(late_since_, seams_.metadata.clock.Monotonic()) < kLatePatience;
  std::vector<StreamSpec> now;
  std::erase_if(late_, [&](const StreamSpec& spec) {
    const bool due =
        BrokersFor(spec) <= LiveBrokers() || (!patient && spec.replication_factor <= 0);
    if (due) now.push_back(spec);
    return due;
  });
  if (late_.empty()) late_timer_.Cancel();
  if (now.empty()) return;
  Create(std::move(now), [](const absl::Status& status) {
    if (!status.ok()) LogError(FromAbsl(status.message()));
  });
}

void Broker::End(const absl::Status& status) { std::exchange(started_, nullptr)(status); }

void Broker::Stop(absl::AnyInvocable<void()> done) {
  seams_.metadata.home.Post([this, done = std::move(done)]() mutable {
    if (!partitions_) return metadata_.Stop(std::move(done));
    if (!MayHandOver()) return StopPartitions(std::move(done));
    HandOver(metadata_.frontend(), directory_.server_id(), seams_.metadata.clock,
             limits::kHandOverTimeout, lifetime_.Guard([this, done = std::move(done)]() mutable {
               StopPartitions(std::move(done));
             }));
  });
}

// There are others, and this broker is known to them.
bool Broker::MayHandOver() const {
  return told_ && metadata_.frontend().table().brokers().size() > 1;
}

void Broker::StopPartitions(absl::AnyInvocable<void()> done) {
  late_timer_.Cancel();
  partitions_->Stop([this, done = std::move(done)]() mutable {
    if (const absl::Status noted = metadata_.record().NotePositions(Positions()); !noted.ok())
      LogWarning("the data directory's record: ", FromAbsl(noted.message()));
    if (!MayHandOver()) return StopMetadata(std::move(done));
    metadata_.registrar().Retire(
        limits::kRetireTimeout,
        lifetime_.Guard([this, done = std::move(done)](const absl::Status& retired) mutable {
          if (!retired.ok())
            LogWarning("others learn of this stop by silence: ", retired.message());
          StopMetadata(std::move(done));
        }));
  });
}

void Broker::StopMetadata(absl::AnyInvocable<void()> done) {
  lifetime_.End();
  if (told_) {
    const absl::Status clean = NoteCleanStop(seams_.metadata.fs, options_.config.data_dir);
    if (!clean.ok()) LogWarning("a clean stop cannot be noted: ", FromAbsl(clean.message()));
  }
  metadata_.Stop(std::move(done));
}

}  // namespace bascule::broker
