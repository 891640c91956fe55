// Which faults one seed's world has, and how often. Each seed draws its own mixture, many of them
// absent: a fault that always comes with all others hides what it does alone ("swarm testing",
// Groce and others, ISSTA 2012).
#pragma once

#include <cstdint>

#include "core/env/rng.h"

namespace bascule {

struct RaftFaults {
  // --- the group ---
  int members = 3;
  int learners = 0;
  // --- each message: probabilities; microseconds ---
  double loss = 0;
  double duplication = 0;
  double reorder = 0;  // late by up to `late`
  double malformed = 0;
  uint64_t delay = 1'000;  // up to
  uint64_t late = 500'000;
  // --- each member and second: expected number ---
  double crash = 0;
  double isolation = 0;
  double one_way_cut = 0;
  double stall = 0;  // the process stands still, then its ticks come in a burst
  double tick_burst = 0;
  double full_disk = 0;
  double slow_disk = 0;
  double snapshot = 0;
  double campaign = 0;
  double leader_lost = 0;  // it is told that its leader is lost, whether that is so or not
  // --- of the group, each second ---
  double partition = 0;
  double membership = 0;
  double transfer = 0;
  // --- the rest ---
  uint64_t downtime = 500'000;   // at most, microseconds
  uint64_t outage = 1'000'000;   // of cuts, stalls and disks; at most
  uint64_t write_delay = 2'000;  // up to, microseconds
  bool step_while_writing = true;
  double crash_while_writing = 0;  // of crashes: wait for a write to be under way
  double clock_skew = 0;           // a member's ticks are up to this part longer or shorter
  uint64_t proposals = 40;         // each second
  uint64_t reads = 20;
  uint64_t trailing = 4;
  double snapshot_report = 0.5;  // the sender hears what became of a snapshot

  static RaftFaults Draw(Rng& rng);
};

}  // namespace bascule
