// One test for each line of the list in core/log/recovery.h, under that line's words.
#include "core/log/recovery.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

TEST_CASE("a new directory becomes an empty log, durably") {
  SimFileSystem fs(1);
  CHECK(End(Recover(fs)) == Offset(0));
  SimRng rng(1);
  fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  REQUIRE(fs.Exists(LogPath(Offset(0))));
  CHECK(ParseSegmentHeader(fs.DurableBytes(LogPath(Offset(0)))).ok());
}

TEST_CASE("1. torn tail after the durable mark: cut at the last whole batch") {
  SegmentFile whole(Offset(0));
  whole.AddMany(3, 100);
  const size_t last = whole.starts[2].value();
  for (size_t size = last; size < whole.bytes.size(); ++size) {
    for (const char* behind : {"", "zeros"}) {
      SimFileSystem fs(1);
      std::string bytes = whole.bytes.substr(0, size);
      if (*behind != '\0') bytes.append(5000, '\0');
      PutFile(fs, LogPath(Offset(0)), bytes);
      const RecoveredLog log = Recover(fs);
      INFO("cut to ", size, " ", behind);
      CHECK(End(log) == Offset(2));
      CHECK(log.damaged.empty());
      CHECK((log.cut_bytes > 0) == (size > last));
      const std::string kept = fs.DurableBytes(LogPath(Offset(0)));
      CHECK(kept.substr(0, last) == whole.bytes.substr(0, last));
      CHECK(kept.find_first_not_of('\0', last) == std::string::npos);
      CHECK(log.last_timestamp == Timestamp(1001));
    }
  }
}

TEST_CASE("2. preallocated zeros behind the data: kept as preallocation") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  file.AddMany(3);
  PutFile(fs, LogPath(Offset(0)), file.bytes + std::string(300'000, '\0'));
  const RecoveredLog log = Recover(fs);
  CHECK(End(log) == Offset(3));
  CHECK(log.cut_bytes == 0);
  CHECK(log.segments.back().footer.data_end == file.facts.data_end);
  CHECK(log.segments.back().file_bytes == file.bytes.size() + 300'000);
}

TEST_CASE("3. later batches on disk behind a torn earlier one: cut with it") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  file.AddMany(5, 100);
  PutFile(fs, LogPath(Offset(0)), file.bytes);
  fs.FlipBit(LogPath(Offset(0)), file.starts[2].value() + 100, 3);
  SegmentFile durable(Offset(0));
  durable.AddMany(2, 100);
  const RecoveredLog log = Recover(fs, Request(PointAt(durable)));
  CHECK(End(log) == Offset(2));
  CHECK(log.damaged.empty());
  CHECK(log.cut_bytes == file.bytes.size() - file.starts[2].value());
  CHECK(fs.DurableBytes(LogPath(Offset(0))) == durable.bytes);
}

TEST_CASE("4. segments behind a cut: removed, durably") {
  SimFileSystem fs(1);
  SegmentFile first(Offset(0)), second(Offset(3)), third(Offset(6));
  PutFile(fs, LogPath(Offset(0)), first.AddMany(3, 100).bytes);
  PutFile(fs, LogPath(Offset(3)), second.AddMany(3, 100).bytes);
  PutFile(fs, LogPath(Offset(6)), third.AddMany(3, 100).bytes);
  fs.FlipBit(LogPath(Offset(0)), first.starts[1].value() + 100, 0);
  const RecoveredLog log = Recover(fs);
  CHECK(End(log) == Offset(1));
  REQUIRE(log.segments.size() == 1);
  CHECK_FALSE(log.segments[0].sealed);
  SimRng rng(1);
  fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  CHECK_FALSE(fs.Exists(LogPath(Offset(3))));
  CHECK_FALSE(fs.Exists(LogPath(Offset(6))));
}

TEST_CASE("4. a segment behind a missing one goes too when nothing durable was in either") {
  SimFileSystem fs(1);
  PutFile(fs, LogPath(Offset(0)), SegmentFile(Offset(0)).AddMany(3).bytes);
  PutFile(fs, LogPath(Offset(9)), SegmentFile(Offset(9)).AddMany(3).bytes);
  const RecoveredLog log = Recover(fs);
  CHECK(End(log) == Offset(3));
  CHECK(log.damaged.empty());
  CHECK_FALSE(fs.Exists(LogPath(Offset(9))));
}

TEST_CASE("5. a segment file whose creation was torn: removed when it holds nothing durable") {
  const std::string header = SegmentFile(Offset(3)).bytes;
  std::vector<std::string> torn = {std::string(64, '\0'), std::string(70'000, '\0')};
  for (size_t size = 0; size < header.size(); ++size) torn.push_back(header.substr(0, size));
  for (const std::string& bytes : torn) {
    SimFileSystem fs(1);
    SegmentFile first(Offset(0));
    PutFile(fs, LogPath(Offset(0)), first.AddMany(3).bytes);
    PutFile(fs, LogPath(Offset(3)), bytes);
    const RecoveredLog log = Recover(fs, Request(PointAt(first)));
    INFO("file of ", bytes.size());
    CHECK(End(log) == Offset(3));
    CHECK(log.damaged.empty());
    REQUIRE(log.segments.size() == 1);
    CHECK_FALSE(fs.Exists(LogPath(Offset(3))));
  }
}

TEST_CASE("5. a torn first segment of an empty log is made anew") {
  SimFileSystem fs(1);
  PutFile(fs, LogPath(Offset(0)), "BSC");
  const RecoveredLog log = Recover(fs);
  CHECK(End(log) == Offset(0));
  CHECK(log.damaged.empty());
  CHECK(ParseSegmentHeader(fs.DurableBytes(LogPath(Offset(0)))).ok());
}

TEST_CASE("5. a torn header with something torn behind it: made anew, once") {
  SimFileSystem fs(1);
  SegmentFile first(Offset(0));
  PutFile(fs, LogPath(Offset(0)), first.AddMany(3).bytes);
  PutFile(fs, LogPath(Offset(3)), std::string(64, '\0') + "torn" + std::string(60, '\0'));
  const RecoveredLog log = Recover(fs, Request(PointAt(first)));
  CHECK(log.segments.size() == 2);
  CHECK(log.segments.back().base() == Offset(3));
  CHECK(log.segments.front().base() == Offset(0));
  CHECK(log.damaged.empty());
}

TEST_CASE("6. a closed segment without or with a bad footer: scanned, checked and sealed again") {
  SegmentFile first(Offset(0)), second(Offset(3));
  const std::string sealed = first.AddMany(3).Sealed();
  const size_t data = first.bytes.size();
  std::vector<std::string> states = {first.bytes, first.bytes + std::string(70'000, '\0')};
  for (size_t size = data + 1; size < sealed.size(); ++size)
    states.push_back(sealed.substr(0, size));
  for (size_t at = data; at < sealed.size(); ++at) {  // a sector of zeros, a flipped bit
    states.push_back(sealed);
    states.back()[at] = static_cast<char>(states.back()[at] ^ 1);
  }
  for (const std::string& state : states) {
    SimFileSystem fs(1);
    PutFile(fs, LogPath(Offset(0)), state);
    PutFile(fs, LogPath(Offset(3)), second.bytes);
    const RecoveredLog log = Recover(fs);
    REQUIRE(log.segments.size() == 2);
    CHECK(log.segments[0].sealed);
    CHECK(log.segments[0].end() == Offset(3));
    CHECK(log.damaged.empty());
    CHECK(log.cut_bytes == 0);
    // A flipped bit of an index entry is found by who reads it; everything else is as new.
    const size_t index_end = data + first.index.size() * kIndexEntryBytes;
    const bool index_only =
        state.size() == sealed.size() && state.substr(index_end) == sealed.substr(index_end);
    if (!index_only) CHECK(fs.DurableBytes(LogPath(Offset(0))) == sealed);
  }
}

TEST_CASE("a message that ends like a footer seals nothing") {
  SegmentFile file(Offset(0));
  file.AddMany(2);
  const auto with_value = [&](const std::string& value) {
    SegmentFile copy = file;
    return copy.Add(MakeBatch({Offset(2), {value}, Timestamp(1002)}));
  };
  // The file's length and the footer in it depend on each other: the message is filled up until the
  // index that the footer claims has room for whole entries.
  SegmentFooter claimed = file.facts;
  claimed.end_offset = Offset(1'000'000);
  const size_t bytes = with_value(std::string(600, 'x')).bytes.size();
  const size_t footer_bytes = EncodeSealing(claimed, {}).size();
  const size_t entries = (bytes - footer_bytes - kSegmentHeaderBytes) / kIndexEntryBytes;
  claimed.index_entries = static_cast<uint32_t>(entries);
  claimed.data_end = FilePosition(bytes - footer_bytes - entries * kIndexEntryBytes);
  const std::string sealing = EncodeSealing(claimed, std::vector<IndexEntry>(entries));
  std::string value(600, 'x');
  value.replace(600 - footer_bytes, footer_bytes, sealing.substr(sealing.size() - footer_bytes));
  const SegmentFile forged = with_value(value);
  size_t needed = 0;
  REQUIRE(ParseFooter(forged.bytes, forged.bytes.size(), needed).ok());

  LogAtWork world;
  PutFile(world.fs, LogPath(Offset(0)), forged.bytes);
  world.Open();
  CHECK(world.log->log_end() == Offset(3));
  CHECK(world.ReadAll(Offset(0))->size() == 3);
}

TEST_CASE("a sealed segment that lost its successor is still known to be sealed") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  const std::string sealed = file.AddMany(3).Sealed();
  PutFile(fs, LogPath(Offset(0)), sealed);
  const RecoveredLog log = Recover(fs);
  CHECK(log.segments.size() == 2);
  CHECK(End(log) == Offset(3));
  CHECK(log.cut_bytes == 0);
  CHECK(fs.DurableBytes(LogPath(Offset(0))) == sealed);
}

TEST_CASE("7. missing, short or damaged index file: every offset is found all the same") {
  SegmentFile file(Offset(0));
  file.AddMany(200, 1000);
  REQUIRE(file.index.size() > 4);
  std::string index;
  for (const IndexEntry& entry : file.index) AppendIndexEntry(index, entry);
  std::vector<std::string> states = {
      index, "", index.substr(0, 95), std::string(400, '\0'), index.substr(40), index + index};
  for (size_t at = 0; at < index.size(); at += 29) {
    states.push_back(index);
    states.back()[at] = static_cast<char>(states.back()[at] ^ 0x10);
  }
  for (const std::string& state : states) {
    LogAtWork world;
    PutFile(world.fs, LogPath(Offset(0)), file.bytes);
    if (!state.empty()) PutFile(world.fs, IndexPath(Offset(0)), state);
    world.Open(PointAt(file));
    for (int64_t offset = 0; offset < 200; offset += 7) {
      ReadPlace place;
      const auto step = world.Read(Offset(offset), false, place);
      REQUIRE(step.ok());
      CHECK(Messages(step->batches.view()).front().offset == Offset(offset));
    }
  }
}

TEST_CASE("7. with the index file and the recovery point nothing old is read") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  file.AddMany(2000, 1000);
  PutFile(fs, LogPath(Offset(0)), file.bytes);
  Recover(fs);
  const uint64_t whole = fs.faults().Calls(kRead);
  SegmentFile again = file;
  const RecoveredLog log = Recover(fs, Request(PointAt(again)));
  CHECK(End(log) == Offset(2000));
  CHECK(log.segments.back().footer.data_crc == file.facts.data_crc);
  CHECK(fs.faults().Calls(kRead) - whole <= 4);
}

TEST_CASE("8. leftover temporary files: removed; what is not ours stays") {
  SimFileSystem fs(1);
  PutFile(fs, JoinPath(kLogDirectory, "00000000000000000000.log.tmp"), "half");
  PutFile(fs, JoinPath(kLogDirectory, "notes.txt"), "somebody's");
  PutFile(fs, JoinPath(kLogDirectory, "0.log"), "somebody's");
  Recover(fs);
  CHECK_FALSE(fs.Exists(JoinPath(kLogDirectory, "00000000000000000000.log.tmp")));
  CHECK(fs.Exists(JoinPath(kLogDirectory, "notes.txt")));
  CHECK(fs.Exists(JoinPath(kLogDirectory, "0.log")));
}

TEST_CASE("9. no recovery point: the whole active segment is scanned") {
  SimFileSystem fs(1);
  SegmentFile first(Offset(0)), second(Offset(40));
  PutFile(fs, LogPath(Offset(0)), first.AddMany(40, 1000).Sealed());
  PutFile(fs, LogPath(Offset(40)), second.AddMany(100, 1000).bytes);
  const RecoveredLog log = Recover(fs);
  CHECK(End(log) == Offset(140));
  CHECK(log.damaged.empty());
  const Segment& active = log.segments.back();
  CHECK(active.footer.data_crc == second.facts.data_crc);
  CHECK(active.footer.record_count == 100);
  CHECK(active.footer.first_timestamp == Timestamp(1040));
  CHECK(active.footer.max_timestamp == Timestamp(1139));
  CHECK(active.footer.last_message_end == Offset(140));
  CHECK(active.footer.epochs == second.facts.epochs);
  CHECK(active.index == second.index);
}

TEST_CASE("9. a point of another segment, or past the file, is no place to start from") {
  SegmentFile first(Offset(0)), second(Offset(3));
  first.AddMany(3);
  second.AddMany(3);
  SimFileSystem fs(1);
  PutFile(fs, LogPath(Offset(0)), first.Sealed());
  PutFile(fs, LogPath(Offset(3)), second.bytes);
  CHECK(End(Recover(fs, Request(PointAt(first)))) == Offset(6));
}

TEST_CASE("10. listed but missing: the range is lost, its offsets are not used again") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(10));
  const RecoveredLog log = Recover(fs, Request(PointAt(file.AddMany(5))));
  CHECK(End(log) == Offset(15));
  REQUIRE(log.damaged.size() == 1);
  CHECK(log.damaged[0].to == Offset(15));
  CHECK_FALSE(log.notes.empty());
}

TEST_CASE("10. a file shorter than its point") {
  SegmentFile file(Offset(0));
  file.AddMany(5, 100);
  for (const size_t size : {size_t{0}, size_t{64}, file.starts[3].value() + 7}) {
    SimFileSystem fs(1);
    PutFile(fs, LogPath(Offset(0)), file.bytes.substr(0, size));
    const RecoveredLog log = Recover(fs, Request(PointAt(file)));
    INFO("cut to ", size);
    CHECK(End(log) == Offset(5));
    REQUIRE(log.damaged.size() == 1);
    CHECK(log.damaged[0].from == Offset(size > 64 ? 3 : 0));
    CHECK(log.damaged[0].to == Offset(5));
    CHECK(log.segments.back().base() == Offset(5));
  }
}

TEST_CASE("10. a bad batch before the mark: named, kept, and what is behind it stays readable") {
  LogAtWork world;
  SegmentFile file(Offset(0));
  file.AddMany(2, 100);
  // Its header says that everything before it had been committed.
  file.Add(MakeBatch({Offset(2), {"b"}, Timestamp(1002), LeaderEpoch(1), Offset(2)})).AddMany(2);
  PutFile(world.fs, LogPath(Offset(0)), file.bytes);
  world.fs.FlipBit(LogPath(Offset(0)), file.starts[1].value() + 100, 3);
  const std::string before = world.fs.DurableBytes(LogPath(Offset(0)));
  world.Open();
  CHECK(world.fs.DurableBytes(LogPath(Offset(0))) == before);
  CHECK(world.log->log_end() == Offset(5));
  REQUIRE(world.log->damaged().size() == 1);
  CHECK(world.log->damaged()[0].from == Offset(1));
  CHECK(world.log->damaged()[0].to == Offset(2));
  const auto lost = world.ReadAll(Offset(1));
  CHECK(absl::IsDataLoss(lost.status()));
  CHECK(lost.status().ToString().find(LogPath(Offset(0))) != std::string::npos);
  CHECK(lost.status().ToString().find("offsets 1 to 1 are lost") != std::string::npos);
  REQUIRE(world.ReadAll(Offset(2)).ok());
  CHECK(world.ReadAll(Offset(2))->size() == 3);
}

TEST_CASE("10. a segment between two others is missing: its range is lost, the others stay") {
  LogAtWork world;
  SegmentFile first(Offset(0)), third(Offset(9));
  PutFile(world.fs, LogPath(Offset(0)), first.AddMany(3).Sealed());
  PutFile(world.fs, LogPath(Offset(9)), third.AddMany(3).Sealed());
  world.Open();
  CHECK(world.log->log_end() == Offset(12));
  REQUIRE(world.log->damaged().size() == 1);
  CHECK(world.log->damaged()[0].from == Offset(3));
  CHECK(world.log->damaged()[0].to == Offset(9));
  CHECK(absl::IsDataLoss(world.ReadAll(Offset(0)).status()));
  CHECK(world.ReadAll(Offset(9))->size() == 3);
}

TEST_CASE("damage where a new epoch began: the segment sealed from it has a sound index") {
  SimFileSystem fs(1);
  SegmentFile first(Offset(0)), second(Offset(5));
  first.AddMany(2, 100);
  first.Add(MakeBatch({Offset(2), {"b"}, Timestamp(1002), LeaderEpoch(2), Offset(2)})).AddMany(2);
  PutFile(fs, LogPath(Offset(0)), first.bytes);
  PutFile(fs, LogPath(Offset(5)), second.bytes);
  fs.FlipBit(LogPath(Offset(0)), first.starts[1].value() + 100, 3);
  const RecoveredLog log = Recover(fs);
  REQUIRE(log.damaged.size() == 1);
  auto file = fs.Open(LogPath(Offset(0)), OpenMode::kRead);
  REQUIRE(file.ok());
  const auto index = ReadSealedIndex(**file, log.segments[0].footer);
  INFO(index.status().ToString());
  CHECK(index.ok());
}

TEST_CASE("the last timestamp is that of the whole log, where its last segment is empty or older") {
  SegmentFile first(Offset(0));
  first.Add(MakeBatch({Offset(0), {"ahead"}, Timestamp(9000)}));
  SegmentFile empty(Offset(1));
  SegmentFile older(Offset(1));
  older.Add(MakeBatch({Offset(1), {"behind"}, Timestamp(5000)}));
  for (const SegmentFile* last : {&empty, &older}) {
    SimFileSystem fs(1);
    PutFile(fs, LogPath(Offset(0)), first.Sealed());
    PutFile(fs, LogPath(Offset(1)), last->bytes);
    const RecoveredLog log = Recover(fs);
    CHECK(log.segments.size() == 2);
    CHECK(log.last_timestamp == Timestamp(9000));
  }
}

TEST_CASE("another partition's directory, a newer version, another segment's name: not touched") {
  SegmentFile file(Offset(0));
  file.AddMany(3);
  std::string newer = file.bytes;
  newer[4] = 2;
  wire::PutFixed<uint32_t>(newer.data() + 60, Crc32c(std::string_view(newer).substr(0, 60)));
  std::string other = file.bytes;
  other.replace(0, 64, EncodeSegmentHeader({StreamId(8), PartitionId(0), Offset(0)}));
  const std::string renamed = SegmentFile(Offset(9)).AddMany(3).bytes;
  for (const std::string& bytes : {newer, other, renamed}) {
    SimFileSystem fs(1);
    PutFile(fs, LogPath(Offset(0)), bytes + "torn");
    const auto recovered = RecoverLog(fs, Request());
    CHECK(absl::IsFailedPrecondition(recovered.status()));
    CHECK(recovered.status().ToString().find(LogPath(Offset(0))) != std::string::npos);
    CHECK(fs.VisibleBytes(LogPath(Offset(0))) == bytes + "torn");
  }
}

}  // namespace
}  // namespace bascule::log
