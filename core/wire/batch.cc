#include "core/wire/batch.h"

#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/crc32c.h"

namespace bascule::wire {
namespace {

// Where the fields stand; the drawing is in the header.
constexpr size_t kVersionAt = 4;
constexpr size_t kAttributesAt = 5;
constexpr size_t kHeaderBytesAt = 6;
constexpr size_t kBodyBytesAt = 8;
constexpr size_t kCrcAt = 12;
constexpr size_t kCoveredAgainAt = 16;
constexpr size_t kBaseOffsetAt = 16;
constexpr size_t kLastOffsetDeltaAt = 24;
constexpr size_t kRecordCountAt = 28;
constexpr size_t kLeaderEpochAt = 32;
constexpr size_t kBaseTimestampAt = 40;
constexpr size_t kMaxTimestampAt = 48;
constexpr size_t kCommittedThroughAt = 56;
constexpr size_t kUncompressedBytesAt = 64;
constexpr size_t kExtensionBytesAt = 68;
constexpr size_t kKeyIdAt = 72;
constexpr size_t kStoredAtAt = 88;

constexpr std::string_view kMagicText = "BSCB";
static_assert(kBatchMagic == ('B' | 'S' << 8 | 'C' << 16 | 'B' << 24));

constexpr uint8_t kReadableAttributes = kControl | kFirstOfSegment | kLate;

uint32_t BatchCrc(std::string_view batch) {
  return ExtendCrc32c(Crc32c(batch.substr(0, kCrcAt)), batch.substr(kCoveredAgainAt));
}

// Whether numbers that passed no checksum yet can be those of a batch.
bool Plausible(const BatchHeader& header) {
  if ((header.attributes & ~kReadableAttributes) != 0) return false;
  if (header.header_bytes < kBatchHeaderBytes) return false;
  if (header.total_bytes() > limits::kMaxBatchBytes) return false;
  if (header.extension_bytes > header.body_bytes) return false;
  if (header.uncompressed_bytes != header.body_bytes - header.extension_bytes) return false;
  // Every record takes its frame and prefix at least, so the count bounds what a reader may reserve
  // for it.
  if (header.record_count == 0 || header.record_count > header.uncompressed_bytes) return false;
  if (header.record_count - 1 > header.last_offset_delta) return false;
  if (header.max_timestamp < header.base_timestamp) return false;
  const int64_t last_base =
      std::numeric_limits<int64_t>::max() - 1 - int64_t{header.last_offset_delta};
  return header.base_offset.value() >= 0 && header.base_offset.value() <= last_base;
}

std::string_view PayloadOf(std::string_view in, const BatchHeader& header) {
  return in.substr(header.header_bytes + header.extension_bytes, header.uncompressed_bytes);
}

}  // namespace

BatchParse ParseBatchHeader(std::string_view in, BatchHeader& header) {
  if (!kMagicText.starts_with(in.substr(0, kMagicText.size()))) return BatchParse::kNotABatch;
  if (in.size() < kBatchHeaderBytes) return BatchParse::kTorn;
  const char* p = in.data();
  if (static_cast<uint8_t>(p[kVersionAt]) != kBatchVersion) return BatchParse::kNotABatch;
  header.attributes = static_cast<uint8_t>(p[kAttributesAt]);
  header.header_bytes = GetFixed<uint16_t>(p + kHeaderBytesAt);
  header.body_bytes = GetFixed<uint32_t>(p + kBodyBytesAt);
  header.crc = GetFixed<uint32_t>(p + kCrcAt);
  header.base_offset = Offset(GetFixed<int64_t>(p + kBaseOffsetAt));
  header.last_offset_delta = GetFixed<uint32_t>(p + kLastOffsetDeltaAt);
  header.record_count = GetFixed<uint32_t>(p + kRecordCountAt);
  header.leader_epoch = LeaderEpoch(GetFixed<uint64_t>(p + kLeaderEpochAt));
  header.base_timestamp = Timestamp(GetFixed<int64_t>(p + kBaseTimestampAt));
  header.max_timestamp = Timestamp(GetFixed<int64_t>(p + kMaxTimestampAt));
  header.committed_through = Offset(GetFixed<int64_t>(p + kCommittedThroughAt));
  header.uncompressed_bytes = GetFixed<uint32_t>(p + kUncompressedBytesAt);
  header.extension_bytes = GetFixed<uint32_t>(p + kExtensionBytesAt);
  header.stored_at = Timestamp(GetFixed<int64_t>(p + kStoredAtAt));
  if (GetFixed<uint32_t>(p + kKeyIdAt) != 0) return BatchParse::kNotABatch;
  return Plausible(header) ? BatchParse::kOk : BatchParse::kNotABatch;
}

BatchParse ParseBatch(std::string_view in, BatchHeader& header, std::string_view& payload) {
  const BatchParse front = ParseBatchHeader(in, header);
  if (front != BatchParse::kOk) return front;
  if (in.size() < header.total_bytes()) return BatchParse::kTorn;
  in = in.substr(0, header.total_bytes());
  if (BatchCrc(in) != header.crc) return BatchParse::kCorrupt;
  payload = PayloadOf(in, header);
  return BatchParse::kOk;
}

void ParseTrustedBatch(std::string_view in, BatchHeader& header, std::string_view& payload) {
  BASCULE_CHECK(ParseBatchHeader(in, header) == BatchParse::kOk);
  BASCULE_CHECK_LE(header.total_bytes(), in.size());
  payload = PayloadOf(in, header);
}

void BatchBuilder::Begin(Offset base, LeaderEpoch epoch, Timestamp timestamp,
                         Offset committed_through, uint8_t attributes, size_t expected_bytes) {
  BASCULE_CHECK_GE(base.value(), 0);
  BASCULE_CHECK_LE(committed_through, base);  // what a batch proves came before it
  BASCULE_CHECK((attributes & ~kReadableAttributes) == 0);
  base_ = base;
  epoch_ = epoch;
  timestamp_ = timestamp;
  committed_through_ = committed_through;
  attributes_ = attributes;
  count_ = 0;
  timestamp_field_[0] = static_cast<char>(Tag(kMessageTimestamp, kVarint));
  const char* end = PutVarint(timestamp_field_ + 1, static_cast<uint64_t>(timestamp.value()));
  timestamp_field_bytes_ = static_cast<size_t>(end - timestamp_field_);
  BASCULE_CHECK_LE(timestamp_field_bytes_, sizeof(timestamp_field_));
  buffer_.clear();
  buffer_.reserve(kBatchHeaderBytes + expected_bytes);
  buffer_.resize(kBatchHeaderBytes);
}

void BatchBuilder::Add(std::string_view body) {
  BASCULE_CHECK_GE(buffer_.size(), kBatchHeaderBytes);  // Begin came before
  BASCULE_CHECK_LT(count_, UINT32_MAX);
  char prefix[kRecordOverhead];
  const uint64_t offset = static_cast<uint64_t>(next_offset().value());
  char* p = prefix;
  *p++ = kRecordFrame;
  p = PutVarint(p, 1 + VarintSize(offset) + timestamp_field_bytes_ + body.size());
  *p++ = static_cast<char>(Tag(kMessageOffset, kVarint));
  p = PutVarint(p, offset);
  // The whole field's room is copied, a constant size being a few moves; what is past its end is
  // not taken over.
  BASCULE_CHECK_LE(p + sizeof(timestamp_field_), prefix + sizeof(prefix));
  std::memcpy(p, timestamp_field_, sizeof(timestamp_field_));
  p += timestamp_field_bytes_;
  buffer_.append(prefix, static_cast<size_t>(p - prefix));
  buffer_.append(body);
  ++count_;
}

std::string BatchBuilder::Finish(Timestamp stored_at) {
  BASCULE_CHECK_GT(count_, 0u);
  BASCULE_CHECK_LE(buffer_.size(), limits::kMaxBatchBytes);
  const auto body_bytes = static_cast<uint32_t>(buffer_.size() - kBatchHeaderBytes);
  char* p = buffer_.data();  // the header is zero so far
  PutFixed(p, kBatchMagic);
  p[kVersionAt] = static_cast<char>(kBatchVersion);
  p[kAttributesAt] = static_cast<char>(attributes_);
  PutFixed<uint16_t>(p + kHeaderBytesAt, kBatchHeaderBytes);
  PutFixed<uint32_t>(p + kBodyBytesAt, body_bytes);
  PutFixed<int64_t>(p + kBaseOffsetAt, base_.value());
  PutFixed<uint32_t>(p + kLastOffsetDeltaAt, count_ - 1);
  PutFixed<uint32_t>(p + kRecordCountAt, count_);
  PutFixed<uint64_t>(p + kLeaderEpochAt, epoch_.value());
  PutFixed<int64_t>(p + kBaseTimestampAt, timestamp_.value());
  PutFixed<int64_t>(p + kMaxTimestampAt, timestamp_.value());
  PutFixed<int64_t>(p + kCommittedThroughAt, committed_through_.value());
  PutFixed<uint32_t>(p + kUncompressedBytesAt, body_bytes);
  PutFixed<int64_t>(p + kStoredAtAt, stored_at.value());
  PutFixed<uint32_t>(p + kCrcAt, BatchCrc(buffer_));
  // What every reader will ask of it: a batch that is written and then refused would be lost.
  BatchHeader read;
  BASCULE_CHECK(ParseBatchHeader(buffer_, read) == BatchParse::kOk);
  BASCULE_CHECK_EQ(read.end(), next_offset());
  count_ = 0;
  // A batch may stay in a cache for long: what growing by doubling left over is not worth keeping
  // there.
  const size_t unused = buffer_.capacity() - buffer_.size();
  if (unused > buffer_.size() / 4 + limits::kKiB) return std::string(std::string_view(buffer_));
  return std::move(buffer_);
}

}  // namespace bascule::wire
