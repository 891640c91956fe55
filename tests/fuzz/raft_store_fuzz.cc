// Arbitrary bytes as each file of the metadata store: opening answers or refuses with a text, never
// crashes; what opens takes entries, and opens again as it was.
//
// Input: a byte that picks the file (low bits) and says whether right checksums are put in (0x80),
// so that what lies behind them is reached; then the file's bytes. The other files are those of a
// store with a snapshot at entry 3 and entries 4 to 6.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/meta/store/raft_store.h"
#include "replication/meta/store/store_format.h"
#include "tests/support/sim_file_system.h"

namespace {

using bascule::Crc32c;
using bascule::FilePosition;
using bascule::raft::Entry;
using bascule::raft::Index;
using bascule::raft::NodeId;
using bascule::raft::Term;
using bascule::wire::GetFixed;
using bascule::wire::PutFixed;
namespace store = bascule::raft_store;

constexpr char kDirectory[] = "/meta";
constexpr bascule::raft_store::RaftStoreOptions kOptions{4096, 0};

void Require(bool condition) {
  if (!condition) std::abort();
}

std::string PathOf(std::string_view name) { return bascule::JoinPath(kDirectory, name); }

std::unique_ptr<bascule::raft_store::RaftStore> CreateSound(bascule::SimFileSystem& fs) {
  const bascule::raft::SnapshotMeta first{Index(1), Term(1), {{NodeId(1)}, {}}};
  auto created = bascule::raft_store::RaftStore::Create(fs, kDirectory, kOptions, {"c", NodeId(1)},
                                                        first, "state 1");
  Require(created.ok());
  bascule::raft_store::RaftStore& sound = **created;
  for (uint64_t i = 2; i <= 6; ++i) {
    const Entry entry{Index(i), Term(1), {}, "entry"};
    Require(sound.Save(std::nullopt, {entry}, Index(i)).ok());
  }
  const bascule::raft::SnapshotMeta second{Index(3), Term(1), {{NodeId(1)}, {NodeId(2)}}};
  Require(sound.SaveSnapshot(second, "state 3", false).ok());
  return *std::move(created);
}

void MendEnd(std::string& bytes) {
  if (bytes.size() < 4) return;
  const size_t body = bytes.size() - 4;
  PutFixed<uint32_t>(&bytes[body], Crc32c(std::string_view(bytes).substr(0, body)));
}

void MendAt(std::string& bytes, size_t begin, size_t length) {
  if (bytes.size() < begin + length + 4) return;
  PutFixed<uint32_t>(&bytes[begin + length], Crc32c(std::string_view(bytes).substr(begin, length)));
}

// Puts right checksums into as many records as the lengths lead to.
void MendLog(std::string& log) {
  MendAt(log, 0, store::kSegmentHeaderBytes - 4);
  size_t at = store::kSegmentHeaderBytes;
  while (log.size() >= at + store::kRecordHeaderBytes) {
    const size_t length = GetFixed<uint32_t>(&log[at + 4]);
    if (length > log.size() - at - store::kRecordHeaderBytes) return;
    std::string covered(16, '\0');
    PutFixed<uint64_t>(&covered[0], GetFixed<uint64_t>(&log[8]));
    PutFixed<uint64_t>(&covered[8], at);
    covered += log.substr(at + 4, store::kRecordHeaderBytes - 4 + length);
    PutFixed<uint32_t>(&log[at], Crc32c(covered));
    at += store::kRecordHeaderBytes + length;
  }
}

// Replaces one file by `bytes`.
void Place(bascule::SimFileSystem& fs, unsigned pick, bool mend, std::string bytes) {
  std::string name;
  switch (pick % 6) {
    case 0:
      name = store::kIdentityName;
      if (mend) MendEnd(bytes);
      break;
    case 1:
      name = store::kHardStateName;
      if (mend) MendAt(bytes, 0, 40);
      break;
    case 2:
      name = store::ToFileName({Index(3), Term(1)});
      if (mend) MendEnd(bytes);
      break;
    case 3:
      name = store::ToFileName({Index(bytes.size() % 9), Term(1)});
      if (mend) MendEnd(bytes);
      break;
    default:
      // In the place of the only segment, or behind it.
      name = store::SegmentFileName(pick % 6 == 4 ? 1 : 2);
      if (mend) MendLog(bytes);
      break;
  }
  const auto file = fs.Open(PathOf(name), bascule::OpenMode::kReplace);
  Require(file.ok() && (*file)->WriteAt(FilePosition(0), bytes).ok() && (*file)->Sync().ok());
}

// Opens; false when it was refused.
bool Open(bascule::SimFileSystem& fs, bascule::raft_store::StoredRaft& found,
          std::unique_ptr<bascule::raft_store::RaftStore>& opened) {
  opened.reset();
  auto result = bascule::raft_store::RaftStore::Open(fs, kDirectory, kOptions, found);
  if (!result.ok()) {
    Require(!result.status().message().empty());
    return false;
  }
  opened = *std::move(result);
  Index next = found.raft.snapshot.index + 1;
  for (const Entry& entry : found.raft.entries) {
    Require(entry.index == next);
    ++next;
  }
  Require(found.raft.hard_state.commit >= found.raft.snapshot.index);
  Require(found.raft.hard_state.commit < next);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  bascule::SimFileSystem fs(1);
  CreateSound(fs).reset();
  Place(fs, data[0] & 0x7f, (data[0] & 0x80) != 0, std::string(input.substr(1)));
  bascule::raft_store::StoredRaft found;
  std::unique_ptr<bascule::raft_store::RaftStore> opened;
  if (!Open(fs, found, opened)) return 0;
  bascule::raft_store::StoredRaft again;
  Require(Open(fs, again, opened));
  Require(again.raft.entries == found.raft.entries && again.state == found.state);
  Require(again.raft.hard_state == found.raft.hard_state);
  const Term term = found.raft.hard_state.term;
  const Index last = found.raft.snapshot.index + found.raft.entries.size();
  Require(opened->Save(std::nullopt, {{last + 1, term, {}, "one more"}}, last + 1).ok());
  Require(opened->SaveSnapshot({last + 1, term, {}}, "new state", false).ok());
  Require(Open(fs, again, opened) && again.state == "new state");
  return 0;
}
