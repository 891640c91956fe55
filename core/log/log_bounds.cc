#include "core/log/log_bounds.h"

#include <optional>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/log/segment_format.h"
#include "core/wire/coding.h"

namespace bascule::log {
namespace {

using wire::GetFixed;
using wire::PutFixed;

constexpr uint32_t kBoundsMagic = 0x4C435342;  // "BSCL"
constexpr uint32_t kBoundsVersion = 1;
constexpr size_t kCrcAt = kLogBoundsSlotBytes - 4;

size_t SlotPosition(uint64_t sequence) { return sequence % 2 * kLogBoundsSlotStride; }

// The slot that a torn write of the one with `sequence` would fall back on. Its own sync may have
// failed, which shows in no reading: it is written once more.
absl::Status KeepOtherSlot(File& file, uint64_t sequence) {
  const size_t at = SlotPosition(sequence + 1);
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (size < at + kLogBoundsSlotBytes) return absl::OkStatus();
  std::string slot(kLogBoundsSlotBytes, '\0');
  RETURN_IF_ERROR(ReadFully(file, FilePosition(at), slot.data(), slot.size()));
  RETURN_IF_ERROR(file.WriteAt(FilePosition(at), slot));
  return file.Sync();
}

}  // namespace

std::string EncodeLogBounds(const StoredLogBounds& stored) {
  BASCULE_CHECK_LE(stored.bounds.start, stored.bounds.end);
  std::string out(kLogBoundsSlotBytes, '\0');
  PutFixed<uint32_t>(&out[0], kBoundsMagic);
  PutFixed<uint32_t>(&out[4], kBoundsVersion);
  PutFixed<uint64_t>(&out[8], stored.key.stream.value());
  PutFixed<int32_t>(&out[16], stored.key.partition.value());
  PutFixed<uint64_t>(&out[24], stored.bounds.sequence);
  PutFixed<int64_t>(&out[32], stored.bounds.start.value());
  PutFixed<int64_t>(&out[40], stored.bounds.end.value());
  PutFixed<uint32_t>(&out[kCrcAt], Crc32c(std::string_view(out).substr(0, kCrcAt)));
  return out;
}

absl::StatusOr<StoredLogBounds> ParseLogBounds(std::string_view file) {
  std::optional<StoredLogBounds> newest;
  for (const size_t at : {size_t{0}, kLogBoundsSlotStride}) {
    if (file.size() < at + kLogBoundsSlotBytes) continue;
    const std::string_view slot = file.substr(at, kLogBoundsSlotBytes);
    if (GetFixed<uint32_t>(&slot[0]) != kBoundsMagic) continue;
    if (GetFixed<uint32_t>(&slot[kCrcAt]) != Crc32c(slot.substr(0, kCrcAt))) continue;
    if (const auto version = GetFixed<uint32_t>(&slot[4]); version != kBoundsVersion) {
      return absl::FailedPreconditionError(Concat(
          "format version ", version, " is newer than this program knows (", kBoundsVersion, ")"));
    }
    StoredLogBounds stored;
    stored.key = {StreamId(GetFixed<uint64_t>(&slot[8])),
                  PartitionId(GetFixed<int32_t>(&slot[16]))};
    stored.bounds.sequence = GetFixed<uint64_t>(&slot[24]);
    stored.bounds.start = Offset(GetFixed<int64_t>(&slot[32]));
    stored.bounds.end = Offset(GetFixed<int64_t>(&slot[40]));
    if (stored.bounds.start < Offset(0) || stored.bounds.end < stored.bounds.start) continue;
    if (stored.bounds.end > kMaxStoredOffset) continue;
    if (!newest || stored.bounds.sequence > newest->bounds.sequence) newest = stored;
  }
  if (!newest) return absl::DataLossError("neither of its two slots is sound");
  return *newest;
}

absl::StatusOr<StoredLogBounds> LoadLogBounds(FileSystem& fs, const std::string& directory) {
  const std::string path = JoinPath(directory, kLogBoundsFileName);
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, OpenMode::kRead));
  absl::StatusOr<std::string> bytes = ReadWhole(*file, kLogBoundsFileBytes);
  // Longer than it can be: whatever it is, it is not what was written.
  if (absl::IsResourceExhausted(bytes.status())) bytes = std::string();
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<StoredLogBounds> stored = ParseLogBounds(*bytes);
  if (!stored.ok())
    return absl::Status(stored.status().code(), Concat(path, ": ", stored.status().message()));
  return stored;
}

absl::Status StoreLogBounds(FileSystem& fs, const std::string& directory,
                            const StoredLogBounds& stored) {
  const std::string path = JoinPath(directory, kLogBoundsFileName);
  const std::string slot = EncodeLogBounds(stored);
  absl::StatusOr<std::unique_ptr<File>> file = fs.Open(path, OpenMode::kReadWrite);
  if (file.ok()) {
    RETURN_IF_ERROR(KeepOtherSlot(**file, stored.bounds.sequence));
    RETURN_IF_ERROR((*file)->WriteAt(FilePosition(SlotPosition(stored.bounds.sequence)), slot));
    return (*file)->Sync();
  }
  if (!absl::IsNotFound(file.status())) return file.status();
  file = fs.Open(path, OpenMode::kReplace);
  RETURN_IF_ERROR(file.status());
  std::string whole = slot;
  whole.resize(kLogBoundsSlotStride, '\0');
  whole += whole;
  RETURN_IF_ERROR((*file)->WriteAt(FilePosition(0), whole));
  return (*file)->Sync();
}

}  // namespace bascule::log
