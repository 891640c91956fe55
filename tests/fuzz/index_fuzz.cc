// An index of any bytes, beside an active segment and inside a sealed one: every offset is found
// all the same, forward, backward and by time.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/unit/log_files.h"

namespace bascule {
namespace {

constexpr int64_t kMessages = 40;
constexpr size_t kValueBytes = 3000;

const log::SegmentFile& Sample() {
  static const log::SegmentFile file = [] {
    log::SegmentFile made(Offset(0));
    made.AddMany(kMessages, kValueBytes);
    return made;
  }();
  return file;
}

void CheckReads(log::LogAtWork& world) {
  for (const int64_t offset : {int64_t{0}, int64_t{9}, int64_t{11}, int64_t{25}, kMessages - 1}) {
    for (const bool reverse : {false, true}) {
      log::ReadPlace place;
      const auto step = world.Read(Offset(offset), reverse, place);
      BASCULE_CHECK(step.ok());
      const std::vector<log::ReadMessage> messages = log::Messages(step->batches.view());
      BASCULE_CHECK(!messages.empty());
      const log::ReadMessage& found = reverse ? messages.back() : messages.front();
      BASCULE_CHECK_EQ(found.offset, Offset(offset));
      BASCULE_CHECK(found.value == log::SegmentFile::Value(Offset(offset), kValueBytes));
    }
    const Timestamp time(1000 + offset);
    const auto plan = world.log->PlanFindTimestamp(time);
    BASCULE_CHECK(plan.has_value());
    const auto found = log::FindTimestamp(world.fs, *plan, time);
    BASCULE_CHECK(found.ok());
    BASCULE_CHECK_EQ(*found, Offset(offset));
  }
}

void CheckIndexFile(std::string_view index) {
  log::LogAtWork world;
  log::PutFile(world.fs, log::LogPath(Offset(0)), Sample().bytes);
  log::PutFile(world.fs, log::IndexPath(Offset(0)), index);
  world.Open(log::RecoveryPoint{Sample().facts});
  BASCULE_CHECK_EQ(world.log->log_end(), Offset(kMessages));
  CheckReads(world);
}

// The index of a sealed segment is not covered by the footer's checksum: the same bytes in there.
void CheckSealedIndex(std::string_view index) {
  log::LogAtWork world;
  log::SegmentFile file = Sample();
  std::string bytes = file.Sealed();
  const size_t at = file.bytes.size();
  const size_t n = std::min(index.size(), file.index.size() * log::kIndexEntryBytes);
  bytes.replace(at, n, index.substr(0, n));
  log::PutFile(world.fs, log::LogPath(Offset(0)), bytes);
  log::PutFile(world.fs, log::LogPath(Offset(kMessages)),
               log::SegmentFile(Offset(kMessages)).bytes);
  world.Open();
  BASCULE_CHECK_EQ(world.log->log_end(), Offset(kMessages));
  CheckReads(world);
}

}  // namespace
}  // namespace bascule

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view index(reinterpret_cast<const char*>(data), size);
  bascule::CheckIndexFile(index);
  bascule::CheckSealedIndex(index);
  return 0;
}
