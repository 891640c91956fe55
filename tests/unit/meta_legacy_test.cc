// The metadata log of versions before clusters: what is read from it, and what is refused.
#include "replication/meta/table/legacy_metadata.h"

#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/wire/coding.h"
#include "tests/support/sim_file_system.h"
#include "tests/unit/meta_samples.h"

namespace bascule::metadata {
namespace {

constexpr char kLog[] = "/data/meta/log";
constexpr char kSnapshot[] = "/data/meta/snapshot";

// Commands as those versions encoded them, byte for byte.
const std::string kRegister("\x1a\x06\x0a\x02\x62\x31\x10\x2a", 8);  // b1, incarnation 42
// Stream "s", subject "in", created 5, retention_max_bytes 77, one partition on b1.
const std::string kCreate(
    "\x0a\x1d\x0a\x1b\x12\x01\x73\x1a\x02\x69\x6e\x28\x05\x32\x02\x08\x4d\x3a\x0c\x12\x02\x62\x31"
    "\x22\x02\x62\x31\x2a\x02\x62\x31",
    31);
const std::string kDelete("\x12\x03\x0a\x01\x73", 5);
const std::string kRaise("\x22\x04\x08\x02\x10\x00", 6);  // stream id 2, partition 0

class OldFiles {
 public:
  OldFiles() : fs(1) {
    REQUIRE(fs.CreateDirectories("/data/meta").ok());
    wire::AppendFixed<uint32_t>(log, 0x4d435342);
    wire::AppendFixed<uint32_t>(log, 1);
  }
  // `durable`: what was synced when it was written; by default all before it.
  void Add(const std::string& command, std::optional<size_t> durable = std::nullopt) {
    std::string record;
    wire::AppendFixed<uint32_t>(record, static_cast<uint32_t>(command.size()));
    wire::AppendFixed<uint64_t>(record, ++index);
    wire::AppendFixed<uint64_t>(record, durable.value_or(log.size()));
    record += command;
    wire::AppendFixed<uint32_t>(log, Crc32c(record));
    log += record;
  }
  void PutSnapshot(uint64_t applied, const std::string& state) {
    std::string bytes;
    wire::AppendFixed<uint32_t>(bytes, 0x4e435342);
    wire::AppendFixed<uint32_t>(bytes, 1);
    wire::AppendFixed<uint64_t>(bytes, applied);
    bytes += state;
    wire::AppendFixed<uint32_t>(bytes, Crc32c(bytes));
    Put(kSnapshot, bytes);
  }
  void Put(const std::string& path, const std::string& bytes) {
    const auto file = fs.Open(path, OpenMode::kReplace);
    REQUIRE(file.ok());
    REQUIRE((*file)->WriteAt(FilePosition(0), bytes).ok());
    REQUIRE((*file)->Sync().ok());
  }
  absl::StatusOr<LegacyMetadata> Read() {
    if (with_log) Put(kLog, log);
    return ReadLocalMetadata(fs, "/data/meta");
  }
  MetaTable Table() {
    const auto read = Read();
    REQUIRE_MESSAGE(read.ok(), read.status().ToString());
    MetaTable table;
    REQUIRE(table.Restore(read->applied, read->snapshot).ok());
    CHECK(table.applied() == read->applied);
    return table;
  }

  SimFileSystem fs;
  std::string log;
  uint64_t index = 0;
  bool with_log = true;
};

}  // namespace

TEST_CASE("a directory without the old files is none of theirs") {
  OldFiles files;
  files.with_log = false;
  CHECK(absl::IsNotFound(files.Read().status()));
  CHECK(absl::IsNotFound(ReadLocalMetadata(files.fs, "/nowhere").status()));
}

TEST_CASE("the log of an old version becomes the same streams under the same ids and epochs") {
  OldFiles files;
  files.Add(kRegister);
  files.Add(kCreate);
  files.Add(kRaise);
  MetaTable table = files.Table();
  CHECK(table.applied() == MetadataIndex(3));
  const StreamDescription* stream = table.Find("s");
  REQUIRE(stream != nullptr);
  CHECK(stream->id == StreamId(2));
  CHECK(stream->subject == "in");
  CHECK(stream->created == Timestamp(5));
  CHECK(stream->overrides.retention_max_bytes == 77);
  REQUIRE(stream->partitions.size() == 1);
  // Batches on the disk carry these epochs: later ones must be greater.
  CHECK(stream->partitions[0].leader_epoch == LeaderEpoch(3));
  CHECK(stream->partitions[0].leader == "b1");
  CHECK(stream->partitions[0].isr == Names{"b1"});
  CHECK(table.FindBroker("b1")->incarnation == 42);
  // The upgraded broker registers with its node id, and is the same one.
  CHECK(table.Apply(MetadataIndex(4), EncodeRegisterBroker(Broker("b1", 43))).result.ok());
  CHECK(table.Find("s")->partitions[0].leader == "b1");
  CHECK(table.Find("s")->partitions[0].leader_epoch == LeaderEpoch(4));
}

TEST_CASE("an old snapshot is read, and records that it holds already are skipped") {
  OldFiles files;
  files.Add(kRegister);
  files.Add(kCreate);
  files.Add(kDelete);
  files.Add(kCreate);
  // Applied 2: stream "s" with the id 2 and b1 leading in epoch 2; broker b1 with incarnation 42.
  files.PutSnapshot(
      2, std::string("\x08\x02\x12\x19\x08\x02\x12\x01\x73\x1a\x02\x69\x6e\x3a\x0e\x12\x02\x62\x31"
                     "\x18\x02\x22\x02\x62\x31\x2a\x02\x62\x31\x1a\x06\x0a\x02\x62\x31\x10\x2a",
                     37));
  MetaTable table = files.Table();
  CHECK(table.applied() == MetadataIndex(4));
  CHECK(table.Find("s")->id == StreamId(4));
  CHECK(table.LoadOf("b1").leading == 1);
  files.with_log = false;
  REQUIRE(files.fs.Remove(kLog).ok());
  CHECK(files.Table().Find("s")->id == StreamId(2));
}

TEST_CASE("a torn tail is ignored, damage before what was durable is refused") {
  OldFiles files;
  files.Add(kRegister);
  const size_t first = files.log.size();
  files.Add(kCreate);
  const std::string whole = files.log;
  for (size_t cut = 1; cut < whole.size() - first; ++cut) {
    files.log = whole.substr(0, whole.size() - cut);
    CHECK(files.Table().applied() == MetadataIndex(1));
  }
  files.log = whole;
  files.log[8 + 24 + 3] ^= 4;  // in the first command
  const absl::Status damaged = files.Read().status();
  CHECK(absl::IsDataLoss(damaged));
  CHECK(damaged.message() ==
        "/data/meta/log is damaged at byte 8, with more records behind; restore the directory "
        "/data/meta from a backup");
}

TEST_CASE("of a group that was not synced any part may be there: all of it is ignored") {
  for (size_t missing = 0; missing < 3; ++missing) {
    OldFiles files;
    files.Add(kRegister);
    const size_t group = files.log.size();
    std::vector<size_t> starts;
    for (int i = 0; i < 3; ++i) {
      starts.push_back(files.log.size());
      files.Add(kDelete, group);
    }
    files.log[starts[missing] + 25] ^= 1;
    CHECK(files.Table().applied() == MetadataIndex(1 + missing));
  }
}

TEST_CASE("a file that is none of theirs, a newer version, a hole and a bad snapshot are refused") {
  OldFiles files;
  files.Add(kRegister);
  SUBCASE("log magic") {
    files.log[0] ^= 1;
    CHECK(absl::IsDataLoss(files.Read().status()));
  }
  SUBCASE("log version") {
    files.log[4] = 2;
    const absl::Status status = files.Read().status();
    CHECK(absl::IsFailedPrecondition(status));
    CHECK(status.message() == "/data/meta/log was written by a newer version of this program");
  }
  SUBCASE("log too short") {
    files.log.resize(7);
    CHECK(absl::IsDataLoss(files.Read().status()));
  }
  SUBCASE("a hole") {
    ++files.index;
    files.Add(kDelete);
    CHECK(files.Read().status().message() ==
          "/data/meta/log has command 3 after 1; restore the directory /data/meta from a backup");
  }
  SUBCASE("a command of a newer version") {
    files.Add(std::string("\x7a\x00", 2));
    CHECK(absl::IsUnimplemented(files.Read().status()));
  }
  SUBCASE("any bit of the snapshot") {
    files.PutSnapshot(1, "\x1a\x06\x0a\x02\x62\x31\x10\x2a");
    const size_t size = files.fs.VisibleBytes(kSnapshot).size();
    for (size_t at = 0; at < size; ++at) {
      files.fs.FlipBit(kSnapshot, at, 5);
      const absl::Status status = files.Read().status();
      CHECK(absl::IsDataLoss(status));
      CHECK(status.message() ==
            "/data/meta/snapshot is damaged; restore the directory /data/meta from a backup");
      files.fs.FlipBit(kSnapshot, at, 5);
    }
    CHECK(files.Read().ok());
  }
}

TEST_CASE("nothing is written: the old files stay for the version that wrote them") {
  OldFiles files;
  files.Add(kRegister);
  files.Add(kCreate);
  files.log += "torn";
  CHECK(files.Read().ok());
  CHECK(files.fs.VisibleBytes(kLog) == files.log);
}

}  // namespace bascule::metadata
