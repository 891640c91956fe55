#include "tests/sim/raft_faults.h"

#include <cmath>

#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

double Unit(Rng& rng) { return static_cast<double>(rng.Next() >> 11) * 0x1.0p-53; }

// Absent in half of all seeds, else spread evenly over the orders of magnitude.
double Rate(Rng& rng, double least, double most) {
  const double at = Unit(rng);
  if (rng.Below(2) == 0) return 0;
  return least * std::exp(at * std::log(most / least));
}

uint64_t Time(Rng& rng, double least, double most) {
  return static_cast<uint64_t>(least * std::exp(Unit(rng) * std::log(most / least)));
}

}  // namespace

RaftFaults RaftFaults::Draw(Rng& rng) {
  constexpr int kSizes[] = {1, 2, 3, 3, 3, 3, 3, 4, 5, 5};
  RaftFaults faults;
  faults.members = kSizes[rng.Below(10)];
  faults.learners = rng.Below(4) == 0 ? 1 : 0;
  faults.loss = Rate(rng, 0.002, 0.4);
  faults.duplication = Rate(rng, 0.002, 0.3);
  faults.reorder = Rate(rng, 0.005, 0.4);
  faults.malformed = Rate(rng, 0.002, 0.05);
  faults.delay = Time(rng, 200, 60'000);
  faults.late = Time(rng, 20'000, 3'000'000);
  faults.crash = Rate(rng, 0.02, 0.6);
  faults.isolation = Rate(rng, 0.02, 0.4);
  faults.one_way_cut = Rate(rng, 0.02, 0.6);
  faults.stall = Rate(rng, 0.02, 0.3);
  faults.tick_burst = Rate(rng, 0.02, 0.6);
  faults.full_disk = Rate(rng, 0.02, 0.2);
  faults.slow_disk = Rate(rng, 0.02, 0.3);
  faults.snapshot = Rate(rng, 0.05, 3);
  faults.campaign = Rate(rng, 0.02, 0.5);
  faults.partition = Rate(rng, 0.05, 0.6);
  faults.membership = Rate(rng, 0.1, 4);
  faults.transfer = Rate(rng, 0.1, 2);
  faults.downtime = Time(rng, 20'000, 3'000'000);
  faults.outage = Time(rng, 50'000, 3'000'000);
  faults.write_delay = Time(rng, 50, 30'000);
  faults.step_while_writing = rng.Below(2) == 0;
  faults.crash_while_writing = rng.Below(2) == 0 ? 0.8 : 0;
  faults.clock_skew = rng.Below(2) == 0 ? 0.4 * Unit(rng) : 0;
  faults.proposals = Time(rng, 4, 80);
  faults.reads = Time(rng, 1, 60);
  faults.trailing = rng.Below(6);
  faults.snapshot_report = rng.Below(2) == 0 ? 0 : 0.5;
  faults.leader_lost = Rate(rng, 0.05, 5);
  return faults;
}

}  // namespace bascule
