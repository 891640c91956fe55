// Three brokers on one NATS with a stream of three replicas under a steady load: the parts of
// failover_*_test.cc.
//   BASCULE_TEST_FAILOVER_SECONDS  how long each case goes on; a few seconds by default
//   BASCULE_TEST_FAILOVER_RATE     messages per second
//   BASCULE_TEST_FAILOVER_BARS     set: the times are checked, for a machine with nothing else to do
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/cluster_network.h"
#include "tests/integration/cluster_world.h"
#include "tests/integration/failover_account.h"
#include "tests/integration/failover_flood.h"
#include "tests/support/unsynced_recovery.h"

namespace bascule::cluster_job {

struct FailoverOptions {
  bool insists = false;          // the publisher: see FailoverFlood
  bool lossy = false;            // brokers run under the layer of support/unsynced_loss.c
  std::vector<int> forgetful{};  // with `lossy`: brokers whose syncs of segments do nothing
  const CutNetwork* network = nullptr;
  std::vector<std::string> args{};  // of every broker
};

// One thread.
class FailoverWorld {
 public:
  using Clock = FailoverFlood::Clock;
  using Milliseconds = std::chrono::milliseconds;

  explicit FailoverWorld(const FailoverOptions& options = {});

  Cluster& cluster() { return cluster_; }
  MainBroker& at(int i) { return cluster_.at(i); }
  FailoverFlood& flood() { return *flood_; }
  // Of a case that began with this world.
  bool TimeIsLeft(int seconds_by_default) const;
  // Position of the partition's leader, as a live broker says.
  int PartitionLeader();
  // Until every broker shows three in-sync replicas.
  void AwaitWhole(Milliseconds limit = std::chrono::seconds(30));
  // The metadata group is led by `broker`, or by another one than it, and has been for a while.
  void PlaceMetadataLeader(int broker, bool there);
  // Until a message is acked that was sent at or after `since`; milliseconds from `blow` to that.
  double AwaitAck(Clock::time_point blow, Clock::time_point since);
  // Acks go on for a while, another one in each `round`: the next blow falls elsewhere.
  void LetFlow(int round);
  // With FailoverOptions::lossy, of a dead broker: its disk loses what was not synced.
  void Lose(int i);
  // What was acked against the whole stream, as the leader has it.
  FailoverAccount Account(const FailoverFlood::Result& result);
  // Sends no more. Every acked message is at its offset, and every offset there once. Returns what
  // was sent; `what` says which case it was.
  FailoverFlood::Result Finish(const std::string& what);

 private:
  void MakeLossy(int i);
  std::string JournalOf(int i) { return at(i).data() + "-journal"; }
  bool Whole(int i);

  const Clock::time_point begun_ = Clock::now();
  const FailoverOptions options_;
  Cluster cluster_;
  std::optional<FailoverFlood> flood_;
  UnsyncedLoss lost_;
};

// p50 and max in milliseconds; checked with BASCULE_TEST_FAILOVER_BARS only, for a busy machine keeps
// none.
void CheckFailoverBars(const std::string& what, double median, double longest, double median_bar,
                       double longest_bar);

}  // namespace bascule::cluster_job
