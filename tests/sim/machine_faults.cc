#include "tests/sim/machine_faults.h"

namespace bascule {
namespace {

constexpr uint64_t kPlentyOfBytes = uint64_t{1} << 40;

}  // namespace

MachineFaults::MachineFaults(SimKernel& kernel, const FaultRates& most) : kernel_(kernel) {
  Rng& rng = kernel_.rng();
  const auto rate = [&rng](double upto) {
    return rng.Below(2) == 0 ? 0 : upto * static_cast<double>(1 + rng.Below(100)) / 100;
  };
  rates_ = {.crash = rate(most.crash),
            .kill = rate(most.kill),
            .power = rate(most.power),
            .sync_error = rate(most.sync_error),
            .full_disk = rate(most.full_disk),
            .stand_still = rate(most.stand_still),
            .isolation = rate(most.isolation),
            .cut = rate(most.cut),
            .partition = rate(most.partition)};
  SimNetworkFaults& faults = kernel_.network().faults;
  faults.loss = rate(0.1);
  faults.duplication = rate(0.1);
  faults.reorder = rate(0.2);
  faults.delay = std::chrono::milliseconds(1 + rng.Below(30));
  faults.late = std::chrono::milliseconds(20 + rng.Below(800));
}

MonotonicTime MachineFaults::In(uint64_t least_ms, uint64_t most_ms) {
  const auto ms = static_cast<int64_t>(Between(kernel_.rng(), least_ms, most_ms));
  return Add(kernel_.clock().Monotonic(), std::chrono::milliseconds(ms));
}

bool MachineFaults::Happens(double each_second) {
  constexpr double kStepSeconds = std::chrono::duration<double>(kStep).count();
  return Chance(kernel_.rng(), each_second * kStepSeconds);
}

void MachineFaults::Step(const std::function<bool(uint64_t)>& dead) {
  for (uint64_t machine = 1; machine <= kernel_.size(); ++machine)
    Harm(machine, kernel_.up(machine) && dead(machine));
  HarmNetwork();
}

void MachineFaults::Harm(uint64_t number, bool dead) {
  SimMachine& machine = kernel_.machine(number);
  const MonotonicTime now = kernel_.clock().Monotonic();
  if (full_until_.contains(number) && full_until_[number] <= now) {
    machine.disk.SetCapacity(kPlentyOfBytes);
    full_until_.erase(number);
  }
  if (!kernel_.up(number)) {
    if (down_until_[number] <= now) kernel_.Start(number);
    return;
  }
  const bool crash = Happens(rates_.crash) || machine.disk.faults().power_is_off();
  if (crash || dead || Happens(rates_.kill)) {
    return Down(number, crash ? End::kCrash : End::kKill);
  }
  if (Happens(rates_.power)) machine.disk.faults().PowerOffAfter(1 + kernel_.rng().Below(12));
  if (Happens(rates_.sync_error)) {
    machine.disk.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  }
  if (Happens(rates_.full_disk)) {
    kernel_.Note(machine.name, ": the disk is full");
    machine.disk.SetCapacity(0);
    full_until_[number] = In(100, 3000);
  }
  if (Happens(rates_.stand_still)) {
    const std::chrono::milliseconds still(Between(kernel_.rng(), 50, 4000));
    kernel_.Note(machine.name, ": stands still for ", still.count(), " ms");
    for (SimExecutor* thread : machine.threads) thread->StandStill(still);
  }
}

void MachineFaults::Down(uint64_t number, End how) {
  on_down(number, how);
  how == End::kCrash ? kernel_.Crash(number) : kernel_.Kill(number);
  kernel_.machine(number).disk.faults().Clear();
  down_until_[number] = In(1, 2000);
}

void MachineFaults::HarmNetwork() {
  SimNetwork& network = kernel_.network();
  if (cut_until_ <= kernel_.clock().Monotonic()) network.Heal();
  const PeerId one = node_of(Between(kernel_.rng(), 1, kernel_.size()));
  const PeerId other = node_of(Between(kernel_.rng(), 1, kernel_.size()));
  const bool isolate = Happens(rates_.isolation);
  const bool cut = Happens(rates_.cut);
  const bool partition = Happens(rates_.partition);
  if (isolate) network.Isolate(one);
  if (cut) network.Cut(one, other);
  if (partition) network.Partition({one, other});
  if (isolate || cut || partition) {
    kernel_.Note("the network is cut around ", one, " and ", other);
    cut_until_ = In(50, 3000);
  }
}

void MachineFaults::Heal(const std::function<bool(uint64_t machine)>& stays) {
  kernel_.Note("all is well again");
  rates_ = {};
  kernel_.network().Heal();
  kernel_.network().faults = {};
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    SimMachine& machine = kernel_.machine(i);
    machine.disk.SetCapacity(kPlentyOfBytes);
    machine.disk.faults().Clear();
    machine.disk.faults().rates = {};
    if (kernel_.up(i) && !machine.disk.faults().power_is_planned() && stays(i)) continue;
    // A power loss that is planned and has not come yet goes with a crash, too.
    on_down(i, End::kCrash);
    kernel_.Crash(i);
    kernel_.Start(i);
  }
}

}  // namespace bascule
