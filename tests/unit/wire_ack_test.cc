#include "core/wire/ack.h"

#include <doctest/doctest.h>

#include "api.pb.h"
#include "tests/unit/wire_samples.h"

namespace bascule::wire {
namespace {

void CheckSame(const std::string& bytes) {
  proto::Ack theirs;
  AckView ours;
  const bool taken = theirs.ParseFromString(bytes);
  REQUIRE(ParseAck(bytes, ours) == taken);
  if (!taken) return;
  CHECK(ours.stream == theirs.stream());
  CHECK(ours.partition_subject == theirs.partitionsubject());
  CHECK(ours.message_subject == theirs.msgsubject());
  CHECK(ours.offset == theirs.offset());
  CHECK(ours.ack_inbox == theirs.ackinbox());
  CHECK(ours.correlation_id == theirs.correlationid());
  CHECK(ours.ack_policy == static_cast<uint64_t>(int64_t{theirs.ackpolicy()}));
  CHECK(ours.reception_timestamp == theirs.receptiontimestamp());
  CHECK(ours.commit_timestamp == theirs.committimestamp());
  CHECK(ours.ack_error == static_cast<uint64_t>(int64_t{theirs.ackerror()}));
}

TEST_CASE("the bytes of an ack") {
  AckView ack;
  ack.stream = "s";
  ack.partition_subject = "p";
  ack.message_subject = "m";
  ack.offset = 300;
  ack.ack_inbox = "i";
  ack.correlation_id = "c";
  ack.ack_policy = 1;
  ack.reception_timestamp = 1;
  ack.commit_timestamp = 2;
  ack.ack_error = 3;
  std::string out = "before";
  AppendAck(out, ack);
  CHECK(out ==
        "before\x0a\x01s\x12\x01p\x1a\x01m\x20\xac\x02\x2a\x01i\x32\x01\x63\x38\x01\x40\x01\x48\x02"
        "\x50\x03");
  // Ours come last, and pass through libprotobuf's hands.
  AckView own;
  own.stream_id = 300;
  own.stream_created = -1;
  own.partition = 2;
  own.leader_epoch = 9;
  out.clear();
  AppendAck(out, own);
  CHECK(out ==
        "\xc0\x3e\xac\x02\xc8\x3e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xd0\x3e\x02\xd8\x3e\x09");
  proto::Ack theirs;
  REQUIRE(theirs.ParseFromString(out));
  CHECK(theirs.SerializeAsString() == out);
  AckView view;
  REQUIRE(ParseAck(out, view));
  CHECK(view.stream_id == 300);
  CHECK(view.stream_created == -1);
  CHECK(view.partition == 2);
  CHECK(view.leader_epoch == 9);
  out.clear();
  AppendAck(out, AckView());
  CHECK(out.empty());
}

TEST_CASE("acks are byte for byte what libprotobuf writes") {
  Samples samples(11);
  for (int i = 0; i < 5000; ++i) {
    proto::Ack theirs;
    theirs.set_stream(EscapeInvalidUtf8(samples.Text()));
    theirs.set_partitionsubject(EscapeInvalidUtf8(samples.Text()));
    theirs.set_msgsubject(EscapeInvalidUtf8(samples.Text()));
    theirs.set_offset(static_cast<int64_t>(samples.Number()));
    theirs.set_ackinbox(EscapeInvalidUtf8(samples.Text()));
    theirs.set_correlationid(EscapeInvalidUtf8(samples.Text()));
    theirs.set_ackpolicy(static_cast<proto::AckPolicy>(static_cast<int32_t>(samples.Number())));
    theirs.set_receptiontimestamp(static_cast<int64_t>(samples.Number()));
    theirs.set_committimestamp(static_cast<int64_t>(samples.Number()));
    theirs.set_ackerror(static_cast<proto::Ack::Error>(samples.Below(5)));
    const std::string bytes = theirs.SerializeAsString();
    CheckSame(bytes);
    AckView ours;
    REQUIRE(ParseAck(bytes, ours));
    std::string out;
    AppendAck(out, ours);
    CHECK(out == bytes);
  }
}

TEST_CASE("acks are taken and refused as libprotobuf does, whatever the bytes") {
  const Quiet quiet;
  Samples samples(12);
  int taken = 0;
  constexpr int kRounds = 20'000;
  for (int i = 0; i < kRounds; ++i) {
    const std::string bytes = samples.Message(10);
    CAPTURE(i);
    CheckSame(bytes);
    AckView ack;
    taken += ParseAck(bytes, ack);
  }
  CHECK(taken > kRounds / 4);
  CHECK(taken < kRounds * 3 / 4);
}

TEST_CASE("an ack that is read into a used place keeps nothing of the one before") {
  AckView full;
  full.stream = full.partition_subject = full.message_subject = full.ack_inbox = "t";
  full.correlation_id = "c";
  full.offset = full.reception_timestamp = full.commit_timestamp = 7;
  full.ack_policy = full.ack_error = 2;
  full.stream_id = full.leader_epoch = 5;
  full.stream_created = full.partition = 6;
  std::string bytes;
  AppendAck(bytes, full);
  AckView view;
  REQUIRE(ParseAck(bytes, view));
  REQUIRE(ParseAck("", view));
  std::string again;
  AppendAck(again, view);
  CHECK(again.empty());
}

}  // namespace
}  // namespace bascule::wire
