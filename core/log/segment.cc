#include "core/log/segment.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/wire/batch.h"
#include "core/wire/coding.h"
#include "core/wire/record.h"

namespace bascule::log {
namespace {

void NoteGaps(SegmentFooter& footer, std::string_view payload) {
  wire::RecordCursor cursor(payload);
  std::string_view record;
  while (cursor.Next(record)) {
    Offset offset;
    Timestamp timestamp;
    std::string_view body;
    wire::GapRecord gap;
    if (!wire::ParseRecordPrefix(record, offset, timestamp, body) || !wire::ParseGapBody(body, gap))
      continue;
    ++footer.gap_records;
    if (gap.count > 0) footer.messages_in_gaps += static_cast<uint64_t>(gap.count);
  }
}

}  // namespace

IndexEntry FloorByOffset(const std::vector<IndexEntry>& index, Offset base, Offset offset) {
  auto after = std::upper_bound(index.begin(), index.end(), offset,
                                [](Offset o, const IndexEntry& e) { return o < e.offset; });
  if (after == index.begin())
    return {base, Timestamp(), FilePosition(kSegmentHeaderBytes), LeaderEpoch()};
  return *std::prev(after);
}

IndexEntry FloorByTimestamp(const std::vector<IndexEntry>& index, Offset base,
                            Timestamp timestamp) {
  auto at = std::lower_bound(index.begin(), index.end(), timestamp,
                             [](const IndexEntry& e, Timestamp t) { return e.timestamp < t; });
  if (at == index.begin())
    return {base, Timestamp(), FilePosition(kSegmentHeaderBytes), LeaderEpoch()};
  return *std::prev(at);
}

void NoteBatch(SegmentFooter& footer, std::vector<IndexEntry>& index, std::string_view batch,
               FilePosition position) {
  wire::BatchHeader header;
  std::string_view payload;
  wire::ParseTrustedBatch(batch, header, payload);
  BASCULE_CHECK_GE(position, footer.data_end);
  BASCULE_CHECK(index.empty() || position > index.back().position);
  const bool new_epoch = footer.epochs.empty() || footer.epochs.back().epoch != header.leader_epoch;
  if (new_epoch) footer.epochs.push_back({header.leader_epoch, header.base_offset});
  if (new_epoch || index.empty() || position - index.back().position >= limits::kIndexStrideBytes) {
    index.push_back({header.base_offset, header.base_timestamp, position, header.leader_epoch});
  }
  if (footer.end_offset == footer.base_offset) {
    footer.first_timestamp = header.base_timestamp;
    footer.first_stored = header.stored_at;
  }
  footer.last_stored = header.stored_at;
  if (header.control()) {
    NoteGaps(footer, payload);
  } else {
    footer.record_count += header.record_count;
    footer.last_message_end = header.end();
  }
  char crc[4];
  wire::PutFixed<uint32_t>(crc, header.crc);
  footer.data_crc = ExtendCrc32c(footer.data_crc, std::string_view(crc, sizeof(crc)));
  footer.end_offset = header.end();
  footer.max_timestamp = std::max(footer.max_timestamp, header.max_timestamp);
  footer.data_end = position + header.total_bytes();
}

}  // namespace bascule::log
