#include "core/wire/batch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "api.pb.h"
#include "core/base/crc32c.h"
#include "tests/unit/wire_samples.h"

namespace bascule::wire {
namespace {

std::string Batch(Offset base, const std::vector<std::string>& bodies, uint8_t attributes = 0) {
  BatchBuilder builder;
  builder.Begin(base, LeaderEpoch(7), Timestamp(1000), std::min(base, Offset(3)), attributes);
  for (const std::string& body : bodies) builder.Add(body);
  return builder.Finish();
}

std::string ValueBody(std::string_view value) {
  std::string body;
  AppendValue(body, value);
  return body;
}

// Makes the checksum right again after a deliberate change.
void Reseal(std::string& batch) {
  const std::string_view all = batch;
  PutFixed<uint32_t>(batch.data() + 12, ExtendCrc32c(Crc32c(all.substr(0, 12)), all.substr(16)));
}

BatchParse Parse(std::string_view bytes) {
  BatchHeader header;
  std::string_view payload;
  return ParseBatch(bytes, header, payload);
}

TEST_CASE("the bytes of a batch") {
  const std::string batch = Batch(Offset(5), {ValueBody("a"), ValueBody("b")}, kFirstOfSegment);
  const std::string payload =
      "\x0a\x08\x08\x05\x20\xe8\x07\x1a\x01"
      "a\x0a\x08\x08\x06\x20\xe8\x07\x1a\x01"
      "b";
  std::string expected("BSCB\x01\x20\x60\x00\x14\x00\x00\x00", 12);
  AppendFixed<uint32_t>(expected, 0);  // checksum, set by Reseal
  AppendFixed<int64_t>(expected, 5);
  AppendFixed<uint32_t>(expected, 1);
  AppendFixed<uint32_t>(expected, 2);
  AppendFixed<uint64_t>(expected, 7);
  AppendFixed<int64_t>(expected, 1000);
  AppendFixed<int64_t>(expected, 1000);
  AppendFixed<int64_t>(expected, 3);
  AppendFixed<uint32_t>(expected, 20);
  expected.append(28, '\0');
  expected += payload;
  Reseal(expected);
  CHECK(batch == expected);
  // Computed bit by bit from the polynomial, outside this code.
  CHECK(GetFixed<uint32_t>(batch.data() + 12) == 0xfc351eeeu);
}

TEST_CASE("a batch comes back, and its payload is a protobuf list of messages") {
  Samples samples(21);
  BatchBuilder builder;
  for (int round = 0; round < 300; ++round) {
    const Offset base(static_cast<int64_t>(samples.Number() >> 2));
    const Timestamp timestamp(static_cast<int64_t>(samples.Number()));
    const size_t expected_bytes = samples.OneIn(2) ? samples.Below(10'000) : 0;
    builder.Begin(base, LeaderEpoch(samples.Number()), timestamp, std::min(base, Offset(1)), kLate,
                  expected_bytes);
    std::vector<std::string> values;
    for (uint64_t n = 1 + samples.Below(40); n > 0; --n) {
      values.emplace_back(samples.Below(samples.OneIn(10) ? 20'000 : 300), 'v');
      CHECK(builder.next_offset() == base + static_cast<int64_t>(values.size() - 1));
      builder.Add(ValueBody(values.back()));
      CHECK(builder.records() == values.size());
    }
    const size_t size = builder.bytes();
    const std::string batch = builder.Finish();
    CHECK(batch.size() == size);
    CHECK(batch.capacity() <= size + size / 4 + limits::kKiB);

    BatchHeader header;
    std::string_view payload;
    REQUIRE(ParseBatch(batch + "what follows", header, payload) == BatchParse::kOk);
    CHECK(header.total_bytes() == size);
    CHECK(header.record_count == values.size());
    CHECK(header.end() == base + static_cast<int64_t>(values.size()));
    CHECK(header.base_timestamp == timestamp);
    CHECK(header.max_timestamp == timestamp);
    CHECK(header.attributes == kLate);
    CHECK_FALSE(header.control());
    ParseTrustedBatch(batch, header, payload);
    CHECK(payload.size() + kBatchHeaderBytes == size);

    RecordCursor cursor(payload);
    std::string_view record;
    for (size_t i = 0; i < values.size(); ++i) {
      REQUIRE(cursor.Next(record));
      proto::Message message;
      REQUIRE(message.ParseFromString(std::string(record)));
      CHECK(message.offset() == base.value() + static_cast<int64_t>(i));
      CHECK(message.timestamp() == timestamp.value());
      CHECK(message.value() == values[i]);
    }
    CHECK_FALSE(cursor.Next(record));
    CHECK(cursor.ok());
  }
}

TEST_CASE("every truncation of a batch is torn, also when only its first bytes are there") {
  const std::string batch = Batch(Offset(5), {ValueBody("some value"), ValueBody("b")});
  for (size_t cut = 0; cut < batch.size(); ++cut) {
    CHECK(Parse(std::string_view(batch).substr(0, cut)) == BatchParse::kTorn);
  }
  CHECK(Parse(batch) == BatchParse::kOk);
}

TEST_CASE("every flipped bit is noticed, whatever follows the batch") {
  const std::string batch = Batch(Offset(5), {ValueBody("some value"), ValueBody("b"), ""});
  for (const std::string& behind : {std::string(), batch, std::string(4096, '\0')}) {
    for (size_t bit = 0; bit < batch.size() * 8; ++bit) {
      std::string flipped = batch + behind;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      if (Parse(flipped) == BatchParse::kOk) FAIL_CHECK("bit " << bit << " went unnoticed");
    }
  }
}

TEST_CASE("what is not the beginning of a batch is seen at once") {
  for (const std::string& bytes :
       {std::string(1, '\0'), std::string(4096, '\0'), std::string("BSX"),
        std::string("BSCB\x02") + std::string(95, '\0')}) {
    CHECK(Parse(bytes) == BatchParse::kNotABatch);
  }
  CHECK(Parse("") == BatchParse::kTorn);
  CHECK(Parse("BSCB") == BatchParse::kTorn);
}

TEST_CASE("numbers that cannot be are refused even under a right checksum") {
  const std::string good = Batch(Offset(5), {ValueBody("a"), ValueBody("b")});
  const auto changed = [&](const std::function<void(char*)>& change) {
    std::string batch = good;
    change(batch.data());
    Reseal(batch);
    return Parse(batch);
  };
  REQUIRE(changed([](char*) {}) == BatchParse::kOk);
  constexpr BatchParse kNot = BatchParse::kNotABatch;
  CHECK(changed([](char* p) { p[5] = 1; }) == kNot);                              // compressed
  CHECK(changed([](char* p) { p[5] = static_cast<char>(kEncrypted); }) == kNot);  // encrypted
  CHECK(changed([](char* p) { p[5] = static_cast<char>(0x80); }) == kNot);        // unknown
  CHECK(changed([](char* p) { PutFixed<uint16_t>(p + 6, 95); }) == kNot);  // header too short
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 8, 0xffffffff); }) ==
        kNot);                                                             // larger than any
  CHECK(changed([](char* p) { PutFixed<int64_t>(p + 16, -1); }) == kNot);  // base offset
  CHECK(changed([](char* p) { PutFixed<int64_t>(p + 16, INT64_MAX - 1); }) ==
        kNot);  // end overflows
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 24, 0); }) ==
        kNot);  // two records, one offset
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 28, 0); }) == kNot);   // no record
  CHECK(changed([](char* p) { PutFixed<int64_t>(p + 48, 999); }) == kNot);  // max before base time
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 64, 21); }) == kNot);  // uncompressed bytes
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 68, 21); }) ==
        kNot);  // extensions past the end
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 72, 1); }) ==
        kNot);  // a key without encryption
  // A gap in the offsets is what compaction leaves.
  CHECK(changed([](char* p) { PutFixed<uint32_t>(p + 24, 100); }) == BatchParse::kOk);
}

TEST_CASE("a longer header and extensions of a later writer are skipped") {
  const std::string plain = Batch(Offset(5), {ValueBody("a")});
  const std::string extension("\x09\x00\x00\x00\x03\x00\x00\x00xyz", 11);
  std::string batch =
      plain.substr(0, kBatchHeaderBytes) + "12345678" + extension + plain.substr(kBatchHeaderBytes);
  PutFixed<uint16_t>(batch.data() + 6, kBatchHeaderBytes + 8);
  PutFixed<uint32_t>(batch.data() + 8,
                     static_cast<uint32_t>(plain.size() - kBatchHeaderBytes + extension.size()));
  PutFixed<uint32_t>(batch.data() + 68, static_cast<uint32_t>(extension.size()));
  Reseal(batch);
  BatchHeader header;
  std::string_view payload;
  REQUIRE(ParseBatch(batch, header, payload) == BatchParse::kOk);
  CHECK(payload == plain.substr(kBatchHeaderBytes));
  CHECK(header.total_bytes() == batch.size());
}

TEST_CASE("a payload that is no list of records is noticed") {
  std::string_view record;
  for (const std::string& bad :
       {std::string("\x12\x00", 2), std::string("\x0a"), std::string("\x0a\x05only")}) {
    const std::string payload = std::string("\x0a\x01x", 3) + bad;
    RecordCursor cursor(payload);
    REQUIRE(cursor.Next(record));
    CHECK(record == "x");
    CHECK_FALSE(cursor.Next(record));
    CHECK_FALSE(cursor.ok());
    CHECK_FALSE(cursor.Next(record));
  }
}

TEST_CASE("gap records") {
  GapRecord gap{Timestamp(1), Timestamp(300), 2, 41};
  const std::string body = EncodeGapBody(gap);
  CHECK(body == "\xc2\x3e\x09\x08\x01\x10\xac\x02\x18\x02\x20\x2a");
  const std::string batch = Batch(Offset(9), {body}, kControl);
  BatchHeader header;
  std::string_view payload, record;
  REQUIRE(ParseBatch(batch, header, payload) == BatchParse::kOk);
  CHECK(header.control());
  REQUIRE(RecordCursor(payload).Next(record));
  GapRecord back;
  REQUIRE(ParseGapBody(record, back));  // within its record
  CHECK(back.from == gap.from);
  CHECK(back.to == gap.to);
  CHECK(back.reason == 2);
  CHECK(back.count == 41);
  proto::Message message;
  CHECK(message.ParseFromString(std::string(record)));  // subscribers of any version survive it
}

TEST_CASE("a gap of unknown or no size, and bytes that are no gap") {
  GapRecord back;
  for (const int64_t count : {int64_t{-1}, int64_t{0}, INT64_MAX}) {
    REQUIRE(ParseGapBody(EncodeGapBody({Timestamp(-5), Timestamp(0), 0, count}), back));
    CHECK(back.from == Timestamp(-5));
    CHECK(back.count == count);
  }
  CHECK_FALSE(ParseGapBody("", back));
  CHECK_FALSE(ParseGapBody(ValueBody("plain"), back));
  const std::string body = EncodeGapBody({Timestamp(1), Timestamp(2), 3, 4});
  for (size_t cut = 0; cut < body.size(); ++cut)
    CHECK_FALSE(ParseGapBody(body.substr(0, cut), back));
}

TEST_CASE("numbers that fit each other, but not the bytes, are refused") {
  const std::string good = Batch(Offset(5), {ValueBody("a"), ValueBody("b")});
  std::string many = good;
  PutFixed<uint32_t>(many.data() + 24, 1'000'000);  // offsets
  PutFixed<uint32_t>(many.data() + 28, 1'000'001);  // records
  Reseal(many);
  CHECK(Parse(many) == BatchParse::kNotABatch);
  std::string outside = good;
  const auto body_bytes = GetFixed<uint32_t>(outside.data() + 8);
  PutFixed<uint32_t>(outside.data() + 64, UINT32_MAX);      // what is left when the next is taken
  PutFixed<uint32_t>(outside.data() + 68, body_bytes + 1);  // extensions
  Reseal(outside);
  CHECK(Parse(outside) == BatchParse::kNotABatch);
}

TEST_CASE("a gap that is read into a used place keeps nothing of the one before") {
  GapRecord gap;
  REQUIRE(ParseGapBody(EncodeGapBody({Timestamp(1), Timestamp(2), 3, 4}), gap));
  REQUIRE(ParseGapBody(EncodeGapBody({Timestamp(0), Timestamp(0), 0, -1}), gap));
  CHECK(gap.from == Timestamp(0));
  CHECK(gap.to == Timestamp(0));
  CHECK(gap.reason == 0);
  CHECK(gap.count == -1);
}

TEST_CASE("a builder that is used again makes what a new one would") {
  BatchBuilder used;
  for (int round = 0; round < 3; ++round) {
    BatchBuilder fresh;
    for (BatchBuilder* builder : {&used, &fresh}) {
      builder->Begin(Offset(10 * round), LeaderEpoch(4), Timestamp(9 + round), Offset(round), 0);
      for (int i = 0; i <= 2 - round; ++i) builder->Add(ValueBody(std::string(100, 'v')));
    }
    CHECK(used.records() == fresh.records());
    CHECK(used.bytes() == fresh.bytes());
    CHECK(used.next_offset() == fresh.next_offset());
    CHECK(used.Finish() == fresh.Finish());
  }
}

}  // namespace
}  // namespace bascule::wire
