#include "core/api/chunk_cursor.h"

#include <utility>

#include "core/base/text.h"
#include "core/wire/record.h"

namespace bascule::api {

ChunkCursor::ChunkCursor(Bytes batches, Direction direction, OffsetBounds bounds)
    : batches_(std::move(batches)), direction_(direction), bounds_(bounds) {
  rest_ = batches_.view();
  bytes_left_ = rest_.size();
  wire::BatchHeader first;
  if (!rest_.empty() && wire::ParseBatchHeader(rest_, first) == wire::BatchParse::kOk)
    lowest_ = first.base_offset;
  if (direction_ == Direction::kReverse) IndexBatches();
}

bool ChunkCursor::Next(std::string_view& record) {
  if (!status_.ok()) return false;
  return direction_ == Direction::kForward ? NextForward(record) : NextReverse(record);
}

bool ChunkCursor::Fail(absl::Status status) {
  status_ = std::move(status);
  return false;
}

bool ChunkCursor::Enter(std::string_view in, wire::BatchHeader& header, std::string_view& payload) {
  if (wire::ParseBatchHeader(in, header) != wire::BatchParse::kOk ||
      header.total_bytes() > in.size()) {
    return Fail(absl::DataLossError(
        Concat("the log returned bytes that are not a batch, ", in.size(),
               " bytes before the end of a read from offset ", lowest_.value())));
  }
  wire::ParseTrustedBatch(in, header, payload);
  return true;
}

bool ChunkCursor::InBounds(std::string_view record) {
  Offset offset;
  Timestamp timestamp;
  std::string_view body;
  if (!wire::ParseRecordPrefix(record, offset, timestamp, body)) {
    return Fail(absl::DataLossError(Concat("a batch read from offset ", lowest_.value(),
                                           " holds bytes that are not a record")));
  }
  return offset >= bounds_.low && offset < bounds_.end;
}

bool ChunkCursor::NextForward(std::string_view& record) {
  while (true) {
    while (records_.Next(record)) {
      if (InBounds(record)) return true;
      if (!status_.ok()) return false;
    }
    if (!records_.ok()) {
      return Fail(absl::DataLossError(Concat("a batch read from offset ", lowest_.value(),
                                             " holds bytes that are not records")));
    }
    wire::BatchHeader header;
    std::string_view payload;
    do {
      if (rest_.empty()) return false;
      if (!Enter(rest_, header, payload)) return false;
      rest_.remove_prefix(header.total_bytes());
      bytes_left_ = rest_.size();
    } while (header.control() || header.end() <= bounds_.low || header.base_offset >= bounds_.end);
    records_ = wire::RecordCursor(payload);
  }
}

bool ChunkCursor::IndexBatches() {
  std::string_view in = batches_.view();
  while (!in.empty()) {
    wire::BatchHeader header;
    std::string_view payload;
    if (!Enter(in, header, payload)) return false;
    if (!header.control() && header.end() > bounds_.low && header.base_offset < bounds_.end) {
      pending_batches_.push_back(in.substr(0, header.total_bytes()));
    }
    in.remove_prefix(header.total_bytes());
  }
  return true;
}

bool ChunkCursor::CollectPayload(std::string_view payload) {
  wire::RecordCursor records(payload);
  std::string_view record;
  while (records.Next(record)) {
    if (InBounds(record)) pending_records_.push_back(record);
    if (!status_.ok()) return false;
  }
  if (records.ok()) return true;
  return Fail(absl::DataLossError(
      Concat("a batch read from offset ", lowest_.value(), " holds bytes that are not records")));
}

bool ChunkCursor::NextReverse(std::string_view& record) {
  while (pending_records_.empty()) {
    if (pending_batches_.empty()) {
      bytes_left_ = 0;
      return false;
    }
    const std::string_view batch = pending_batches_.back();
    pending_batches_.pop_back();
    bytes_left_ = static_cast<size_t>(batch.data() - batches_.data());
    wire::BatchHeader header;
    std::string_view payload;
    if (!Enter(batch, header, payload) || !CollectPayload(payload)) return false;
  }
  record = pending_records_.back();
  pending_records_.pop_back();
  return true;
}

}  // namespace bascule::api
