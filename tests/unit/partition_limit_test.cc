// Publishers at the bound of those that wait for an ack (limits::kPartitionInFlightRecords): what comes then waits,
// goes on when acks are given, and is answered whatever becomes of the lead.
#include <doctest/doctest.h>

#include <set>

#include "tests/unit/partition_group.h"

namespace bascule::partition {
namespace {

constexpr size_t kBound = 10;

std::vector<TestMessage> Waiting(int from, int to, AckPolicy policy = AckPolicy::kAll) {
  std::vector<TestMessage> messages = Values(from, to, "i");
  for (TestMessage& message : messages) message.policy = policy;
  return messages;
}

// Three replicas of which none but the leader, the first, can be reached: 10 are appended, 15 wait.
struct FullGroup : PartitionGroup {
  FullGroup() {
    (*this)[1].partition->Close(absl::UnavailableError("another one comes"));
    Run();
    (*this)[1].in_flight_records = kBound;
    (*this)[1].Start();
    Elect(1, 1, {1, 2, 3});
    Run();
    lines.Cut(PeerId(1));
    for (int i = 0; i < 5; ++i) {
      Publish(1, Waiting(i * 5, i * 5 + 5));
      Run();
    }
    REQUIRE(Status(1).log_end == Offset(kBound));
    REQUIRE(acks().empty());
  }
  const std::vector<SentAck>& acks() { return (*this)[1].acks.sent; }
  size_t Answered(AckError error) {
    std::set<std::string> inboxes;
    for (const SentAck& ack : acks()) {
      if (ack.error == error) inboxes.insert(ack.inbox);
    }
    return inboxes.size();
  }
};

}  // namespace

TEST_CASE("in flight: who waits at the bound goes on when followers acknowledge, in order") {
  FullGroup group;
  group.lines.Heal();
  group.Run(std::chrono::seconds(2));
  REQUIRE(group.acks().size() == 25);
  for (int i = 0; i < 25; ++i) {
    const SentAck& ack = group.acks()[static_cast<size_t>(i)];
    CHECK(ack.inbox == Concat("i", i));
    CHECK(ack.offset == Offset(i));
    CHECK(ack.error == AckError::kOk);
  }
  CHECK(group[1].Records().size() == 25);
  for (const int n : {2, 3}) CHECK(group[n].Records() == group[1].Records());
}

TEST_CASE("in flight: who waits at the bound goes on when those who acknowledge nothing fall out") {
  FullGroup group;
  group.view = ViewOf({"b1", "b2", "b3"}, 1);
  group.view.version = 7;
  for (isr::ReplicaView& replica : group.view.replicas) replica.in_isr = replica.broker == "b1";
  group[1].partition->OnView(LeaderEpoch(1), group.view);
  group.Run();
  CHECK(group.Answered(AckError::kOk) == 25);
  CHECK(group.acks().size() == 25);
}

TEST_CASE("in flight: who waits at the bound for this disk alone goes on with each sync") {
  PartitionWorldOptions options;
  options.in_flight_records = kBound;
  PartitionWorld world(options);
  world.Publish(Values(100, 101));  // the file has room from then on
  for (int i = 0; i < 6; ++i) world.Send(Waiting(i * 5, i * 5 + 5, AckPolicy::kLeader));
  CHECK(world.acks.sent.empty());
  world.Run();
  REQUIRE(world.acks.sent.size() == 30);
  for (const SentAck& ack : world.acks.sent) {
    CHECK(ack.error == AckError::kOk);
    CHECK(ack.durable_end > ack.offset);
  }
  CHECK(world.acks.releases >= 2);  // at the bound the rest is not appended yet
}

TEST_CASE(
    "R14: who waits at the bound when the lead is lost hears that it is not stored, who was "
    "appended "
    "that nobody knows") {
  FullGroup group;
  SUBCASE("nobody leads") { group[1].partition->StandBy(); }
  SUBCASE("another leads") { group.Elect(2, 2, {2, 3}); }
  SUBCASE("a follower is in a newer epoch") {
    for (const int n : {2, 3}) group[n].partition->Follow(LeaderEpoch(2), "b1", true);
    group.lines.Heal();
  }
  SUBCASE("it leads again at once") { group.Elect(1, 2, {1}, 1, {2, 3}); }
  group.Run(std::chrono::seconds(2));
  CHECK(group.acks().size() == 25);
  const size_t unknown = group.Answered(AckError::kOutcomeUnknown);
  const size_t refused = group.Answered(AckError::kUnavailable);
  const size_t stored = group.Answered(AckError::kOk);
  CHECK(unknown + refused + stored == 25);
  // What was refused is nowhere, now and after another reign.
  group.lines.Heal();
  group.Elect(1, 9, {1, 2, 3});
  group.Publish(1, Waiting(100, 101));
  group.Run(std::chrono::seconds(3));
  REQUIRE(group[1].acks.Find("i100") != nullptr);
  CHECK(group[1].acks.Find("i100")->error == AckError::kOk);
  const std::vector<std::string> records = group[1].Records();
  for (const SentAck& ack : group.acks()) {
    if (ack.error != AckError::kUnavailable) continue;
    const std::string value = Concat("=v", ack.inbox.substr(1));
    CHECK(std::none_of(records.begin(), records.end(),
                       [&](const std::string& record) { return record.ends_with(value); }));
  }
}

}  // namespace bascule::partition
