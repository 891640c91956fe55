#include "core/log/recovery_points.h"

#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/wire/coding.h"

namespace bascule::log {
namespace {

using wire::AppendFixed;
using wire::GetFixed;

constexpr uint32_t kMagic = 0x50435342;  // "BSCP"
constexpr uint32_t kVersion = 3;
constexpr int64_t kNoLogStart = -1;
constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr char kFileName[] = "recovery.points";

void AppendPoint(std::string& out, const PartitionKey& key, const RecoveryPoint& point) {
  const SegmentFooter& active = point.active;
  AppendFixed<uint64_t>(out, key.stream.value());
  AppendFixed<int32_t>(out, key.partition.value());
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(active.epochs.size()));
  AppendFixed<int64_t>(out, active.base_offset.value());
  AppendFixed<int64_t>(out, active.end_offset.value());
  AppendFixed<uint64_t>(out, active.data_end.value());
  AppendFixed<uint64_t>(out, active.record_count);
  AppendFixed<uint64_t>(out, active.gap_records);
  AppendFixed<uint64_t>(out, active.messages_in_gaps);
  AppendFixed<int64_t>(out, active.first_timestamp.value());
  AppendFixed<int64_t>(out, active.max_timestamp.value());
  AppendFixed<int64_t>(out, active.last_message_end.value());
  AppendFixed<uint32_t>(out, active.data_crc);
  AppendFixed<int64_t>(out, point.log_start ? point.log_start->value() : kNoLogStart);
  AppendFixed<int64_t>(out, active.first_stored.value());
  AppendFixed<int64_t>(out, active.last_stored.value());
  for (const EpochStart& start : active.epochs) {
    AppendFixed<uint64_t>(out, start.epoch.value());
    AppendFixed<int64_t>(out, start.start.value());
  }
}

// Takes fixed-width numbers off the front; `ok` turns false at the end of the input and stays so.
class Taker {
 public:
  explicit Taker(std::string_view in) : in_(in) {}
  template <typename T>
  T Take() {
    if (in_.size() < sizeof(T)) {
      ok_ = false;
      return T{};
    }
    const T value = GetFixed<T>(in_.data());
    in_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view TakeBytes(size_t n) {
    if (in_.size() < n) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = in_.substr(0, n);
    in_.remove_prefix(n);
    return bytes;
  }
  void Refuse() { ok_ = false; }
  bool ok() const { return ok_; }
  bool done() const { return in_.empty(); }

 private:
  std::string_view in_;
  bool ok_ = true;
};

void TakePoint(Taker& take, uint32_t version, RecoveryPointSet& points) {
  PartitionKey key;
  key.stream = StreamId(take.Take<uint64_t>());
  key.partition = PartitionId(take.Take<int32_t>());
  const auto epochs = take.Take<uint32_t>();
  SegmentFooter active;
  active.base_offset = Offset(take.Take<int64_t>());
  active.end_offset = Offset(take.Take<int64_t>());
  active.data_end = FilePosition(take.Take<uint64_t>());
  active.record_count = take.Take<uint64_t>();
  active.gap_records = take.Take<uint64_t>();
  active.messages_in_gaps = take.Take<uint64_t>();
  active.first_timestamp = Timestamp(take.Take<int64_t>());
  active.max_timestamp = Timestamp(take.Take<int64_t>());
  active.last_message_end = Offset(take.Take<int64_t>());
  active.data_crc = take.Take<uint32_t>();
  std::optional<Offset> log_start;
  if (version >= 2) {
    if (const auto start = take.Take<int64_t>(); start != kNoLogStart) log_start = Offset(start);
    active.first_stored = Timestamp(take.Take<int64_t>());
    active.last_stored = Timestamp(take.Take<int64_t>());
  }
  for (uint32_t i = 0; i < epochs && take.ok(); ++i) {
    const LeaderEpoch epoch(take.Take<uint64_t>());
    active.epochs.push_back({epoch, Offset(take.Take<int64_t>())});
  }
  const bool possible =
      active.base_offset >= Offset(0) && active.end_offset >= active.base_offset &&
      active.end_offset <= kMaxStoredOffset && log_start.value_or(Offset(0)) >= Offset(0) &&
      log_start.value_or(Offset(0)) <= kMaxStoredOffset;
  if (!possible) take.Refuse();
  points.partitions[key] = RecoveryPoint{std::move(active), log_start};
}

}  // namespace

std::string EncodeRecoveryPoints(const RecoveryPointSet& points) {
  std::string out;
  AppendFixed<uint32_t>(out, kMagic);
  AppendFixed<uint32_t>(out, kVersion);
  AppendFixed<uint64_t>(out, points.sequence);
  AppendFixed<uint64_t>(out, points.member);
  AppendFixed<uint64_t>(out, points.applied.value());
  AppendFixed<uint64_t>(out, points.partitions.size());
  for (const auto& [key, point] : points.partitions) AppendPoint(out, key, point);
  AppendFixed<uint32_t>(out, Crc32c(out));
  return out;
}

absl::StatusOr<RecoveryPointSet> ParseRecoveryPoints(std::string_view bytes) {
  if (bytes.size() < 4 + 16) return absl::DataLossError("file is too short");
  const std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (GetFixed<uint32_t>(bytes.data() + body.size()) != Crc32c(body))
    return absl::DataLossError("checksum differs");
  Taker take(body);
  if (take.Take<uint32_t>() != kMagic) return absl::DataLossError("wrong magic");
  const auto version = take.Take<uint32_t>();
  if (version == 0) return absl::DataLossError("no such format version");
  if (version > kVersion) {
    return absl::FailedPreconditionError(
        Concat("format version ", version, " is newer than this program knows"));
  }
  RecoveryPointSet points;
  uint32_t boot_bytes = 0;
  if (version == 1) {
    take.Take<uint32_t>();  // whether the stop was clean, and on which boot: decided nothing
    boot_bytes = take.Take<uint32_t>();
  }
  if (version >= 3) {
    points.sequence = take.Take<uint64_t>();
    points.member = take.Take<uint64_t>();
    points.applied = MetadataIndex(take.Take<uint64_t>());
  }
  const auto count = take.Take<uint64_t>();
  take.TakeBytes(boot_bytes);
  for (uint64_t i = 0; i < count && take.ok(); ++i) TakePoint(take, version, points);
  if (!take.ok() || !take.done()) return absl::DataLossError("numbers do not fit");
  return points;
}

absl::StatusOr<RecoveryPointSet> LoadRecoveryPoints(FileSystem& fs,
                                                    const std::string& data_directory) {
  const std::string path = JoinPath(data_directory, kFileName);
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(const std::string bytes, ReadWhole(*file, kMaxFileBytes));
  absl::StatusOr<RecoveryPointSet> points = ParseRecoveryPoints(bytes);
  if (!points.ok())
    return absl::Status(points.status().code(), Concat(path, ": ", points.status().message()));
  return points;
}

absl::Status SaveRecoveryPoints(FileSystem& fs, const std::string& data_directory,
                                const RecoveryPointSet& points) {
  return WriteFileAtomically(fs, JoinPath(data_directory, kFileName), EncodeRecoveryPoints(points));
}

}  // namespace bascule::log
