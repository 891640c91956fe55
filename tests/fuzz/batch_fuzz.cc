// Batches from disk or a peer, as any bytes: parsing never crashes and never looks past what a
// batch claims; a changed byte is always noticed; what the builder writes comes back the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/wire/batch.h"

namespace bascule::wire {
namespace {

// Walks everything in a batch that parsed.
void CheckContent(const BatchHeader& header, std::string_view batch, std::string_view payload) {
  BASCULE_CHECK_LE(header.total_bytes(), batch.size());
  BASCULE_CHECK(payload.data() >= batch.data());
  BASCULE_CHECK(payload.data() + payload.size() == batch.data() + header.total_bytes());
  BASCULE_CHECK_GE(header.record_count, 1u);
  BASCULE_CHECK_GT(header.end().value(), header.base_offset.value());
  RecordCursor cursor(payload);
  std::string_view record, body;
  size_t framed = 0;
  while (cursor.Next(record)) {
    Offset offset;
    Timestamp timestamp;
    GapRecord gap;
    RecordView view;
    if (ParseRecordPrefix(record, offset, timestamp, body)) ParseGapBody(body, gap);
    ParseRecord(record, view);
    framed += 1 + VarintSize(record.size()) + record.size();
  }
  // Frames may be longer than need be, never shorter.
  if (cursor.ok()) BASCULE_CHECK_LE(framed, payload.size());
}

void CheckAnyBytes(std::string_view in) {
  BatchHeader header;
  std::string_view payload;
  std::string resealed(in);
  BatchParse result = ParseBatch(in, header, payload);
  if (result == BatchParse::kCorrupt) {  // random bytes would never get further otherwise
    const std::string_view all = std::string_view(resealed).substr(0, header.total_bytes());
    PutFixed<uint32_t>(resealed.data() + 12,
                       ExtendCrc32c(Crc32c(all.substr(0, 12)), all.substr(16)));
    result = ParseBatch(resealed, header, payload);
    BASCULE_CHECK(result == BatchParse::kOk);
  }
  if (result != BatchParse::kOk) return;
  BASCULE_CHECK(ParseBatch(resealed, header, payload) == BatchParse::kOk);
  CheckContent(header, resealed, payload);

  const size_t size = header.total_bytes();
  const size_t at = Crc32c(in) % size;
  resealed[at] = static_cast<char>(resealed[at] ^ (1 << at % 8));
  BASCULE_CHECK(ParseBatch(resealed, header, payload) != BatchParse::kOk);
  resealed[at] = static_cast<char>(resealed[at] ^ (1 << at % 8));
  const std::string_view torn = std::string_view(resealed).substr(0, at);
  BASCULE_CHECK(ParseBatch(torn, header, payload) == BatchParse::kTorn);
}

// The input as bodies: each a length byte and what follows.
void CheckBuilder(std::string_view in) {
  std::vector<std::string_view> bodies;
  while (!in.empty()) {
    const size_t length = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    bodies.push_back(in.substr(0, length));
    in.remove_prefix(bodies.back().size());
  }
  if (bodies.empty()) return;
  BatchBuilder builder;
  const Offset base(static_cast<int64_t>(bodies.size()) << (bodies.size() % 40));
  builder.Begin(base, LeaderEpoch(1), Timestamp(-1), Offset(0), kControl);
  for (std::string_view body : bodies) builder.Add(body);
  const std::string batch = builder.Finish();

  BatchHeader header;
  std::string_view payload, record, body;
  BASCULE_CHECK(ParseBatch(batch, header, payload) == BatchParse::kOk);
  BASCULE_CHECK_EQ(header.total_bytes(), batch.size());
  RecordCursor cursor(payload);
  Offset expected = base;
  for (std::string_view given : bodies) {
    Offset offset;
    Timestamp timestamp;
    BASCULE_CHECK(cursor.Next(record));
    BASCULE_CHECK(ParseRecordPrefix(record, offset, timestamp, body));
    BASCULE_CHECK_EQ(offset, expected);
    BASCULE_CHECK_EQ(timestamp, Timestamp(-1));
    BASCULE_CHECK(body == given);
    ++expected;
  }
  BASCULE_CHECK(!cursor.Next(record) && cursor.ok());
  BASCULE_CHECK_EQ(header.end(), expected);
}

}  // namespace
}  // namespace bascule::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  bascule::wire::CheckAnyBytes(in);
  bascule::wire::CheckBuilder(in);
  return 0;
}
