// Bytes of a segment file; the page for people is FORMAT.md. Writer and reader share only this
// header.
//
//   <base offset, 20 digits>.log = header (64 bytes) | batches (core/wire/batch.h)
//                                  sealed: | index | footer | tail
//                                  active: | zeros (preallocated)
//   <base offset, 20 digits>.idx = index entries of the active segment, hints only
//
// All integers little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule::log {

inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr uint32_t kSegmentMagic = 0x53435342;  // "BSCS"
inline constexpr uint32_t kFooterMagic = 0x46435342;   // "BSCF"
inline constexpr uint8_t kSegmentVersion = 1;
inline constexpr uint32_t kFooterVersion = 2;  // version 1 has no stored times
inline constexpr size_t kFooterTailBytes = 16;
// No offset on disk may claim more: arithmetic on it has room, and none was ever given.
inline constexpr Offset kMaxStoredOffset{int64_t{1} << 62};
// Bounds the decoder: a footer that claims more is not a footer.
inline constexpr size_t kMaxFooterBytes = 1 << 20;

//  0 4 magic  4 1 version  5 3 zero  8 8 stream id  16 4 partition  20 4 zero  24 8 base offset  32
//  28 zero  60 4 CRC-32C
struct SegmentHeader {
  StreamId stream;
  PartitionId partition;
  Offset base_offset;
};
std::string EncodeSegmentHeader(const SegmentHeader& header);
// DataLoss saying what is wrong.
absl::StatusOr<SegmentHeader> ParseSegmentHeader(std::string_view bytes);

// A place where a batch begins. Every entry is a hint: a look-up starts at the greatest entry not
// past its target and walks batch headers from there, so missing entries cost time, never
// correctness.
//  0 8 offset  8 8 timestamp  16 8 position  24 8 leader epoch  32 4 zero  36 4 CRC-32C
struct IndexEntry {
  Offset offset;        // base offset of the batch
  Timestamp timestamp;  // its base timestamp
  FilePosition position;
  LeaderEpoch epoch;
  bool operator==(const IndexEntry&) const = default;
};
inline constexpr size_t kIndexEntryBytes = 40;
void AppendIndexEntry(std::string& out, const IndexEntry& entry);
std::optional<IndexEntry> ParseIndexEntry(
    std::string_view bytes);  // nullopt: wrong length or checksum

// What a sealed segment says of itself, so that opening it costs one read.
struct SegmentFooter {
  Offset base_offset;
  Offset end_offset;          // exclusive; offsets up to it belong here even if compacted away
  uint64_t record_count = 0;  // for subscribers; control records not counted
  uint64_t gap_records = 0;
  uint64_t messages_in_gaps = 0;
  Timestamp first_timestamp;  // of the first batch; 0 when there is none
  Timestamp max_timestamp;
  // By the broker's clock when the first and the last batch were stored; 0 = not known (no batch,
  // or written before this was kept). Unlike timestamps they go back when the clock does.
  Timestamp first_stored;
  Timestamp last_stored;
  FilePosition data_end;  // where batches end
  uint32_t data_crc =
      0;  // CRC-32C over the batches' own CRC fields, in order: a checksum of checksums
  Offset last_message_end;   // end of the newest record that is not a control record; 0 = none here
  Offset compacted_through;  // exclusive; 0 = never compacted
  uint32_t index_entries = 0;  // stored from data_end on
  std::vector<EpochStart> epochs;
};
// The bytes that follow `data_end`: index, footer and tail.
std::string EncodeSealing(const SegmentFooter& footer, const std::vector<IndexEntry>& index);
// `end_of_file` = the last bytes of a file of `file_bytes`. NotFound: no tail here (an active
// segment). DataLoss: there is one, but damaged. OutOfRange: the footer begins before
// `end_of_file`; the text names nothing, `needed` is set to the number of bytes from the end to
// pass.
absl::StatusOr<SegmentFooter> ParseFooter(std::string_view end_of_file, uint64_t file_bytes,
                                          size_t& needed);

std::string SegmentFileName(Offset base);  // "00000000000000000000.log"
std::string IndexFileName(Offset base);
// The base offset when `name` is a segment's ("...log").
std::optional<Offset> ParseSegmentFileName(std::string_view name);
// Behind a segment's name for a moment while an opening makes the name durable anew.
inline constexpr std::string_view kEnteringSuffix = ".again";
// The segment's own name, "" when `name` is not that of a segment under way.
std::string_view ParseEnteringName(std::string_view name);

}  // namespace bascule::log
