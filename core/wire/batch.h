// A batch: the unit that is appended, synced, replicated, checksummed and read. Little-endian.
//
//   header (96 bytes) | extensions | payload
//   payload = records, each framed as 0x0A, varint length, record: itself a protobuf
//             `Records { repeated Message = 1 }`
//
//    0  4  magic "BSCB"
//    4  1  version (1)
//    5  1  attributes: bits 0-2 compression (0 none), bit 3 encrypted, bit 4 control,
//          bit 5 first of segment, bit 6 late
//    6  2  header length: 96; more in later writers of this version, whose additions a reader skips
//    8  4  length of everything after the header: extensions and payload
//   12  4  CRC-32C of bytes 0..11 and of all bytes from 16 on, as stored (scrubbing needs no key)
//   16  8  base offset
//   24  4  last offset delta: last offset - base offset; survives compaction
//   28  4  record count: at least 1
//   32  8  leader epoch
//   40  8  base timestamp
//   48  8  max timestamp
//   56  8  committed_through: exclusive end known as committed when this batch was appended
//   64  4  uncompressed payload length (bounds the decoder)
//   68  4  extensions length
//   72  4  key id (0 = not encrypted)
//   76 12  nonce
//   88  8  stored_at: the leader's clock when the batch was appended; 0 = not known (older writers).
//          Retention and segment age go by it; it goes back when the clock does
//
// The CRC covers every byte but its own four. This version reads neither compressed nor encrypted
// batches nor attribute bit 7: who begins to write them raises data/VERSION, so that no older
// process ever meets one. An extension is: type u16, flags u16 (0), length u32, bytes; unknown
// types are kept and skipped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/limits.h"
#include "core/base/types.h"
#include "core/wire/coding.h"
#include "core/wire/record.h"

namespace bascule::wire {

inline constexpr size_t kBatchHeaderBytes = 96;
inline constexpr uint32_t kBatchMagic = 0x42435342;  // "BSCB"
inline constexpr uint8_t kBatchVersion = 1;
inline constexpr char kRecordFrame = 0x0A;  // tag of Records.records

enum BatchAttributes : uint8_t {
  kCompressionMask = 0x07,
  kEncrypted = 0x08,
  kControl = 0x10,         // records are not for subscribers (gap records)
  kFirstOfSegment = 0x20,  // the leader rolled here; followers roll here too
  kLate = 0x40,
};

struct BatchHeader {
  uint8_t attributes = 0;
  uint16_t header_bytes = kBatchHeaderBytes;
  uint32_t body_bytes = 0;  // extensions + payload
  uint32_t crc = 0;
  Offset base_offset;
  uint32_t last_offset_delta = 0;
  uint32_t record_count = 0;
  LeaderEpoch leader_epoch;
  Timestamp base_timestamp;
  Timestamp max_timestamp;
  Offset committed_through;
  uint32_t uncompressed_bytes = 0;
  uint32_t extension_bytes = 0;
  Timestamp stored_at;

  Offset end() const { return base_offset + last_offset_delta + 1; }
  size_t total_bytes() const { return size_t{header_bytes} + body_bytes; }
  bool control() const { return (attributes & kControl) != 0; }
};

enum class BatchParse {
  kOk,
  kTorn,       // fewer bytes than the batch claims: need more, or the file ends here
  kNotABatch,  // wrong magic, version or attributes, or numbers that cannot be
  kCorrupt,    // lengths are plausible, the checksum is not
};

// Reads the header at the front of `in`; checks what can be checked without the body: kOk says that
// the header is whole and plausible, not that the body is there. Never kCorrupt. A front that is no
// beginning of a batch is kNotABatch as soon as that can be seen, even in its first byte.
BatchParse ParseBatchHeader(std::string_view in, BatchHeader& header);
// The whole batch at the front of `in`, checksum included. On kOk `payload` views its records.
BatchParse ParseBatch(std::string_view in, BatchHeader& header, std::string_view& payload);
// For bytes that were checked before: no checksum. Aborts on bytes that are not a batch.
void ParseTrustedBatch(std::string_view in, BatchHeader& header, std::string_view& payload);

// Walks the records of a payload.
class RecordCursor {
 public:
  explicit RecordCursor(std::string_view payload) : rest_(payload) {}
  // The next record without its frame; false at the end, or at bytes that are not a framed record
  // (then !ok()).
  bool Next(std::string_view& record) {
    if (rest_.empty()) return false;
    const bool framed = rest_.front() == kRecordFrame;
    if (framed) rest_.remove_prefix(1);
    if (framed && TakeBytes(rest_, record)) return true;
    ok_ = false;
    rest_ = {};
    return false;
  }
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// Builds one batch in place. Begin, Add..., Finish; then reuse by Begin. One thread at a time.
class BatchBuilder {
 public:
  // Room that one record takes beside its body, at most.
  static constexpr size_t kRecordOverhead = 1 + kMaxVarintBytes + kMaxRecordPrefixBytes;

  // All records of the batch get `timestamp`. `expected_bytes`, if known, is what the batch will
  // come to (the bodies, and kRecordOverhead each): it is then allocated once.
  void Begin(Offset base, LeaderEpoch epoch, Timestamp timestamp, Offset committed_through,
             uint8_t attributes, size_t expected_bytes = 0);
  void Add(std::string_view body);
  Offset next_offset() const { return base_ + static_cast<int64_t>(count_); }
  // What Finish would return now: kBatchHeaderBytes while there is no record.
  size_t bytes() const { return buffer_.size(); }
  uint32_t records() const { return count_; }
  // The encoded batch. At least one record, at most limits::kMaxBatchBytes. `stored_at`: the clock
  // now, which may be behind the records' timestamp (R11).
  std::string Finish(Timestamp stored_at = Timestamp());

 private:
  std::string buffer_;
  Offset base_;
  LeaderEpoch epoch_;
  Timestamp timestamp_;
  Offset committed_through_;
  uint8_t attributes_ = 0;
  uint32_t count_ = 0;
  char timestamp_field_[1 + kMaxVarintBytes] = {};  // the same in every record
  size_t timestamp_field_bytes_ = 0;
};

// --- gap records (attributes: kControl) ---
inline constexpr uint32_t kGapField =
    1000;  // of the record; a message {1 from, 2 to, 3 reason, 4 count + 1}
struct GapRecord {
  Timestamp from;
  Timestamp to;
  uint32_t reason = 0;
  int64_t count = -1;  // -1 = unknown
};
// The body of a gap record, for BatchBuilder::Add.
std::string EncodeGapBody(const GapRecord& gap);
// Takes a whole record too. False when there is no gap field, or it is malformed; of two the last
// counts.
bool ParseGapBody(std::string_view body, GapRecord& gap);

}  // namespace bascule::wire
