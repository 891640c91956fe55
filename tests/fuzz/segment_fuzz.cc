// Segment files of any bytes: opening, reading and inspecting them gives an error or a sound log,
// never a crash, and every batch that comes out was whole on the disk.
//
//   input = choice (1 byte) | the bytes of the first segment, checksums made right where the choice
//   says so
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/log/inspect.h"
#include "tests/unit/log_files.h"

namespace bascule {
namespace {

enum Choice : uint8_t {
  kSecondSegment = 1,  // a sound one follows, at offset 5
  kFixHeader = 2,
  kFixFooter = 4,
  kFixBatches = 8,  // random bytes would seldom get further otherwise
  kWithPoint = 16,
  kCutAt = 32,
};

// The header's checksum, and the first batches'.
void FixFront(std::string& bytes, uint8_t choice) {
  if (bytes.size() < log::kSegmentHeaderBytes) return;
  if ((choice & kFixHeader) != 0)
    wire::PutFixed<uint32_t>(&bytes[60], Crc32c(std::string_view(bytes).substr(0, 60)));
  if ((choice & kFixBatches) == 0) return;
  size_t at = log::kSegmentHeaderBytes;
  while (at < bytes.size()) {
    wire::BatchHeader header;
    const std::string_view rest = std::string_view(bytes).substr(at);
    if (wire::ParseBatchHeader(rest, header) != wire::BatchParse::kOk) return;
    if (header.total_bytes() > rest.size()) return;
    const std::string_view batch = rest.substr(0, header.total_bytes());
    wire::PutFixed<uint32_t>(&bytes[at + 12],
                             ExtendCrc32c(Crc32c(batch.substr(0, 12)), batch.substr(16)));
    at += header.total_bytes();
  }
}

void FixFooter(std::string& bytes) {
  if (bytes.size() < log::kFooterTailBytes) return;
  const size_t tail = bytes.size() - log::kFooterTailBytes;
  const uint32_t footer_bytes = wire::GetFixed<uint32_t>(&bytes[tail + 4]);
  if (footer_bytes > tail) return;
  const std::string_view footer = std::string_view(bytes).substr(tail - footer_bytes, footer_bytes);
  wire::PutFixed<uint32_t>(&bytes[tail], Crc32c(footer));
}

void CheckBatches(const log::SegmentReadResult& result, const std::string& on_disk) {
  std::string_view rest = result.batches.view();
  while (!rest.empty()) {
    wire::BatchHeader header;
    std::string_view payload;
    BASCULE_CHECK(wire::ParseBatch(rest, header, payload) == wire::BatchParse::kOk);
    BASCULE_CHECK(on_disk.find(rest.substr(0, header.total_bytes())) != std::string::npos);
    rest.remove_prefix(header.total_bytes());
  }
}

// Forward to the end and backward to the beginning, a bounded number of steps; damage is stepped
// over. The simulated pool's part is done in place.
void ReadBothWays(log::LogAtWork& world, const std::string& on_disk) {
  constexpr int kMostSteps = 200;
  log::CommitLog& log = *world.log;
  log::ReadPlace place;
  Offset at = log.log_start();
  for (int i = 0; i < kMostSteps && at < log.log_end(); ++i) {
    const auto step = world.Read(at, false, place);
    if (step.ok()) {
      CheckBatches(*step, on_disk);
      BASCULE_CHECK_GT(step->next, at);
      at = step->next;
    } else {
      BASCULE_CHECK(absl::IsDataLoss(step.status()));
      ++at;
    }
  }
  at = log.log_end() - 1;
  for (int i = 0; i < kMostSteps && at >= log.log_start(); ++i) {
    const auto step = world.Read(at, true, place);
    if (step.ok()) {
      CheckBatches(*step, on_disk);
      BASCULE_CHECK_LT(step->next, at);
      at = step->next;
    } else {
      BASCULE_CHECK(absl::IsDataLoss(step.status()));
      at = at - 1;
    }
  }
  for (const int64_t time : {int64_t{0}, int64_t{1003}, log.last_timestamp().value()}) {
    const auto plan = log.PlanFindTimestamp(Timestamp(time));
    if (plan) (void)log::FindTimestamp(world.fs, *plan, Timestamp(time)).status();
  }
}

void CheckAnyBytes(uint8_t choice, std::string bytes) {
  FixFront(bytes, choice);
  if ((choice & kFixFooter) != 0) FixFooter(bytes);
  log::LogAtWork world;
  log::PutFile(world.fs, log::LogPath(Offset(0)), bytes);
  std::string on_disk = bytes;
  if ((choice & kSecondSegment) != 0) {
    log::SegmentFile second(Offset(5));
    log::PutFile(world.fs, log::LogPath(Offset(5)), second.AddMany(3).bytes);
    on_disk += second.bytes;
  }
  const auto ignore = [](uint64_t, uint64_t) {};
  BASCULE_CHECK(
      InspectLog(world.fs, {log::kLogDirectory, std::nullopt}, log::InspectDepth::kBytes, ignore)
          .ok());
  BASCULE_CHECK(
      InspectLog(world.fs, {log::kLogDirectory, std::nullopt}, log::InspectDepth::kFooters, ignore)
          .ok());

  log::RecoveryRequest request = log::Request();
  log::SegmentFile point(Offset(0));
  if ((choice & kWithPoint) != 0) request.point = log::RecoveryPoint{point.AddMany(2, 40).facts};
  if ((choice & kCutAt) != 0) request.known_end = log::KnownEnd{Offset(2), Offset(3)};
  absl::StatusOr<log::RecoveredLog> recovered = log::RecoverLog(world.fs, request);
  if (!recovered.ok()) {
    BASCULE_CHECK(absl::IsFailedPrecondition(recovered.status()) ||
                  absl::IsDataLoss(recovered.status()));
    return;
  }
  world.log = log::CommitLog::Create({world.fs, world.clock, world.shard, world.pool, world.budget},
                                     world.options, *std::move(recovered));
  if (request.point) BASCULE_CHECK_GE(world.log->log_end(), request.point->active.end_offset);
  ReadBothWays(world, on_disk);
  // A log that was opened takes the next batch and opens again with it.
  const Offset end = world.log->log_end();
  if (end.value() > int64_t{1} << 62) return;
  BASCULE_CHECK(world.Append({"next"}).ok());
  BASCULE_CHECK(world.Flush().ok());
  const log::RecoveryPoint now = world.log->Point();
  world.log.reset();
  world.Open(now);
  BASCULE_CHECK_EQ(world.log->log_end(), end + 1);
}

}  // namespace
}  // namespace bascule

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  bascule::CheckAnyBytes(data[0], std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
