#include "tests/sim/metadata_world.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "tests/sim/metadata_broker.h"

namespace bascule {
namespace {

constexpr std::chrono::milliseconds kStep{20};
constexpr int kFaultySteps = 750;   // 15 s
constexpr int kHealedSteps = 1000;  // 20 s, at most
constexpr uint64_t kPlenty = uint64_t{1} << 40;

MonotonicTime In(SimKernel& kernel, uint64_t least_ms, uint64_t most_ms) {
  const auto ms = static_cast<int64_t>(Between(kernel.rng(), least_ms, most_ms));
  return Add(kernel.clock().Monotonic(), std::chrono::milliseconds(ms));
}

}  // namespace

MetadataWorld::MetadataWorld(uint64_t seed) : kernel_(seed) {
  Rng& rng = kernel_.rng();
  constexpr int kSizes[] = {1, 2, 3, 3, 3, 3, 4, 5};
  brokers_ = kSizes[rng.Below(8)];
  const auto rate = [&rng](double most) {
    return rng.Below(2) == 0 ? 0 : most * static_cast<double>(1 + rng.Below(100)) / 100;
  };
  rates_ = {.crash = rate(0.15),
            .kill = rate(0.15),
            .power = rate(0.15),
            .sync_error = rate(0.05),
            .full_disk = rate(0.1),
            .isolation = rate(0.15),
            .cut = rate(0.3),
            .partition = rate(0.2),
            .transfer = rate(0.1)};
  SimNetworkFaults& faults = kernel_.network().faults;
  faults.loss = rate(0.1);
  faults.duplication = rate(0.1);
  faults.reorder = rate(0.2);
  faults.delay = std::chrono::milliseconds(1 + rng.Below(30));
  faults.late = std::chrono::milliseconds(20 + rng.Below(800));
  group_options_.snapshot_entries = rng.Below(2) == 0 ? 10 + rng.Below(50) : 8192;
  group_options_.trailing_entries = rng.Below(10);
  for (int i = 1; i <= brokers_; ++i) {
    kernel_.AddMachine(Concat("b", i), [this](SimMachine& machine) { return MakeBroker(machine); });
  }
  for (uint64_t i = 1; i <= kernel_.size(); ++i) kernel_.Start(i);
}

MetadataWorld::~MetadataWorld() { *alive_ = false; }

std::unique_ptr<SimKernel::Process> MetadataWorld::MakeBroker(SimMachine& machine) {
  auto broker = std::make_unique<MetadataBroker>(kernel_, machine, brokers_, group_options_);
  if (const absl::Status opened = broker->Open(); !opened.ok()) {
    // A full disk, or the next planned fault, may stop a start; damage may not be found.
    kernel_.Note(machine.name, " does not start: ", FromAbsl(opened.message()));
    if (absl::IsDataLoss(opened)) {
      Fail(Concat(machine.name, " finds its metadata damaged: ", FromAbsl(opened.message())));
    }
  }
  return broker;
}

MetadataBroker* MetadataWorld::At(uint64_t machine) {
  auto* const broker = static_cast<MetadataBroker*>(kernel_.process(machine));
  return broker == nullptr || broker->dead() ? nullptr : broker;
}

void MetadataWorld::Fail(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

bool MetadataWorld::Run() {
  for (int i = 0; i < kFaultySteps && violation_.empty(); ++i) {
    for (uint64_t machine = 1; machine <= kernel_.size(); ++machine) Harm(machine);
    HarmNetwork();
    Step();
  }
  Heal();
  for (int i = 0; i < kHealedSteps && violation_.empty(); ++i) {
    Step();
    if (i > kHealedSteps / 10 && i % 20 == 0 && Converged()) break;
  }
  if (violation_.empty()) CheckConverged();
  return violation_.empty();
}

void MetadataWorld::Step() {
  const uint64_t machine = Between(kernel_.rng(), 1, kernel_.size());
  switch (kernel_.rng().Below(6)) {
    case 0:
    case 1:
      Create(machine);
      break;
    case 2:
      Delete(machine);
      break;
    case 3:
      Read(machine);
      break;
    default:
      break;
  }
  kernel_.scheduler().RunFor(kStep);
}

void MetadataWorld::Harm(uint64_t number) {
  SimMachine& machine = kernel_.machine(number);
  const MonotonicTime now = kernel_.clock().Monotonic();
  if (full_until_.contains(number) && full_until_[number] <= now) {
    machine.disk.SetCapacity(kPlenty);
    full_until_.erase(number);
  }
  if (!kernel_.up(number)) {
    if (down_until_[number] <= now) kernel_.Start(number);
    return;
  }
  const bool dead = At(number) == nullptr;
  const auto* const process = static_cast<MetadataBroker*>(kernel_.process(number));
  if (dead && absl::IsDataLoss(*process->dead()))
    Fail(Concat(machine.name, " takes itself for an older copy"));
  const bool crash = Happens(rates_.crash) || machine.disk.faults().power_is_off();
  if (crash || dead || Happens(rates_.kill)) {
    crash ? kernel_.Crash(number) : kernel_.Kill(number);
    machine.disk.faults().Clear();
    down_until_[number] = In(kernel_, 1, 2000);
    return;
  }
  if (Happens(rates_.power)) machine.disk.faults().PowerOffAfter(1 + kernel_.rng().Below(12));
  if (Happens(rates_.sync_error)) {
    machine.disk.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  }
  if (Happens(rates_.full_disk)) {
    kernel_.Note(machine.name, ": the disk is full");
    machine.disk.SetCapacity(0);
    full_until_[number] = In(kernel_, 100, 3000);
  }
  if (Happens(rates_.transfer))
    At(number)->group().TransferLeadership(PeerId(), [](absl::Status) {});
}

void MetadataWorld::HarmNetwork() {
  SimNetwork& network = kernel_.network();
  if (cut_until_ <= kernel_.clock().Monotonic()) network.Heal();
  const PeerId one(Between(kernel_.rng(), 1, kernel_.size()));
  const PeerId other(Between(kernel_.rng(), 1, kernel_.size()));
  const bool isolate = Happens(rates_.isolation);
  const bool cut = Happens(rates_.cut);
  const bool partition = Happens(rates_.partition);
  if (isolate) network.Isolate(one);
  if (cut) network.Cut(one, other);
  if (partition) network.Partition({one, other});
  if (isolate || cut || partition) {
    kernel_.Note("the network is cut around ", one, " and ", other);
    cut_until_ = In(kernel_, 50, 3000);
  }
}

void MetadataWorld::Heal() {
  kernel_.Note("all is well again");
  rates_ = {};
  kernel_.network().Heal();
  kernel_.network().faults = {};
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    SimMachine& machine = kernel_.machine(i);
    machine.disk.SetCapacity(kPlenty);
    machine.disk.faults().Clear();
    // A power loss that is planned and has not come yet goes with a crash, too.
    kernel_.Crash(i);
    kernel_.Start(i);
  }
}

}  // namespace bascule
