// `bascule log` over segment files made here, sound and damaged.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/log/segment.h"
#include "core/wire/batch.h"
#include "tests/support/child_process.h"

namespace bascule::testing {
namespace {

constexpr Timestamp kTime(1'700'000'000'000'000'000);

bool Has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

RunResult RunLog(std::vector<std::string> args) {
  const char* folder = std::getenv("BASCULE_BIN");
  ChildOptions options;
  options.program = std::string(folder != nullptr ? folder : "bin") + "/bascule";
  options.args = std::move(args);
  return RunProgram(options).value();
}

std::string Batch(Offset base, int records) {
  wire::BatchBuilder builder;
  builder.Begin(base, LeaderEpoch(3), kTime + base.value() * 1'000'000'000, Offset(0), 0);
  for (int i = 0; i < records; ++i) builder.Add("\x1a\x05value");
  return builder.Finish();
}

// A segment of one batch, with what stands behind it when it is sealed.
std::string SegmentBytes(Offset base, int records, bool sealed) {
  const std::string batch = Batch(base, records);
  std::string bytes = log::EncodeSegmentHeader({StreamId(7), PartitionId(2), base}) + batch;
  if (!sealed) return bytes + std::string(4096, '\0');
  log::SegmentFooter footer;
  footer.base_offset = footer.end_offset = base;
  std::vector<log::IndexEntry> index;
  log::NoteBatch(footer, index, batch, FilePosition(log::kSegmentHeaderBytes));
  footer.index_entries = static_cast<uint32_t>(index.size());
  return bytes + log::EncodeSealing(footer, index);
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

struct LogOnDisk {
  TempDir folder;
  std::string first = folder.Path(log::SegmentFileName(Offset(0)));
  std::string second = folder.Path(log::SegmentFileName(Offset(1000)));

  LogOnDisk() {
    Write(first, SegmentBytes(Offset(0), 1000, true));
    Write(second, SegmentBytes(Offset(1000), 5, false));
  }
};

TEST_CASE("a sound log: inspect shows its segments, verify says so") {
  LogOnDisk log;
  const RunResult shown = RunLog({"log", "inspect", log.folder.path()});
  CHECK(shown.exit.code == 0);
  CHECK(Has(shown.output, "stream id 7, partition 2"));
  CHECK(Has(shown.output, "sealed"));
  CHECK(Has(shown.output, "1,004"));
  CHECK(Has(shown.output, "2023-11-14T22:13:20Z"));
  const RunResult verified = RunLog({"log", "verify", log.folder.path()});
  CHECK(verified.exit.code == 0);
  CHECK(Has(verified.output, ": sound, 1,005 messages in 2 segments"));
  const RunResult json = RunLog({"--json", "log", "verify", log.folder.path()});
  CHECK(Has(json.output, "\"stream_id\":7,\"partition\":2,\"verified\":true,\"sound\":true"));
  CHECK(Has(json.output, "\"first_offset\":0,\"last_offset\":999,\"messages\":1000"));
}

TEST_CASE("one changed byte is status 5, and the sentence names the file") {
  LogOnDisk log;
  std::string bytes = SegmentBytes(Offset(0), 1000, true);
  bytes[log::kSegmentHeaderBytes + wire::kBatchHeaderBytes + 100] ^= 1;
  Write(log.first, bytes);
  const RunResult verified = RunLog({"log", "verify", log.folder.path()});
  CHECK(verified.exit.code == 5);
  CHECK(Has(verified.output, ": DAMAGED"));
  CHECK(Has(verified.output, "! " + log::SegmentFileName(Offset(0)) + ": "));
}

TEST_CASE("a log that cannot be read hides no damage of another, before or behind it") {
  std::string damaged = SegmentBytes(Offset(0), 1000, true);
  damaged[log::kSegmentHeaderBytes + wire::kBatchHeaderBytes + 100] ^= 1;
  for (const bool first : {true, false}) {
    const TempDir logs;
    for (const std::string directory : {"1", "2"}) {
      const std::string path = logs.Path(directory);
      const std::string segment = JoinPath(path, log::SegmentFileName(Offset(0)));
      REQUIRE(RealFileSystem().CreateDirectories(path).ok());
      if ((directory == "1") == first) {
        Write(segment, damaged);
      } else {
        std::filesystem::create_symlink(segment, segment);  // which nobody can open, nor root
      }
    }
    const RunResult verified = RunLog({"log", "verify", logs.path()});
    CHECK(verified.exit.code == 5);
    CHECK(Has(verified.output, ": DAMAGED"));
    CHECK(Has(verified.errors, logs.Path(first ? "2" : "1")));
  }
}

TEST_CASE("another partition's file, and what is no file, are status 5 by name") {
  const TempDir data;
  const std::string own = data.Path("streams/7/2");
  const std::string other = data.Path("streams/7/1");
  const std::string name = log::SegmentFileName(Offset(0));
  for (const std::string& directory : {own, other}) {
    REQUIRE(RealFileSystem().CreateDirectories(directory).ok());
    Write(JoinPath(directory, name), SegmentBytes(Offset(0), 3, false));
  }
  CHECK(RunLog({"log", "verify", own}).exit.code == 0);
  const RunResult foreign = RunLog({"log", "verify", data.path()});
  CHECK(foreign.exit.code == 5);
  CHECK(Has(foreign.output, JoinPath(other, name) +
                                " belongs to stream id 7 partition 2, not to stream id 7 partition "
                                "1"));
  const std::string pipe = JoinPath(own, log::SegmentFileName(Offset(3)));
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  const RunResult waits_for_nobody = RunLog({"log", "verify", own});
  CHECK(waits_for_nobody.exit.code == 5);
  CHECK(Has(waits_for_nobody.output, pipe + ": it is a named pipe and no regular file"));
}

TEST_CASE("a missing range is damage, no directory is status 3") {
  LogOnDisk log;
  Write(log.folder.Path(log::SegmentFileName(Offset(2000))), SegmentBytes(Offset(2000), 5, false));
  const RunResult shown = RunLog({"log", "inspect", log.folder.path()});
  CHECK(shown.exit.code == 5);
  CHECK(Has(shown.output, "! offsets 1005 to 1999 are missing"));
  CHECK(RunLog({"log", "verify", log.folder.path() + "/nothing"}).exit.code == 3);
  const TempDir empty;
  const RunResult none = RunLog({"log", "inspect", empty.path()});
  CHECK(none.exit.code == 3);
  CHECK(Has(none.errors, "no segment files in or below"));
}

}  // namespace
}  // namespace bascule::testing
