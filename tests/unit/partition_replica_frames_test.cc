// What brokers tell each other about replicas, as bytes.
#include "replication/partition/replica_frames.h"

#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/wire/coding.h"
#include "core/wire/record.h"
#include "tests/support/sim_rng.h"

namespace bascule::partition {
namespace {

const PartitionKey kOne{StreamId(7), PartitionId(3)};
const PartitionKey kOther{StreamId(9), PartitionId(0)};

std::string Batch(int64_t base, int count, uint64_t epoch) {
  wire::BatchBuilder builder;
  builder.Begin(Offset(base), LeaderEpoch(epoch), Timestamp(1), Offset(0), 0);
  for (int i = 0; i < count; ++i) {
    std::string body;
    wire::AppendValue(body, Concat("value ", base + i));
    builder.Add(body);
  }
  return builder.Finish();
}

std::string Joined(const std::vector<Bytes>& pieces) {
  std::string all;
  for (const Bytes& piece : pieces) all.append(piece.view());
  return all;
}

// One of each kind.
std::string Sample(std::string batches = "some batches") {
  ReplicaFrameBuilder builder;
  builder.AddAppend(kOne, LeaderEpoch(5), Offset(40), 7, Bytes(std::move(batches)));
  builder.Add({kOther, LeaderEpoch(6), HighWatermarkPart{Offset(41)}});
  builder.Add({kOne, LeaderEpoch(5), isr::Acknowledgement{{}, 77, LeaderEpoch(5), Offset(12)}});
  builder.Add(
      {kOther, LeaderEpoch(6),
       isr::ReconcileQuestion{
           LeaderEpoch(6),
           {},
           78,
           3,
           {Offset(2), Offset(30), {{LeaderEpoch(1), Offset(2)}, {LeaderEpoch(4), Offset(9)}}}}});
  builder.Add({kOther, LeaderEpoch(6),
               isr::ReconcileAnswer{LeaderEpoch(6), 78, 3, Offset(9), Offset(2), false, false}});
  builder.Add({kOther, LeaderEpoch(6),
               isr::ReconcileAnswer{LeaderEpoch(6), 78, 4, Offset(9), Offset(2), false, true}});
  builder.Add({kOne, LeaderEpoch(8), RefusalPart{}});
  builder.Add({kOther, LeaderEpoch(6),
               isr::ReconcileAnswer{LeaderEpoch(6), 78, 5, Offset(9), Offset(2), true, false}});
  CHECK(builder.parts() == 8);
  const size_t bytes = builder.bytes();
  std::string frame = Joined(builder.Take());
  CHECK(frame.size() == bytes);
  CHECK(builder.parts() == 0);
  CHECK(builder.bytes() == kReplicaFrameHeadBytes);
  return frame;
}

// With a checksum that holds again, as far as its parts are there.
std::string Sealed(std::string frame) {
  const std::string_view all(frame);
  const size_t count = wire::GetFixed<uint32_t>(&frame[8]);
  const size_t table = std::min(frame.size() - kReplicaFrameHeadBytes, count * kReplicaPartBytes);
  uint32_t crc = Crc32c(all.substr(kReplicaFrameHeadBytes, table));
  size_t body = kReplicaFrameHeadBytes + table;
  for (size_t part = kReplicaFrameHeadBytes;
       part < kReplicaFrameHeadBytes + table && body <= all.size(); part += kReplicaPartBytes) {
    const size_t length = wire::GetFixed<uint32_t>(&frame[part + 4]);
    if (frame[part] != 1) crc = ExtendCrc32c(crc, all.substr(body, length));
    body += length;
  }
  wire::PutFixed<uint32_t>(&frame[12], crc);
  return frame;
}

std::string Refused(const std::string& frame) {
  const auto parsed = ParseReplicaFrame(frame);
  return parsed.ok() ? "taken" : std::string(parsed.status().message());
}

}  // namespace

TEST_CASE("replica frames: what is added is what is read, in its order, batches where they were") {
  const std::string frame = Sample();
  const auto parsed = ParseReplicaFrame(frame);
  REQUIRE(parsed.ok());
  REQUIRE(parsed->size() == 8);
  const auto& parts = *parsed;
  CHECK(parts[0].key == kOne);
  CHECK(parts[0].epoch == LeaderEpoch(5));
  CHECK(std::get<AppendPart>(parts[0].what).high_watermark == Offset(40));
  CHECK(std::get<AppendPart>(parts[0].what).number == 7);
  CHECK(std::get<AppendPart>(parts[0].what).batches == "some batches");
  CHECK(parts[1].key == kOther);
  CHECK(std::get<HighWatermarkPart>(parts[1].what).high_watermark == Offset(41));
  const auto& ack = std::get<isr::Acknowledgement>(parts[2].what);
  CHECK(ack.incarnation == 77);
  CHECK(ack.epoch == LeaderEpoch(5));
  CHECK(ack.position == Offset(12));
  const auto& question = std::get<isr::ReconcileQuestion>(parts[3].what);
  CHECK(question.epoch == LeaderEpoch(6));
  CHECK(question.incarnation == 78);
  CHECK(question.number == 3);
  CHECK(question.log == isr::LogEpochs{Offset(2),
                                       Offset(30),
                                       {{LeaderEpoch(1), Offset(2)}, {LeaderEpoch(4), Offset(9)}}});
  for (const size_t i : {4, 5}) {
    const auto& answer = std::get<isr::ReconcileAnswer>(parts[i].what);
    CHECK(answer.epoch == LeaderEpoch(6));
    CHECK(answer.incarnation == 78);
    CHECK(answer.number == i - 1);
    CHECK(answer.common_end == Offset(9));
    CHECK(answer.leader_start == Offset(2));
    CHECK(answer.lost == (i == 5));
    CHECK_FALSE(answer.anew);
  }
  CHECK(std::holds_alternative<RefusalPart>(parts[6].what));
  CHECK(parts[6].epoch == LeaderEpoch(8));
  CHECK(std::get<isr::ReconcileAnswer>(parts[7].what).anew);
  CHECK_FALSE(std::get<isr::ReconcileAnswer>(parts[7].what).lost);
}

TEST_CASE("replica frames: the bytes of a frame, for good") {
  ReplicaFrameBuilder builder;
  builder.Add({kOne, LeaderEpoch(5), isr::Acknowledgement{{}, 77, LeaderEpoch(5), Offset(12)}});
  const std::string frame = Joined(builder.Take());
  std::string expected = "BSRF";
  expected += std::string("\1\0\0\0\1\0\0\0", 8) + frame.substr(12, 4);  // its checksum
  expected += std::string("\3\0\0\0\0\0\0\0", 8) + std::string("\7\0\0\0\0\0\0\0", 8);
  expected += std::string("\3\0\0\0\0\0\0\0", 8) + std::string("\5\0\0\0\0\0\0\0", 8);
  expected += std::string("\x4D\0\0\0\0\0\0\0", 8) + std::string("\x0C\0\0\0\0\0\0\0", 8);
  expected += std::string(16, '\0');
  CHECK(frame == expected);
  CHECK(Sealed(frame) == frame);
}

TEST_CASE("replica frames: a batch is not copied on its way out") {
  const Bytes batch(std::string(1000, 'x'));
  ReplicaFrameBuilder builder;
  builder.AddAppend(kOne, LeaderEpoch(5), Offset(1), 1, batch);
  const std::vector<Bytes> pieces = builder.Take();
  REQUIRE(pieces.size() == 2);
  CHECK(pieces[1].data() == batch.data());
}

TEST_CASE("replica frames: torn or changed anywhere, nothing of it counts") {
  const std::string frame = Sample();
  for (size_t length = 0; length < frame.size(); ++length)
    CHECK_FALSE(ParseReplicaFrame(std::string_view(frame).substr(0, length)).ok());
  CHECK(Refused(frame + "x") == "replica frame: 1 bytes follow its last part");
  const size_t head = kReplicaFrameHeadBytes + 8 * kReplicaPartBytes;
  for (size_t at = 0; at < head; ++at) {
    std::string changed = frame;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    CHECK_FALSE(ParseReplicaFrame(changed).ok());
  }
}

TEST_CASE(
    "replica frames: what no broker says is refused with what is wrong, though its checksum "
    "holds") {
  const auto part = [](size_t i) { return kReplicaFrameHeadBytes + i * kReplicaPartBytes; };
  const auto changed = [&](size_t at, int64_t value) {
    std::string frame = Sample();
    wire::PutFixed<int64_t>(&frame[at], value);
    return Refused(Sealed(frame));
  };
  CHECK(changed(part(0) + 32, -1) == "replica frame: part 0: its high watermark is no offset");
  CHECK(changed(part(1) + 32, -1) == "replica frame: part 1: its high watermark is no offset");
  CHECK(changed(part(2) + 40, -1) == "replica frame: part 2: its position is no offset");
  CHECK(changed(part(3) + 56, 1) ==
        "replica frame: part 3: its list of epochs is not that of a log");
  CHECK(changed(part(4) + 48, -1) == "replica frame: part 4: its positions are no offsets");
  CHECK(changed(part(5) + 56, -1) == "replica frame: part 5: its positions are no offsets");
  CHECK(changed(part(0) + 48, 1) == "replica frame: part 0: bytes that are to be zero are not");
  CHECK(changed(part(2) + 48, 1) == "replica frame: part 2: bytes that are to be zero are not");
  CHECK(changed(part(6) + 32, 1) == "replica frame: part 6: bytes that are to be zero are not");
  CHECK(changed(part(0) + 16, -1) == "replica frame: part 0: bytes that are to be zero are not");
  std::string frame = Sample();
  wire::PutFixed<int32_t>(&frame[part(0) + 16], -1);
  CHECK(Refused(Sealed(frame)) == "replica frame: part 0: its partition is negative");
  frame = Sample();
  frame[part(6)] = 9;
  CHECK(Refused(Sealed(frame)) == "replica frame: part 6: kind 9 is not known");
  frame[part(6)] = 0;
  CHECK(Refused(Sealed(frame)) == "replica frame: part 6: kind 0 is not known");
  frame = Sample();
  frame[part(3) + 4] = 31;
  frame[part(4) + 4] = 1;
  CHECK(Refused(Sealed(frame)) == "replica frame: part 3: its list of epochs is torn");
  frame = Sample();
  frame[part(0) + 4] = 11;
  frame[part(1) + 4] = 1;
  CHECK(Refused(Sealed(frame)) ==
        "replica frame: part 1: it has a body, and none of its kind has one");
  frame = Sample();
  frame[part(0) + 4] = 0;
  frame.erase(part(8), 12);
  CHECK(Refused(Sealed(frame)) == "replica frame: part 0: an append without a batch");
  frame = Sample();
  wire::PutFixed<uint32_t>(&frame[part(0) + 4], UINT32_MAX);
  CHECK(Refused(Sealed(frame)) == "replica frame: part 0: its body is torn");
  frame = Sample();
  wire::PutFixed<uint32_t>(&frame[8], UINT32_MAX);
  CHECK(Refused(frame) == "replica frame: its parts are torn");
  wire::PutFixed<uint32_t>(&frame[8], 0);
  CHECK(Refused(frame) == "replica frame: its parts are torn");
  frame = Sample();
  frame[4] = 2;
  CHECK(Refused(frame) == "replica frame: it is of another version");
}

TEST_CASE("replica frames: a follower takes whole, sound, unbroken batches of epochs that can be") {
  const std::string batches = Batch(10, 3, 4) + Batch(13, 1, 4) + Batch(14, 2, 5);
  const auto checked = CheckBatches(batches, Offset(10), LeaderEpoch(4), LeaderEpoch(5));
  REQUIRE(checked.ok());
  REQUIRE(checked->size() == 3);
  std::string again;
  for (const CheckedBatch& batch : *checked) again += batch.bytes;
  CHECK(again == batches);
  CHECK((*checked)[2].header.end() == Offset(16));
  const auto refused = [&](std::string_view bytes, int64_t base, uint64_t epoch) {
    return std::string(
        CheckBatches(bytes, Offset(base), LeaderEpoch(2), LeaderEpoch(epoch)).status().message());
  };
  CHECK(refused(batches, 9, 5) == "a batch begins at offset 10, due is 9");
  CHECK(refused(batches, 10, 4) ==
        "the batch at offset 14 is of leader epoch 5, behind 4 and in 4");
  CHECK(refused(Batch(10, 1, 5) + Batch(11, 1, 4), 10, 6) ==
        "the batch at offset 11 is of leader epoch 4, behind 5 and in 6");
  CHECK(refused(Batch(10, 1, 4) + Batch(12, 1, 4), 10, 5) ==
        "a batch begins at offset 12, due is 11");
  CHECK(refused(std::string_view(batches).substr(0, batches.size() - 1), 10, 5) ==
        "what should be the batch at offset 14 is torn");
  CHECK(refused("nonsense that is long enough to be looked at", 10, 5) ==
        "what should be the batch at offset 10 is none");
  CHECK(refused(Batch(10, 1, 1), 10, 5) ==
        "the batch at offset 10 is of leader epoch 1, behind 2 and in 5");
  SimRng rng(3);
  for (int i = 0; i < 500; ++i) {
    std::string changed = batches;
    changed[rng.Below(changed.size())] ^= static_cast<char>(1 << rng.Below(8));
    CHECK_FALSE(CheckBatches(changed, Offset(10), LeaderEpoch(1), LeaderEpoch(5)).ok());
  }
}

}  // namespace bascule::partition
