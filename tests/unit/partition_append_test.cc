// Appending: which ack is sent when, what is refused, what the log says about what was missed.
#include "tests/unit/partition_world.h"

namespace bascule::partition {
namespace {

TestMessage Wanting(const std::string& inbox, AckPolicy policy) {
  TestMessage message;
  message.value = "v-" + inbox;
  message.inbox = inbox;
  message.policy = policy;
  return message;
}

}  // namespace

TEST_CASE("LEADER and ALL acks leave when the disk has the record, never before") {
  PartitionWorld world;
  world.Send({Wanting("leader", AckPolicy::kLeader), Wanting("all", AckPolicy::kAll)});
  world.RunUntilPoolHasWork();
  CHECK(world.acks.sent.empty());  // in the page cache only
  CHECK(world.DurableEnd() == Offset(0));
  world.Run();
  REQUIRE(world.acks.sent.size() == 2);
  for (const SentAck& ack : world.acks.sent) {
    CHECK(ack.error == AckError::kOk);
    CHECK(ack.durable_end > ack.offset);
    CHECK(ack.stream == "orders");
  }
  CHECK(world.acks.Find("leader")->offset == Offset(0));
  CHECK(world.acks.Find("all")->offset == Offset(1));
}

TEST_CASE("every ack of a long run names an offset that the disk has at that moment") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    PartitionWorld world({.seed = seed});
    for (int round = 0; round < 20; ++round) {
      std::vector<TestMessage> messages =
          Values(round * 10, round * 10 + 10, Concat("r", round, "-"));
      for (size_t i = 0; i < messages.size(); i += 3) messages[i].policy = AckPolicy::kAll;
      world.Send(messages);
      for (uint64_t i = 0; i < seed % 5; ++i) world.scheduler.Step();
    }
    world.Run();
    REQUIRE(world.acks.sent.size() == 200);
    for (const SentAck& ack : world.acks.sent) CHECK(ack.durable_end > ack.offset);
    CHECK(world.acks.releases < 200);  // those of one flush leave together
  }
}

TEST_CASE("acks of one flush leave in one call of the sink") {
  PartitionWorld world;
  world.Publish(Values(0, 50, "i"));
  REQUIRE(world.acks.sent.size() == 50);
  CHECK(world.acks.releases == 1);
}

TEST_CASE("a hand-over larger than a batch: what waits behind a full one comes next, in order") {
  struct Case {
    size_t messages, bytes;
  };
  const Case cases[] = {{limits::kBatchMaxRecords * 2 + 5, 0}, {9, limits::kBatchTargetBytes / 3}};
  for (const Case& c : cases) {
    for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
      CAPTURE(c.messages);
      CAPTURE(static_cast<int>(durability));
      PartitionWorldOptions options;
      options.settings.durability = durability;
      options.max_message_bytes = limits::kMiB;
      PartitionWorld world(options);
      std::vector<TestMessage> messages = Values(0, static_cast<int>(c.messages), "i");
      for (TestMessage& message : messages) message.value.resize(message.value.size() + c.bytes);
      // One that is refused where a batch is full.
      TestMessage other = Wanting("other", AckPolicy::kLeader);
      other.expected_stream = "another";
      const size_t at = c.bytes > 0 ? 3 : limits::kBatchMaxRecords;
      messages.insert(messages.begin() + static_cast<ptrdiff_t>(at), other);
      world.Publish(messages);
      REQUIRE(world.acks.Find("other") != nullptr);
      CHECK(world.acks.Find("other")->error == AckError::kWrongStream);
      std::map<std::string, Offset> acked;
      for (const SentAck& ack : world.acks.sent) {
        if (ack.error == AckError::kOk) CHECK(acked.emplace(ack.inbox, ack.offset).second);
      }
      REQUIRE(acked.size() == c.messages);
      for (size_t i = 0; i < c.messages; ++i)
        REQUIRE(acked[Concat("i", i)] == Offset(static_cast<int64_t>(i)));
      const PartitionContent content = world.ReadAll();
      REQUIRE(content.messages.size() == c.messages);
      for (const auto& [offset, value] : content.messages)
        REQUIRE(value.substr(0, value.find('\0')) == Concat("v", offset));
      CHECK(content.epochs.size() >= 3);  // batches
    }
  }
}

TEST_CASE("NONE is never acked, but its errors are") {
  PartitionWorld world;
  TestMessage large = Wanting("large", AckPolicy::kNone);
  large.payload_bytes = 1001;
  world.Publish({Wanting("none", AckPolicy::kNone), large});
  REQUIRE(world.acks.sent.size() == 1);
  CHECK(world.acks.sent[0].inbox == "large");
  CHECK(world.acks.sent[0].error == AckError::kTooLarge);
  CHECK(world.ReadAll().messages.size() == 1);
}

TEST_CASE("a message larger than the limit is refused, one of exactly the limit is stored") {
  PartitionWorld world;
  TestMessage fits = Wanting("fits", AckPolicy::kLeader);
  fits.payload_bytes = 1000;
  TestMessage large = Wanting("large", AckPolicy::kLeader);
  large.payload_bytes = 1001;
  TestMessage silent;
  silent.value = "nobody waits";
  silent.payload_bytes = 1001;
  world.Publish({fits, large, silent});
  CHECK(world.acks.Find("fits")->error == AckError::kOk);
  CHECK(world.acks.Find("large")->error == AckError::kTooLarge);
  const auto content = world.ReadAll();
  CHECK(content.messages.size() == 1);
  // Who waited was told; for who did not, the log says it.
  REQUIRE(content.gaps.size() == 1);
  CHECK(content.gaps[0].count == 1);
  CHECK(world.Status().messages_refused == 2);
}

TEST_CASE("a stream's own limit holds beside the broker's, and can change") {
  PartitionWorldOptions options;
  options.settings.max_message_bytes = 500;
  PartitionWorld world(options);
  const auto sized = [](const std::string& inbox, uint32_t bytes) {
    TestMessage message = Wanting(inbox, AckPolicy::kLeader);
    message.payload_bytes = bytes;
    return message;
  };
  world.Publish({sized("fits", 500), sized("large", 501)});
  CHECK(world.acks.Find("fits")->error == AckError::kOk);
  CHECK(world.acks.Find("large")->error == AckError::kTooLarge);
  StreamSettings wider;
  wider.max_message_bytes = 5000;
  world.partition->Reconfigure(wider);
  world.Publish({sized("fits now", 501), sized("too large for the broker", 1001)});
  CHECK(world.acks.Find("fits now")->error == AckError::kOk);
  CHECK(world.acks.Find("too large for the broker")->error == AckError::kTooLarge);
}

TEST_CASE("an expected offset that is not the next one is refused where it is asked for") {
  PartitionWorldOptions options;
  SUBCASE("by the stream's optimistic concurrency control") {
    options.settings.optimistic_concurrency_control = true;
  }
  SUBCASE("by JetStream's header") {}
  PartitionWorld world(options);
  auto expecting = [&](const std::string& inbox, int64_t offset) {
    TestMessage message = Wanting(inbox, AckPolicy::kLeader);
    message.expected_offset = offset;
    if (!options.settings.optimistic_concurrency_control) message.format = AckFormat::kJetStream;
    return message;
  };
  world.Publish(
      {expecting("first", 0), expecting("again", 0), expecting("second", 1), expecting("any", -1)});
  CHECK(world.acks.Find("first")->error == AckError::kOk);
  CHECK(world.acks.Find("again")->error == AckError::kIncorrectOffset);
  CHECK(world.acks.Find("second")->offset == Offset(1));
  CHECK(world.acks.Find("any")->offset == Offset(2));
  world.Publish({expecting("late", 1)});
  CHECK(world.acks.Find("late")->error == AckError::kIncorrectOffset);
  CHECK(world.acks.Find("late")->last == Offset(2));  // tells where the log stands
  CHECK(world.ReadAll().messages.size() == 3);
}

TEST_CASE("without the setting an envelope's expected offset asks for nothing") {
  PartitionWorld world;
  TestMessage message = Wanting("i", AckPolicy::kLeader);
  message.expected_offset = 41;
  world.Publish({message});
  CHECK(world.acks.Find("i")->error == AckError::kOk);
}

TEST_CASE("a message meant for another stream is refused") {
  PartitionWorld world;
  TestMessage wrong = Wanting("wrong", AckPolicy::kLeader);
  wrong.expected_stream = "invoices";
  TestMessage right = Wanting("right", AckPolicy::kLeader);
  right.expected_stream = "orders";
  world.Publish({wrong, right});
  CHECK(world.acks.Find("wrong")->error == AckError::kWrongStream);
  CHECK(world.acks.Find("right")->offset == Offset(0));
}

TEST_CASE("with durability os an ack does not wait for the disk") {
  PartitionWorldOptions options;
  options.settings.durability = Durability::kOs;
  PartitionWorld world(options);
  world.Send({Wanting("leader", AckPolicy::kLeader), Wanting("all", AckPolicy::kAll)});
  CHECK(world.acks.sent.size() == 2);
  CHECK(world.acks.sent[0].durable_end == Offset(0));
  CHECK(world.Status().high_watermark == Offset(2));
  CHECK(world.Status().flushed_end == Offset(0));
  // The background sync catches up.
  world.partition->OnIdleTick();
  world.Run();
  CHECK(world.Status().flushed_end == Offset(2));
}

TEST_CASE("another durability counts from the next epoch on") {
  PartitionWorldOptions options;
  options.settings.durability = Durability::kOs;
  PartitionWorld world(options);
  world.Send({Wanting("before", AckPolicy::kAll)});
  CHECK(world.Status().flushed_end == Offset(0));
  StreamSettings synced = options.settings;
  synced.durability = Durability::kFsync;
  world.partition->Reconfigure(synced);
  world.partition->CheckInvariants();  // what was committed without the disk stays committed
  world.Send({Wanting("in this epoch", AckPolicy::kAll)});
  CHECK(world.acks.Find("in this epoch") != nullptr);
  CHECK(world.Status().flushed_end == Offset(0));
  world.partition->Lead(LeaderEpoch(2), ViewOf({"self"}, 1));
  CHECK(world.Status().high_watermark == Offset(2));
  world.Send({Wanting("in the next", AckPolicy::kAll)});
  CHECK(world.acks.Find("in the next") == nullptr);
  world.Run();
  CHECK(world.acks.Find("in the next")->durable_end >= Offset(3));
}

TEST_CASE("acks.leader committed: a LEADER ack waits for the commit") {
  for (const LeaderAcks setting : {LeaderAcks::kLocal, LeaderAcks::kCommitted}) {
    PartitionWorldOptions options;
    options.settings.leader_acks = setting;
    options.start = false;
    PartitionWorld world(options);
    // Another member never acknowledges: nothing is committed (R5).
    world.Lead(LeaderEpoch(1), std::nullopt, {"self", "other"}, 1);
    world.Publish({Wanting("leader", AckPolicy::kLeader), Wanting("all", AckPolicy::kAll)});
    CHECK((world.acks.Find("leader") != nullptr) == (setting == LeaderAcks::kLocal));
    CHECK(world.acks.Find("all") == nullptr);
    CHECK(world.Status().high_watermark == Offset(0));
    CHECK(world.Status().flushed_end == Offset(2));
  }
}

TEST_CASE("R5a: short of min ISR, ALL is not acked, LEADER is") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  world.Lead(LeaderEpoch(1), std::nullopt, {"self"}, 2);
  world.Publish({Wanting("leader", AckPolicy::kLeader), Wanting("all", AckPolicy::kAll)});
  CHECK(world.acks.Find("leader") != nullptr);
  CHECK(world.acks.Find("all") == nullptr);
}

TEST_CASE("below the disk reserve messages are refused, reads go on, and it heals by itself") {
  PartitionWorld world;
  world.Publish(Values(0, 3, "before"));
  world.disk_full = true;
  world.partition->OnDiskSpace();
  world.Publish({Wanting("refused", AckPolicy::kLeader)});
  world.Publish(Values(100, 107));  // nobody waits
  CHECK(world.acks.Find("refused")->error == AckError::kUnavailable);
  CHECK(world.Status().degraded.find("reserve") != std::string::npos);
  CHECK(world.ReadAll().messages.size() == 3);
  world.clock.Advance(std::chrono::seconds(5));
  world.disk_full = false;
  world.partition->OnDiskSpace();
  world.Publish({Wanting("after", AckPolicy::kAll)});
  CHECK(world.acks.Find("after")->error == AckError::kOk);
  CHECK(world.Status().degraded.empty());
  const auto content = world.ReadAll();
  CHECK(content.messages.size() == 4);
  // The exact count of those that nobody was told about.
  REQUIRE(content.gaps.size() == 1);
  CHECK(content.gaps[0].count == 7);
  CHECK(content.gaps[0].reason == static_cast<uint32_t>(GapReason::kNotWritable));
  // Whatever the reason of a refusal: what came is what was stored and what was refused.
  TestMessage large = Wanting("large", AckPolicy::kLeader);
  large.payload_bytes = 1001;
  world.Publish({large});
  CHECK(world.Status().messages_received == 3 + 1 + 7 + 1 + 1);
  CHECK(world.Status().messages_refused == 1 + 7 + 1);
  CHECK(content.gaps[0].from <= content.gaps[0].to);
  CHECK(world.Status().messages_in_gaps == 7);
}

TEST_CASE("a disk without room refuses what it cannot take, and goes on when there is room") {
  PartitionWorld world;
  world.Publish(Values(0, 3, "before"));
  world.fs.SetCapacity(0);
  TestMessage large = Wanting("large", AckPolicy::kLeader);
  large.value.assign(200'000, 'x');
  large.payload_bytes = 10;
  std::vector<TestMessage> silent(9);
  for (TestMessage& message : silent) {
    message.value.assign(200'000, 'y');  // several batches
    message.payload_bytes = 10;
  }
  world.Publish({large});
  world.Publish(silent);
  CHECK(world.acks.Find("large")->error == AckError::kUnavailable);
  world.fs.SetCapacity(uint64_t{1} << 40);
  world.Publish({Wanting("after", AckPolicy::kLeader)});
  CHECK(world.acks.Find("after")->error == AckError::kOk);
  const auto content = world.ReadAll();
  CHECK(content.messages.size() == 4);
  int64_t counted = 0;
  for (const wire::GapRecord& gap : content.gaps) counted += gap.count;
  CHECK(counted == 9);
  CHECK(world.failures.empty());
}

TEST_CASE(
    "a disk without room: who waits behind the batch that met it is told as well, and at once") {
  PartitionWorld world;
  for (int round = 0; round < 2; ++round) {
    world.fs.SetCapacity(0);
    std::vector<TestMessage> messages;
    for (int i = 0; i < 9; ++i) {  // several batches
      messages.push_back(Wanting(Concat("i", round, ".", i), AckPolicy::kAll));
      messages.back().value.assign(200'000, 'x');
      messages.back().payload_bytes = 10;
    }
    world.acks.sent.clear();
    world.Publish(messages);
    CHECK(world.acks.sent.size() == messages.size());
    for (const SentAck& ack : world.acks.sent) CHECK(ack.error == AckError::kUnavailable);
    world.fs.SetCapacity(uint64_t{1} << 40);
    world.Publish({Wanting("after", AckPolicy::kAll)});
    CHECK(world.acks.Find("after")->error == AckError::kOk);
  }
}

TEST_CASE("R11: the clock may jump back, timestamps do not") {
  PartitionWorld world;
  world.Publish(Values(0, 1));
  world.clock.JumpWall(-std::chrono::hours(1));
  world.Publish(Values(1, 2));
  std::vector<Timestamp> times;
  const auto chunk = world.Read(Offset(0));
  REQUIRE(chunk.ok());
  WalkBatches(chunk->batches.view(), [&](const wire::BatchHeader& header, std::string_view) {
    times.push_back(header.base_timestamp);
  });
  REQUIRE(times.size() == 2);
  CHECK(times[1] >= times[0]);
}

TEST_CASE("C4: gap records take an offset, are not delivered, and are counted") {
  PartitionWorld world;
  world.Publish(Values(0, 2));
  world.partition->RecordGap({Timestamp(5), Timestamp(9), GapReason::kQueueFull, 12});
  world.partition->RecordGap({Timestamp(6), Timestamp(9), GapReason::kDisconnected, -1});
  world.Run();
  world.Publish(Values(2, 3, "i"));
  CHECK(world.acks.Find("i2")->offset == Offset(4));
  const auto content = world.ReadAll();
  CHECK(content.messages.size() == 3);
  CHECK(content.messages.contains(Offset(4)));
  REQUIRE(content.gaps.size() == 2);
  CHECK(content.gaps[0].count == 12);
  CHECK(content.gaps[0].from == Timestamp(5));
  CHECK(content.gaps[1].count == -1);
  const PartitionStatus status = world.Status();
  CHECK(status.gap_records == 2);
  CHECK(status.messages_in_gaps == 12);
}

TEST_CASE("C4: a gap record is committed like a message, and claims no more than is durable") {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    CAPTURE(static_cast<int>(durability));
    PartitionWorldOptions options;
    options.settings.durability = durability;
    PartitionWorld world(options);
    world.Publish(Values(0, 2));
    world.partition->OnIdleTick();  // under `os` the sync
    world.Run();
    std::optional<absl::StatusOr<ReadChunk>> parked;
    world.partition->Read({ReaderId(5), Direction::kForward, Offset(2), 4096},
                          [&](absl::StatusOr<ReadChunk> read) { parked = std::move(read); });
    world.Run();
    CHECK_FALSE(parked.has_value());
    world.partition->RecordGap({Timestamp(5), Timestamp(9), GapReason::kQueueFull, 12});
    world.partition->RecordGap({Timestamp(6), Timestamp(9), GapReason::kQueueFull, 13});
    if (durability == Durability::kFsync) CHECK(world.Status().high_watermark < Offset(4));
    world.Run();
    const PartitionStatus status = world.Status();
    CHECK(status.log_end == Offset(4));
    CHECK(status.high_watermark == Offset(4));
    REQUIRE(parked.has_value());
    REQUIRE(parked->ok());
    CHECK((*parked)->next > Offset(2));
    std::vector<Offset> committed;
    const std::string bytes = world.fs.VisibleBytes(world.SegmentPaths().at(0));
    WalkBatches(std::string_view(bytes).substr(log::kSegmentHeaderBytes),
                [&](const wire::BatchHeader& header, std::string_view) {
                  if (header.control()) committed.push_back(header.committed_through);
                });
    CHECK(committed == std::vector<Offset>{Offset(2), Offset(2)});
  }
}

TEST_CASE("C4: who listens after having been away says so in the log, who just began does not") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  const Timestamp created = world.clock.Wall();
  world.Lead(LeaderEpoch(1));
  world.feeds.hold_back = true;
  bool listening = false;
  world.partition->Listen(Partition::Since::kAway,
                          [&](const absl::Status& status) { listening = status.ok(); });
  world.Run();
  CHECK(world.Status().gap_records == 0);  // not before the subscription is confirmed
  world.clock.Advance(std::chrono::seconds(3));
  world.feeds.held.at(0)(absl::OkStatus());
  world.Run();
  CHECK(listening);
  const auto content = world.ReadAll();
  REQUIRE(content.gaps.size() == 1);
  CHECK(content.gaps[0].reason == static_cast<uint32_t>(GapReason::kNotListening));
  CHECK(content.gaps[0].count == -1);
  CHECK(content.gaps[0].from == created);
  CHECK(content.gaps[0].to == world.clock.Wall());

  PartitionWorld fresh;
  CHECK(fresh.Status().gap_records == 0);
}

TEST_CASE(
    "C4: a feed that is refused later is shown until it is heard again, and tells its own gap") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  world.Lead(LeaderEpoch(1));
  world.feeds.hold_back = true;
  std::vector<bool> told;
  world.partition->Listen(Partition::Since::kAway,
                          [&](const absl::Status& status) { told.push_back(status.ok()); });
  auto& listening = world.feeds.held.at(0);
  for (int round = 0; round < 2; ++round) {
    listening(absl::OkStatus());
    world.Run();
    CHECK(world.Status().degraded == "");
    listening(absl::PermissionDeniedError("no permission any more"));
    world.Run();
    CHECK(world.Status().degraded == "does not hear its subject: no permission any more");
  }
  listening(absl::OkStatus());
  world.Run();
  CHECK(world.Status().degraded == "");
  CHECK(told == std::vector<bool>{true, false, true, false, true});
  CHECK(world.ReadAll().gaps.size() == 1);  // of the time away
}

TEST_CASE("C4: a feed that is refused first and heard later tells of the time away, once") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  world.Lead(LeaderEpoch(1));
  world.feeds.hold_back = true;
  world.partition->Listen(Partition::Since::kAway, [](const absl::Status&) {});
  auto& listening = world.feeds.held.at(0);
  for (int round = 0; round < 2; ++round) {
    listening(absl::PermissionDeniedError("no permission yet"));
    world.Run();
    CHECK(world.ReadAll().gaps.empty());
  }
  for (int round = 0; round < 2; ++round) {
    listening(absl::OkStatus());
    world.Run();
    CHECK(world.ReadAll().gaps.size() == 1);
  }
}

TEST_CASE("who knows the newest message is up to date, though a gap record stands behind it") {
  PartitionWorldOptions options;
  options.settings.optimistic_concurrency_control = true;
  PartitionWorld world(options);
  const auto expecting = [](const std::string& inbox, int64_t offset) {
    TestMessage message = Wanting(inbox, AckPolicy::kLeader);
    message.expected_offset = offset;
    return message;
  };
  world.Publish({expecting("first", 0)});
  REQUIRE(world.acks.Find("first")->offset == Offset(0));
  world.shard.Post([&] {
    world.partition->RecordGap({Timestamp(1), Timestamp(2), GapReason::kDisconnected, 3});
  });
  world.Run();
  REQUIRE(world.ReadAll().gaps.size() == 1);
  world.Publish({expecting("before", 0)});
  CHECK(world.acks.Find("before")->error == AckError::kIncorrectOffset);
  world.Publish({expecting("newest", 1)});
  CHECK(world.acks.Find("newest")->error == AckError::kOk);
  CHECK(world.acks.Find("newest")->offset == Offset(2));
}

}  // namespace bascule::partition
