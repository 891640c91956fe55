// Arbitrary bytes as the metadata log and snapshot: opening answers or refuses with a text, never
// crashes; what opens takes a command, and opens again as it was.
//
// Input: a byte (bit 0: there is a snapshot; bit 1: put right checksums in, so that what lies
// behind them is reached), u16 length of the snapshot, snapshot, log.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/meta/local_metadata_log.h"
#include "replication/meta/meta_frontend.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace {

using bascule::Crc32c;
using bascule::wire::GetFixed;
using bascule::wire::PutFixed;

void Require(bool condition) {
  if (!condition) std::abort();
}

void Put(bascule::SimFileSystem& fs, const std::string& path, std::string_view bytes) {
  const auto file = fs.Open(path, bascule::OpenMode::kReplace);
  Require(file.ok() && (*file)->WriteAt(bascule::FilePosition(0), bytes).ok());
}

// Puts right checksums into as many records as the lengths lead to.
void MendLog(std::string& log) {
  constexpr size_t kRecordHeader = 24;
  size_t at = 8;
  while (log.size() >= at + kRecordHeader) {
    const size_t length = GetFixed<uint32_t>(&log[at + 4]);
    if (length > log.size() - at - kRecordHeader) return;
    const size_t end = at + kRecordHeader + length;
    PutFixed<uint32_t>(&log[at], Crc32c(std::string_view(log).substr(at + 4, end - at - 4)));
    at = end;
  }
}

void MendSnapshot(std::string& snapshot) {
  if (snapshot.size() < 4) return;
  const size_t body = snapshot.size() - 4;
  PutFixed<uint32_t>(&snapshot[body], Crc32c(std::string_view(snapshot).substr(0, body)));
}

// Opens; gives the table's bytes, or nothing when it was refused. With a command: proposes it.
std::string Open(bascule::SimFileSystem& fs, bool propose) {
  bascule::SimClock clock;
  bascule::SimScheduler scheduler(clock, 1);
  bascule::SimExecutor& home = scheduler.NewExecutor("home");
  bascule::MetaFrontend frontend(home, clock, "b1");
  const auto log = bascule::LocalMetadataLog::Open(fs, home, "/meta", frontend);
  if (!log.ok()) {
    Require(!log.status().message().empty());
    return "";
  }
  if (propose) {
    bool answered = false;
    (*log)->Propose(bascule::EncodeRegisterBroker("b1", 7),
                    [&](const absl::Status& status) { answered = status.ok(); });
    scheduler.RunUntilIdle();
    Require(answered);
  }
  return "opened " + frontend.Snapshot();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool with_snapshot = (input[0] & 1) != 0;
  const bool mend = (input[0] & 2) != 0;
  const size_t split = std::min<size_t>(GetFixed<uint16_t>(&input[1]), size - 3);
  std::string snapshot(input.substr(3, split));
  std::string log(input.substr(3 + split));
  if (mend) {
    MendSnapshot(snapshot);
    MendLog(log);
  }
  bascule::SimFileSystem fs(1);
  Require(fs.CreateDirectories("/meta").ok());
  if (with_snapshot) Put(fs, "/meta/snapshot", snapshot);
  Put(fs, "/meta/log", log);
  if (Open(fs, false).empty()) return 0;
  const std::string after = Open(fs, true);
  Require(!after.empty() && Open(fs, false) == after);
  return 0;
}
