// Where two logs part (R3).
#include "replication/isr/log_epochs.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/support/sim_rng.h"

namespace bascule::isr {
namespace {

LogEpochs Epochs(int64_t start, int64_t end, std::vector<std::pair<int, int>> epochs) {
  LogEpochs log{Offset(start), Offset(end), {}};
  for (const auto& [epoch, from] : epochs)
    log.epochs.push_back({LeaderEpoch(static_cast<uint64_t>(epoch)), Offset(from)});
  return log;
}

// -1: they have no epoch in common.
int64_t Common(const LogEpochs& a, const LogEpochs& b) {
  const std::optional<Offset> end = CommonEnd(a, b);
  CHECK(CommonEnd(b, a) == end);
  return end.value_or(Offset(-1)).value();
}

// A log as the epoch of each of its records: what CommonEnd answers from less.
struct Records {
  int64_t start = 0;
  std::vector<uint64_t> epochs;
  int64_t end() const { return start + static_cast<int64_t>(epochs.size()); }
  uint64_t at(int64_t offset) const { return epochs[static_cast<size_t>(offset - start)]; }
  LogEpochs Shape() const {
    LogEpochs log{Offset(start), Offset(end()), {}};
    for (int64_t at_offset = start; at_offset < end(); ++at_offset) {
      if (log.epochs.empty() || log.epochs.back().epoch != LeaderEpoch(at(at_offset)))
        log.epochs.push_back({LeaderEpoch(at(at_offset)), Offset(at_offset)});
    }
    return log;
  }
};

}  // namespace

TEST_CASE("R3: logs part at the end of the shorter one of their newest common epoch") {
  const LogEpochs leader = Epochs(0, 30, {{1, 0}, {4, 10}, {6, 20}});
  CHECK(Common(leader, leader) == 30);
  CHECK(Common(leader, Epochs(0, 25, {{1, 0}, {4, 10}, {6, 20}})) == 25);
  CHECK(Common(leader, Epochs(0, 35, {{1, 0}, {4, 10}, {6, 20}})) == 30);
  CHECK(Common(leader, Epochs(0, 28, {{1, 0}, {4, 10}, {5, 15}})) == 15);
  CHECK(Common(leader, Epochs(0, 28, {{1, 0}, {4, 10}, {5, 25}})) == 20);
  CHECK(Common(leader, Epochs(0, 28, {{1, 0}, {2, 12}, {3, 14}})) == 10);
  CHECK(Common(leader, Epochs(0, 8, {{1, 0}})) == 8);
  CHECK(Common(leader, Epochs(0, 0, {})) == -1);
}

TEST_CASE("R3: two quick failovers, where one question about the last epoch alone is not enough") {
  // KIP-279: the follower's epoch 3 is unknown to the leader, whose epoch 2 ends further on.
  const LogEpochs leader = Epochs(0, 12, {{1, 0}, {2, 5}, {4, 10}});
  CHECK(Common(leader, Epochs(0, 11, {{1, 0}, {3, 5}})) == 5);
}

TEST_CASE("R3: logs that retention has shortened") {
  CHECK(Common(Epochs(15, 30, {{4, 15}, {6, 20}}), Epochs(0, 28, {{1, 0}, {4, 10}, {5, 22}})) ==
        20);
  CHECK(Common(Epochs(15, 30, {{6, 15}}), Epochs(0, 28, {{1, 0}, {5, 10}})) == -1);
  CHECK(Common(Epochs(40, 50, {{6, 40}}), Epochs(0, 28, {{1, 0}})) == -1);
  CHECK(Common(Epochs(40, 40, {}), Epochs(0, 60, {{1, 0}})) == -1);
}

TEST_CASE("what a peer sends as a log need not be one") {
  CHECK(Epochs(0, 10, {{1, 0}, {2, 5}}).Valid());
  CHECK(Epochs(5, 5, {}).Valid());
  CHECK_FALSE(Epochs(-1, 5, {}).Valid());
  CHECK_FALSE(Epochs(6, 5, {}).Valid());
  CHECK_FALSE(Epochs(5, 5, {{1, 5}}).Valid());
  CHECK_FALSE(Epochs(0, 10, {{2, 0}, {1, 5}}).Valid());
  CHECK_FALSE(Epochs(0, 10, {{1, 0}, {1, 5}}).Valid());
  CHECK_FALSE(Epochs(0, 10, {{1, 5}, {2, 5}}).Valid());
  CHECK_FALSE(Epochs(3, 10, {{1, 2}}).Valid());
  CHECK_FALSE(Epochs(0, 10, {{1, 10}}).Valid());
}

TEST_CASE("R3: whatever leaders wrote to whom, the lists say what comparing all records would") {
  SimRng rng(5);
  for (int round = 0; round < 2000; ++round) {
    // Replicas of one history: each epoch's leader cuts whoever follows it to its own log, writes some
    // records, and not all reach everybody.
    std::vector<Records> logs(3);
    uint64_t epoch = 0;
    for (int reign = 0; reign < 8; ++reign) {
      epoch += 1 + rng.Below(2);
      const size_t leader = rng.Below(3);
      const std::vector<uint64_t> before = logs[leader].epochs;
      for (uint64_t i = 0; i < rng.Below(4); ++i) logs[leader].epochs.push_back(epoch);
      for (size_t follower = 0; follower < 3; ++follower) {
        if (follower == leader || rng.Below(2) == 0) continue;
        const size_t length =
            before.size() + rng.Below(logs[leader].epochs.size() - before.size() + 1);
        logs[follower].epochs.assign(logs[leader].epochs.begin(),
                                     logs[leader].epochs.begin() + static_cast<int64_t>(length));
      }
    }
    for (size_t i = 0; i < 3; ++i) {
      const Records& a = logs[i];
      const Records& b = logs[(i + 1) % 3];
      int64_t common = 0;
      while (common < std::min(a.end(), b.end()) && a.at(common) == b.at(common)) ++common;
      CHECK(Common(a.Shape(), b.Shape()) == (common > 0 ? common : -1));
      // And where the beginning of one is gone, as far as both reach.
      Records late = a;
      const auto dropped = static_cast<int64_t>(rng.Below(a.epochs.size() + 1));
      late.start = dropped;
      late.epochs.erase(late.epochs.begin(), late.epochs.begin() + dropped);
      const int64_t seen = Common(late.Shape(), b.Shape());
      CHECK((common > dropped ? seen == common : seen <= dropped));
    }
  }
}

}  // namespace bascule::isr
