// Arbitrary bytes as the metadata log and snapshot of versions before clusters: reading answers or
// refuses with a text, never crashes; what is read is a table, which takes a command.
//
// Input: a byte (bit 0: there is a snapshot; bit 1: put right checksums in, so that what lies
// behind them is reached), u16 length of the snapshot, snapshot, log.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/meta/table/command_register_broker.h"
#include "replication/meta/table/legacy_metadata.h"
#include "replication/meta/table/meta_table.h"
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
  const auto read = bascule::metadata::ReadLocalMetadata(fs, "/meta");
  if (!read.ok()) {
    Require(!read.status().message().empty());
    return 0;
  }
  bascule::metadata::MetaTable table;
  Require(table.Restore(read->applied, read->snapshot).ok());
  Require(table.applied() == read->applied);
  Require(table.Snapshot() == read->snapshot);
  bascule::metadata::BrokerRegistration registration;
  registration.id = "b1";
  registration.node = bascule::PeerId(1);
  registration.incarnation = 7;
  table.Apply(read->applied + 1, bascule::metadata::EncodeRegisterBroker(registration));
  const auto again = bascule::metadata::ReadLocalMetadata(fs, "/meta");
  Require(again.ok() && again->snapshot == read->snapshot);
  return 0;
}
