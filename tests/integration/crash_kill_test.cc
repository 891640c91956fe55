// SIGKILL during a publish load, again and again: whatever was acknowledged is there, once, in
// order. A kill leaves the page cache alone, so the same runs under a layer that takes every
// unsynced change away (support/unsynced_loss.c); and since a test must be able to fail, a broker
// whose syncs do nothing must be found out.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/integration/crash_world.h"
#include "tests/support/nats_server.h"

namespace bascule::crash {
namespace {

constexpr int kRounds = 20;
constexpr size_t kWindow = 500;

// A number of acks that lets each kill fall elsewhere: in a young batch, an old one, during a sync.
size_t AcksOfRound(int round) { return 50 + static_cast<size_t>(round) * 137 % 1900; }

// One life of the broker: load, kill, start, compare all that was ever recorded.
std::vector<std::string> Round(CrashBroker& broker, CrashPublisher& publisher, int round,
                               size_t& undone) {
  if (!publisher.Publish(AcksOfRound(round), kWindow)) {
    return {"no ack for 10 s\n" + broker.Log()};
  }
  UnsyncedLoss loss = broker.Kill();
  undone += loss.changes;
  absl::Status started = broker.Start();
  if (!started.ok()) return {"does not start again: " + started.ToString()};
  if (!publisher.Probe()) return {"records nothing after its start\n" + broker.Log()};
  auto recorded = ReadAll(broker.address());
  if (!recorded.ok())
    return {"cannot be read: " + recorded.status().ToString() + "\n" + broker.Log()};
  std::vector<std::string> wrong = Compare(publisher.Acked(), *recorded);
  if (!wrong.empty()) {
    wrong.push_back("undone before this start: " + std::to_string(loss.changes) + " changes, " +
                    std::to_string(loss.entries) + " directory entries");
  }
  return wrong;
}

struct Outcome {
  std::vector<std::string> wrong;
  size_t acked = 0;
  size_t undone = 0;  // unsynced changes taken away by all kills
};

Outcome RunRounds(Loss loss, const std::string& forget, int rounds) {
  auto nats = NatsServer::Start();
  REQUIRE_MESSAGE(nats.ok(), nats.status().ToString());
  CrashBroker broker((*nats)->url(), loss, forget);
  absl::Status started = broker.Start();
  REQUIRE_MESSAGE(started.ok(), started.ToString());
  absl::Status created = broker.CreateStream();
  REQUIRE_MESSAGE(created.ok(), created.ToString());
  CrashPublisher publisher((*nats)->url());
  REQUIRE_MESSAGE(publisher.Probe(), broker.Log());

  Outcome outcome;
  for (int round = 0; round < rounds && outcome.wrong.empty(); ++round) {
    outcome.wrong = Round(broker, publisher, round, outcome.undone);
    if (!outcome.wrong.empty())
      outcome.wrong.insert(outcome.wrong.begin(), "round " + std::to_string(round));
  }
  for (const std::string& refusal : publisher.Refused())
    outcome.wrong.push_back("refused: " + refusal);
  outcome.acked = publisher.Acked().size();
  return outcome;
}

TEST_CASE("20 kills during a load: every acknowledged message is there, once, in order") {
  Outcome outcome = RunRounds(Loss::kProcess, "", kRounds);
  for (const std::string& wrong : outcome.wrong) FAIL_CHECK(wrong);
  MESSAGE(outcome.acked << " messages acknowledged, " << outcome.undone
                        << " unsynced changes undone");
}

TEST_CASE(
    "20 kills that also lose what was not synced: every acknowledged message is there, once, in "
    "order") {
  Outcome outcome = RunRounds(Loss::kPower, "", kRounds);
  for (const std::string& wrong : outcome.wrong) FAIL_CHECK(wrong);
  MESSAGE(outcome.acked << " messages acknowledged, " << outcome.undone
                        << " unsynced changes undone");
}

TEST_CASE("a broker that forgets to sync its segments is found out") {
  Outcome outcome = RunRounds(Loss::kPower, ".log", 1);
  REQUIRE_FALSE(outcome.wrong.empty());
  MESSAGE(outcome.wrong.back());
}

// A sync fails under load; then the broker goes on for a while, or dies at once and its successor
// finds what the kernel still shows. After more acks the machine loses its power.
std::vector<std::string> FailsyncRound(CrashBroker& broker, CrashPublisher& publisher, bool dies,
                                       size_t& dropped) {
  if (!publisher.Publish(200, 50)) return {"no ack for 10 s\n" + broker.Log()};
  broker.FailNextSync();
  publisher.Fire(20);
  if (!broker.SyncFailed()) return {"no sync of a segment for 30 s"};
  if (dies) {
    broker.KillProcess();
    const absl::Status started = broker.Start();
    if (!started.ok()) return {"does not start again: " + started.ToString()};
  }
  if (!publisher.Probe() || !publisher.Publish(100, 50))
    return {"records nothing after the failed sync\n" + broker.Log()};
  dropped += broker.Kill().dropped;
  const absl::Status started = broker.Start();
  if (!started.ok()) return {"does not start after the loss: " + started.ToString()};
  if (!publisher.Probe()) return {"records nothing after the loss\n" + broker.Log()};
  const auto recorded = ReadAll(broker.address());
  if (!recorded.ok())
    return {"cannot be read: " + recorded.status().ToString() + "\n" + broker.Log()};
  return Compare(publisher.Acked(), *recorded);
}

TEST_CASE("failsync: what a failed sync dropped is never built upon, by this process or the next") {
  auto nats = NatsServer::Start();
  REQUIRE_MESSAGE(nats.ok(), nats.status().ToString());
  CrashBroker broker((*nats)->url(), Loss::kPower, "");
  const absl::Status started = broker.Start();
  REQUIRE_MESSAGE(started.ok(), started.ToString());
  REQUIRE(broker.CreateStream().ok());
  CrashPublisher publisher((*nats)->url());
  REQUIRE_MESSAGE(publisher.Probe(), broker.Log());
  size_t dropped = 0;
  for (int round = 0; round < 8; ++round) {
    const auto wrong = FailsyncRound(broker, publisher, round % 2 == 1, dropped);
    for (const std::string& one : wrong) FAIL("round ", round, ": ", one);
  }
  MESSAGE(publisher.Acked().size() << " messages acknowledged, " << dropped
                                   << " bytes dropped by failed syncs and not written again");
}

TEST_CASE("the comparison finds what is lost, doubled, moved and out of order") {
  const std::map<int64_t, int64_t> acked = {{0, 0}, {2, 1}};
  CHECK(Compare(acked, {{0, 0}, {1, 2}}).empty());
  CHECK(Compare(acked, {{0, 0}, {1, 2}, {2, 3}}).empty());
  CHECK_FALSE(Compare(acked, {{0, 0}}).empty());
  CHECK_FALSE(Compare(acked, {{0, 0}, {1, 2}, {2, 2}}).empty());
  CHECK_FALSE(Compare(acked, {{0, 0}, {1, 1}, {2, 2}}).empty());
  CHECK_FALSE(Compare(acked, {{0, 0}, {1, 2}, {2, 1}}).empty());
  CHECK_FALSE(Compare(acked, {{0, 0}, {1, 2}, {1, 3}}).empty());
  CHECK(Compare(acked, {{0, 0}, {1, 2}, {3, 3}}).empty());  // a gap record at 2
}

}  // namespace
}  // namespace bascule::crash
