// Bytes of the store's files; the page for people is FORMAT.md. Writer and reader share only this
// header. Functions of their arguments: any thread. All integers little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/meta/raft/types.h"
#include "replication/meta/store/raft_store.h"

namespace bascule::raft_store {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kHardStateBlockBytes = 4096;
inline constexpr size_t kHardStateBytes = 2 * kHardStateBlockBytes;
inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr size_t kRecordHeaderBytes = 48;
// No index beyond it is believed, so that arithmetic on indexes cannot overflow.
inline constexpr uint64_t kMaxIndex = uint64_t{1} << 62;

inline constexpr std::string_view kIdentityName = "identity";
inline constexpr std::string_view kHardStateName = "hardstate";
inline constexpr std::string_view kBallastName = "ballast";

enum class Soundness {
  kSound,
  kDamaged,
  kNewer,  // its checksum is right, its version is not ours
};

// --- identity ---
//  0 4 magic "BSRI"  4 4 version  8 8 node  16 4 length  20 cluster id  n 4 CRC-32C of all before
std::string EncodeIdentity(const MetaIdentity& identity);
Soundness DecodeIdentity(std::string_view bytes, MetaIdentity& identity);

// --- hard state: two copies, each at the beginning of a block of its own ---
//  0 4 magic "BSRH"  4 4 version  8 8 sequence  16 8 term  24 8 vote  32 8 segment
//  40 4 CRC-32C of all before
struct HardStateCopy {
  uint64_t sequence = 0;  // raised by every change
  raft::Term term;
  raft::NodeId vote;
  uint64_t segment = 0;  // sequence of the log's newest segment: without it, entries are missing
  bool operator==(const HardStateCopy&) const = default;
};
// A whole block.
std::string EncodeHardState(const HardStateCopy& copy);
Soundness DecodeHardState(std::string_view block, HardStateCopy& copy);

// --- snapshot ---
//  0 4 magic "BSRS"  4 4 version  8 8 index  16 8 term  24 4 voters  28 4 learners
//  32 8 length of the state  40 8 each: voters, learners  then: the state  n 4 CRC-32C of all
//  before
// What stands before the state; the state and the checksum of both follow.
std::string EncodeSnapshotHeader(const raft::SnapshotMeta& meta, uint64_t state_bytes);
// `state_begin`: where the state begins; it ends 4 bytes before the end.
Soundness DecodeSnapshot(std::string_view bytes, raft::SnapshotMeta& meta, size_t& state_begin);
// snapshot-<index>-<term>, 16 hexadecimal digits each.
struct SnapshotName {
  raft::Index index;
  raft::Term term;
  auto operator<=>(const SnapshotName&) const = default;
};
std::string ToFileName(const SnapshotName& name);
std::optional<SnapshotName> ParseSnapshotName(std::string_view file_name);

// --- log segment ---
//  0 4 magic "BSRL"  4 4 version  8 8 sequence  16 8 first index  24 8 previous term  32 8 commit
//  40 8 previous end  48 8 durable  56 4 flags (1: base)  60 4 CRC-32C of all before
struct SegmentHeader {
  uint64_t sequence = 0;      // consecutive; also in the file's name
  raft::Index first;          // entries of earlier segments from here on do not count
  raft::Term previous_term;   // of the entry before `first`; 0: none, or not known
  raft::Index commit;         // known when the file was made
  FilePosition previous_end;  // of the records of the segment before
  FilePosition durable;       // all before it was synced before the file got its name
  bool base = false;          // nothing of earlier segments counts
  bool operator==(const SegmentHeader&) const = default;
};
std::string EncodeSegmentHeader(const SegmentHeader& header);
Soundness DecodeSegmentHeader(std::string_view bytes, SegmentHeader& header);
// log-<sequence>, 16 hexadecimal digits.
std::string SegmentFileName(uint64_t sequence);
std::optional<uint64_t> ParseSegmentName(std::string_view file_name);

//  0 4 CRC-32C  4 4 length of the data  8 8 index  16 8 term  24 8 commit  32 8 durable  40 1 type
//  41 7 zero  48 data
// The checksum covers the segment's sequence, the record's position (8 bytes each, not stored) and
// everything behind it: a record counts nowhere but in its place.
enum class RecordType : uint8_t {
  kNormal = 0,      // these two as raft::EntryType
  kConfChange = 1,  //
  kMark = 2,        // no entry; index and term are those of the last one
};
struct Record {
  raft::Index index;
  raft::Term term;
  raft::Index commit;
  FilePosition durable;  // end of what was synced in this file when it was written
  RecordType type = RecordType::kNormal;
  std::string_view data;
  size_t bytes() const { return kRecordHeaderBytes + data.size(); }
};
// Where a record stands: part of what its checksum covers.
struct RecordPlace {
  uint64_t sequence;
  FilePosition position;
};
void AppendRecord(std::string& out, const RecordPlace& place, const Record& record);
// The record at the beginning of `in`; false: there is none. `data` points into `in`.
bool TakeRecord(std::string_view in, const RecordPlace& place, Record& record);

}  // namespace bascule::raft_store
