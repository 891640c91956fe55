// What happens to simulated machines and their network, at random: they are killed, lose their power
// (in the middle of a write too), their disks fail or are full, cables are cut. Each seed draws which
// of it, and how often.
//
//   MachineFaults faults(kernel, {.crash = 0.15, .cut = 0.3});
//   each step: faults.Step([&](uint64_t machine) { return whether what runs there cannot go on; });
//   faults.Heal();
#pragma once

#include <functional>
#include <map>

#include "tests/sim/kernel.h"

namespace bascule {

// Each second, of one machine or of the network.
struct FaultRates {
  double crash = 0;
  double kill = 0;
  double power = 0;  // off, in the middle of a write
  double sync_error = 0;
  double full_disk = 0;
  double stand_still = 0;  // its threads, for a while: then everything comes at once
  double isolation = 0;
  double cut = 0;
  double partition = 0;
};

class MachineFaults {
 public:
  static constexpr std::chrono::milliseconds kStep{20};

  // Draws rates up to `most`, and the network's own.
  MachineFaults(SimKernel& kernel, const FaultRates& most);

  // Before each kStep of time. What is dead is ended; what is down starts again after a while.
  void Step(const std::function<bool(uint64_t machine)>& dead);
  // All is well from now on; every machine starts once more, but for those that `stays` names and that can.
  void Heal(const std::function<bool(uint64_t machine)>& stays = [](uint64_t) { return false; });
  bool Happens(double each_second);
  // Ends what runs on a machine that is up: with the whole machine, or alone. It starts again after a while.
  enum class End { kCrash, kKill };
  void Down(uint64_t machine, End how);

  // Told before each Down.
  std::function<void(uint64_t machine, End how)> on_down = [](uint64_t, End) {};
  // Who a machine is on the network; its number unless said otherwise.
  std::function<PeerId(uint64_t machine)> node_of = [](uint64_t machine) {
    return PeerId(machine);
  };

 private:
  void Harm(uint64_t machine, bool dead);
  void HarmNetwork();
  MonotonicTime In(uint64_t least_ms, uint64_t most_ms);

  SimKernel& kernel_;
  FaultRates rates_;
  std::map<uint64_t, MonotonicTime> down_until_;
  std::map<uint64_t, MonotonicTime> full_until_;
  MonotonicTime cut_until_;
};

}  // namespace bascule
