// Failed syncs and writes, reopening under a new epoch, crashes, draining and closing.
#include "core/base/logging.h"
#include "tests/unit/partition_world.h"

namespace bascule::partition {

TEST_CASE("a failed sync acks nothing, ends the reign and keeps what was durable readable") {
  PartitionWorld world;
  world.Publish(Values(0, 3, "good"));
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  world.Publish(Values(3, 6, "bad"));
  CHECK(world.acks.sent.size() == 3);
  REQUIRE(world.failures.size() == 1);
  CHECK(world.failures[0] == Offset(3));
  CHECK(world.partition->failed());
  CHECK(world.Status().degraded.find("takes no messages") == 0);
  // A second reason does not hide the first.
  const std::string alone = world.Status().degraded;
  world.disk_full = true;
  CHECK(world.Status().degraded.starts_with(Concat(alone, "; takes no messages: free disk space")));
  world.disk_full = false;
  CHECK(world.ReadAll().messages.size() == 3);
  // Refused from here on: surely not stored.
  world.Publish(Values(6, 8, "later"));
  CHECK(world.acks.Find("later6")->error == AckError::kUnavailable);
  CHECK(world.failures.size() == 1);
}

TEST_CASE("R2a: after a failed sync the log goes on under a new epoch, with nothing acked lost") {
  PartitionWorld world;
  world.Publish(Values(0, 3, "good"));
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  world.Publish(Values(3, 6, "bad"));  // outcome unknown: no answer (R14)
  world.Publish(Values(6, 8));         // heard, not written, nobody waits
  REQUIRE(world.failures.size() == 1);
  std::optional<log::KnownEnd> known;
  world.partition->Rest([&](std::optional<log::KnownEnd> end) { known = end; });
  world.Run();
  CHECK(known == log::KnownEnd{Offset(3), Offset(3)});
  world.Lead(LeaderEpoch(9), known);
  world.Run();
  CHECK(world.Status().leader_epoch == LeaderEpoch(9));
  CHECK(world.Status().degraded.empty());
  world.Publish(Values(8, 10, "new"));
  CHECK(world.acks.Find("bad3") == nullptr);
  CHECK(world.acks.Find("new8")->error == AckError::kOk);
  const auto content = world.ReadAll();
  for (const SentAck& ack : world.acks.sent) {
    if (ack.error != AckError::kOk) continue;
    CHECK(content.messages.contains(ack.offset));
    CHECK(ack.durable_end > ack.offset);
  }
  CHECK(content.messages.at(Offset(2)) == "v2");
  CHECK(content.epochs.back() == LeaderEpoch(9));
  // Three that were cut and two that were never written.
  REQUIRE(content.gaps.size() == 1);
  CHECK(content.gaps[0].count == 5);
}

TEST_CASE(
    "who leads again before a failure of its standby is mended listens, takes nothing, and "
    "reopens") {
  PartitionWorld world;
  world.Publish(Values(0, 3, "good"));
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  world.Send(Values(3, 6, "bad"));
  world.partition->StandBy();
  world.Run();
  REQUIRE(world.failures.size() == 1);
  world.partition->Lead(LeaderEpoch(9), ViewOf({"self"}, 1));
  world.partition->Listen(Partition::Since::kAway, [](const absl::Status&) {});
  CHECK(world.partition->failed());
  world.Publish(Values(6, 8, "early"));
  CHECK(world.acks.Find("early6")->error == AckError::kUnavailable);
  std::optional<log::KnownEnd> known;
  world.partition->Rest([&](std::optional<log::KnownEnd> end) { known = end; });
  world.Run();
  REQUIRE(known.has_value());
  world.Lead(LeaderEpoch(9), known);
  world.Run();
  CHECK(world.Status().degraded.empty());
  world.Publish(Values(8, 9, "new"));
  CHECK(world.acks.Find("new8")->error == AckError::kOk);
}

TEST_CASE("an I/O error at a write ends the reign, a full disk does not") {
  PartitionWorld world;
  world.Publish(Values(0, 1));
  world.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kInternal);
  world.Publish(Values(1, 2, "i"));
  // What an I/O error left on the disk is unknown, so nobody is told that it was not stored (R14).
  CHECK(world.acks.Find("i1") == nullptr);
  CHECK(world.partition->failed());
}

TEST_CASE("a crash loses nothing that was acked, whatever the disk kept of the rest") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    PartitionWorld world({.seed = seed});
    SimRng rng(seed);
    int sent = 0;
    for (uint64_t epoch = 2; epoch <= 4; ++epoch) {
      for (uint64_t round = Between(rng, 1, 6); round > 0; --round) {
        const int count = static_cast<int>(Between(rng, 1, 20));
        world.Send(Values(sent, sent + count, "i"));
        sent += count;
        for (uint64_t steps = rng.Below(8); steps > 0; --steps) world.scheduler.Step();
      }
      world.CrashAndRestart(LeaderEpoch(epoch));
    }
    const auto content = world.ReadAll();
    INFO("seed ", seed);
    for (const SentAck& ack : world.acks.sent) {
      REQUIRE(content.messages.contains(ack.offset));
      CHECK(Concat("i", content.messages.at(ack.offset).substr(1)) == ack.inbox);
    }
    // Once, and in the order in which they were sent.
    int previous = -1;
    for (const auto& [offset, value] : content.messages) {
      const int number = std::stoi(value.substr(1));
      CHECK(number > previous);
      previous = number;
    }
  }
}

TEST_CASE("R14: closing answers nobody whose outcome is unknown") {
  PartitionWorld world;
  world.Send(Values(0, 3, "i"));
  world.partition->Close(absl::NotFoundError("commit log was deleted"));
  world.Run();
  CHECK(world.acks.sent.empty());
  CHECK(world.feeds.listening.empty());
}

TEST_CASE("draining appends, syncs and acks what was heard, then stops listening") {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    PartitionWorldOptions options;
    options.settings.durability = durability;
    PartitionWorld world(options);
    const auto batch = MakeIngress(Values(0, 5, "i"));
    for (const IngressRecord& record : batch->records) world.partition->Enqueue(batch, record);
    bool drained = false;
    world.partition->Drain([&] {
      drained = true;
      CHECK(world.acks.sent.size() == 5);
      CHECK(world.DurableEnd() == Offset(5));
    });
    world.Run();
    CHECK(drained);
    CHECK(world.feeds.listening.empty());
  }
}

TEST_CASE("draining ends although the disk is full, and what could not be stored is refused") {
  PartitionWorld world;
  world.Publish(Values(0, 1));
  world.fs.SetCapacity(0);
  std::vector<TestMessage> messages = Values(1, 8, "i");
  for (TestMessage& message : messages) {
    message.value.assign(200'000, 'x');
    message.payload_bytes = 10;
  }
  const auto batch = MakeIngress(messages);
  for (const IngressRecord& record : batch->records) world.partition->Enqueue(batch, record);
  world.partition->RecordGap({Timestamp(1), Timestamp(2), GapReason::kQueueFull, 3});
  bool drained = false;
  world.partition->Drain([&] { drained = true; });
  world.Run();
  CHECK(drained);
  CHECK(world.acks.sent.size() == 7);
  for (const SentAck& ack : world.acks.sent) CHECK(ack.error == AckError::kUnavailable);
}

TEST_CASE("draining waits for a gap record that has no place to go yet") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    PartitionWorld world({.seed = seed, .pool_order = TaskOrder::kAny});
    world.Send(Values(0, 1));  // preallocation begins with the first append
    world.partition->RecordGap({Timestamp(1), Timestamp(2), GapReason::kQueueFull, 3});
    bool drained = false;
    world.partition->Drain([&] {
      drained = true;
      CHECK(world.DurableEnd() == Offset(2));
    });
    world.Run();
    CHECK(drained);
    CHECK(world.Status().messages_in_gaps == 3);
  }
}

TEST_CASE("draining ends when the disk fails") {
  PartitionWorld world;
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal, kForever);
  const auto batch = MakeIngress(Values(0, 5, "i"));
  for (const IngressRecord& record : batch->records) world.partition->Enqueue(batch, record);
  bool drained = false;
  world.partition->Drain([&] { drained = true; });
  world.Run();
  CHECK(drained);
  CHECK(world.acks.sent.empty());
}

struct LinesOfOpening final : LogSink {
  LinesOfOpening() { SetLogSink(this); }
  ~LinesOfOpening() override { SetLogSink(nullptr); }
  void Write(std::string line) override {
    if (line.find("cannot be opened: ") != std::string::npos) lines.push_back(std::move(line));
  }
  bool Flush(std::chrono::milliseconds) override { return true; }
  Losses losses() const override { return {}; }
  std::vector<std::string> lines;
};

TEST_CASE(
    "a partition that cannot be opened is tried again and again, and told once for a reason") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  const LinesOfOpening log;
  for (const char* why : {"a foreign file", "a foreign file", "a pipe", "a pipe", "a foreign file"})
    world.partition->FailOpening(absl::FailedPreconditionError(why));
  REQUIRE(log.lines.size() == 3);
  CHECK(log.lines[1].find("a pipe") != std::string::npos);
}

TEST_CASE("a partition that is opening or cannot be opened says so") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  CHECK(absl::IsUnavailable(world.Locate({}).status()));
  world.partition->FailOpening(absl::DataLossError("the file is gone"));
  CHECK(world.Locate({}).status().message() == "the file is gone");
}

}  // namespace bascule::partition
