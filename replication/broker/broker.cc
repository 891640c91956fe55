#include "replication/broker/broker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/log/recovery_points.h"
#include "core/stream/difference.h"

namespace bascule::broker {
namespace {

constexpr char kPointsMeaning[] =
    ": how far the logs had come is not known, so that a partition whose directory is gone too "
    "began anew and gives its offsets again. Compare what bascule stream info shows with what was "
    "here, and put back from a copy what is missing, while the broker is stopped";

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
      metadata_(seams_.metadata, options_, directory_,
                [this](const std::string& why) { catalog_.SetPast(why); }) {}

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
  options.defaults = config.stream_defaults;
  options.max_message_bytes = static_cast<size_t>(config.max_message_bytes);
  const MetadataSeams& seams = seams_.metadata;
  ASSIGN_OR_RETURN(const DiskSpace space, seams.fs.Space(config.data_dir));
  options.disk_reserve_bytes = config.disk_reserve.Of(space.total_bytes);
  ASSIGN_OR_RETURN(log::RecoveryPointSet points, LoadPoints());
  partitions_ = std::make_unique<partition::PartitionSet>(
      partition::PartitionSetEnvironment{seams.fs, seams.clock, seams.home, seams_.shards,
                                         seams_.disk_pool, sync_, seams_.acks, seams_.feeds,
                                         catalog_, metadata_.frontend()},
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
  metadata_.registrar().Register(
      *partitions_, metadata_.record(), [this](const absl::Status& registered) {
        // Metadata from before knows of streams here.
        if (points_missing_ && metadata_.was_member() &&
            HoldsAny(metadata_.frontend().table(), directory_.server_id()))
          NotePointsMissing();
        partitions_->Start();
        if (!registered.ok()) return End(registered);
        Declare();
      });
}

// All at once: without NATS each takes a while until it is clear that nobody listens yet.
void Broker::Declare() {
  struct Results {
    std::vector<absl::Status> statuses;
    size_t waiting;
  };
  const std::vector<StreamSpec>& specs = options_.config.declared_streams;
  if (specs.empty()) return End(absl::OkStatus());
  auto results = std::make_shared<Results>();
  results->statuses.resize(specs.size());
  results->waiting = specs.size();
  for (size_t i = 0; i < specs.size(); ++i) {
    streams().CreateStream(specs[i], limits::kDefaultMetadataTimeout,
                           [this, i, results](absl::Status status) {
                             results->statuses[i] = std::move(status);
                             if (--results->waiting == 0) OnDeclared(results->statuses);
                           });
  }
}

void Broker::OnDeclared(const std::vector<absl::Status>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    const StreamSpec& spec = options_.config.declared_streams[i];
    const absl::Status& created = results[i];
    if (created.ok()) {
      LogInfo("created declared stream ", spec.name, " on ", spec.subject);
      continue;
    }
    if (!absl::IsAlreadyExists(created)) {
      return End(absl::Status(created.code(), Concat("streams.declare: ", spec.name, ": ",
                                                     FromAbsl(created.message()))));
    }
    const auto entry = catalog_.Find(spec.name);
    if (!entry) continue;
    for (const std::string& difference : Differences(entry->stream, entry->settings, spec, 1)) {
      LogWarning("streams.declare: ", spec.name, " exists and differs: ", difference);
    }
  }
  End(absl::OkStatus());
}

void Broker::End(const absl::Status& status) { std::exchange(started_, nullptr)(status); }

void Broker::Stop(absl::AnyInvocable<void()> done) {
  seams_.metadata.home.Post([this, done = std::move(done)]() mutable {
    if (!partitions_) return metadata_.Stop(std::move(done));
    partitions_->Stop([this, done = std::move(done)]() mutable {
      if (const absl::Status noted = metadata_.record().NotePositions(Positions()); !noted.ok())
        LogWarning("the data directory's record: ", FromAbsl(noted.message()));
      metadata_.Stop(std::move(done));
    });
  });
}

}  // namespace bascule::broker
