#include "tests/sim/metadata_world.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "tests/sim/metadata_broker.h"

namespace bascule {
namespace {

constexpr int kFaultySteps = 750;   // 15 s
constexpr int kHealedSteps = 1000;  // 20 s, at most
// Each second at most.
constexpr FaultRates kMost{.crash = 0.15,
                           .kill = 0.15,
                           .power = 0.15,
                           .sync_error = 0.05,
                           .full_disk = 0.1,
                           .stand_still = 0.1,
                           .isolation = 0.15,
                           .cut = 0.3,
                           .partition = 0.2};

}  // namespace

MetadataWorld::MetadataWorld(uint64_t seed)
    : kernel_(seed),
      client_(kernel_, [this](const std::string& what) { Fail(what); }),
      faults_(kernel_, kMost) {
  Rng& rng = kernel_.rng();
  constexpr int kSizes[] = {1, 2, 3, 3, 3, 3, 4, 5};
  brokers_ = kSizes[rng.Below(8)];
  transfers_ = rng.Below(2) == 0 ? 0 : 0.1;
  options_.config.cluster.snapshot_entries =
      static_cast<int64_t>(rng.Below(2) == 0 ? 10 + rng.Below(50) : 8192);
  options_.trailing_entries = rng.Below(10);
  for (int i = 1; i <= brokers_; ++i) {
    kernel_.AddMachine(Concat("b", i), [this](SimMachine& machine) { return MakeBroker(machine); });
  }
  for (uint64_t i = 1; i <= kernel_.size(); ++i) kernel_.Start(i);
}

MetadataWorld::~MetadataWorld() {
  *alive_ = false;
  kernel_.EndAll();
}

std::unique_ptr<SimKernel::Process> MetadataWorld::MakeBroker(SimMachine& machine) {
  auto broker = std::make_unique<MetadataBroker>(kernel_, machine, discovery_, brokers_, options_);
  if (const absl::Status opened = broker->Open(); !opened.ok()) {
    // A full disk, or the next planned fault, may stop a start; damage may not be found.
    if (absl::IsDataLoss(opened)) {
      Fail(Concat(machine.name, " finds its metadata damaged: ", FromAbsl(opened.message())));
    }
  }
  return broker;
}

MetadataBroker* MetadataWorld::At(uint64_t machine) {
  auto* const broker = static_cast<MetadataBroker*>(kernel_.process(machine));
  return broker == nullptr || broker->dead() || !broker->ready() ? nullptr : broker;
}

void MetadataWorld::Fail(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

bool MetadataWorld::Run() {
  for (int i = 0; i < kFaultySteps && violation_.empty(); ++i) {
    faults_.Step([this](uint64_t machine) { return IsDead(machine); });
    for (uint64_t machine = 1; machine <= kernel_.size(); ++machine) {
      MetadataBroker* const broker = At(machine);
      if (broker != nullptr && faults_.Happens(transfers_))
        broker->group().TransferLeadership(PeerId(), [](absl::Status) {});
    }
    Step();
  }
  faults_.Heal();
  for (int i = 0; i < kHealedSteps && violation_.empty(); ++i) {
    Step();
    if (i > kHealedSteps / 10 && i % 20 == 0 && Converged()) break;
  }
  if (violation_.empty()) CheckConverged();
  return violation_.empty();
}

bool MetadataWorld::IsDead(uint64_t machine) {
  const auto* const broker = static_cast<MetadataBroker*>(kernel_.process(machine));
  if (!broker->dead()) return false;
  if (absl::IsDataLoss(*broker->dead()))
    Fail(Concat(broker->name(), " takes itself for an older copy"));
  return true;
}

void MetadataWorld::Step() {
  const uint64_t machine = Between(kernel_.rng(), 1, kernel_.size());
  const uint64_t choice = kernel_.rng().Below(6);
  if (MetadataBroker* const broker = At(machine)) {
    // Also what is left open, all brokers, and more than there are.
    const auto factor = static_cast<int32_t>(kernel_.rng().Below(6)) - 1;
    if (choice < 2) client_.Create(broker->frontend(), broker->name(), 1, factor);
    if (choice == 2) client_.Delete(broker->frontend(), broker->name());
    if (choice == 3) Read(machine);
    if (choice == 4) Propose(machine);
  }
  kernel_.scheduler().RunFor(MachineFaults::kStep);
}

// Any ISR with the leader, of a few partitions that the broker leads, as it knows them.
void MetadataWorld::Propose(uint64_t machine) {
  MetadataBroker& broker = *At(machine);
  const metadata::MetaTable& table = broker.frontend().table();
  for (const auto& [name, stream] : table.streams()) {
    const PartitionDescription& partition = stream.partitions[0];
    if (partition.leader != broker.name() || kernel_.rng().Below(4) != 0) continue;
    isr::IsrProposal proposal{partition.leader_epoch, partition.version, {}, {}};
    for (const std::string& replica : partition.replicas) {
      const metadata::RegisteredBroker* known = table.FindBroker(replica);
      if (known == nullptr || (replica != broker.name() && kernel_.rng().Below(3) == 0)) continue;
      proposal.isr.push_back({replica, known->incarnation});
    }
    const std::pair<uint64_t, uint64_t> life(machine, broker.incarnation());
    ++proposals_[life];
    broker.frontend().RequestIsrChange({stream.id, partition.id}, std::move(proposal),
                                       [this, alive = alive_, life] {
                                         if (!*alive) return;
                                         --proposals_[life];
                                         ++proposed_;
                                       });
  }
}

// A leader proposes nothing else before it hears.
bool MetadataWorld::AllProposalsEnded() {
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    MetadataBroker* const broker = At(i);
    if (broker != nullptr && proposals_[{i, broker->incarnation()}] != 0) return false;
  }
  return true;
}

void MetadataWorld::Read(uint64_t machine) {
  MetadataBroker* const broker = At(machine);
  if (broker == nullptr) return;
  std::set<std::string> there = client_.MustBe();
  std::set<std::string> gone = client_.MustNotBe();
  const uint64_t life = broker->incarnation();
  broker->group().ReadBarrier([this, alive = alive_, machine, life, there = std::move(there),
                               gone = std::move(gone)](const absl::Status& status) {
    if (!*alive || !status.ok()) return;
    MetadataBroker* const now = At(machine);
    if (now == nullptr || now->incarnation() != life) return;
    ++reads_;
    client_.CheckTable(now->frontend().table(), there, gone, Concat("a read at ", now->name()));
  });
}

bool MetadataWorld::Converged() {
  MetadataBroker* const first = At(1);
  if (first == nullptr) return false;
  const MetadataRole role = first->group().role();
  const std::string table = first->frontend().table().Snapshot();
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    MetadataBroker* const broker = At(i);
    if (broker == nullptr || broker->group().role().leader != role.leader) return false;
    if (broker->frontend().table().Snapshot() != table) return false;
  }
  const auto& brokers = first->frontend().table().brokers();
  return role.leader != PeerId() && brokers.size() == kernel_.size() &&
         std::none_of(brokers.begin(), brokers.end(),
                      [](const auto& broker) { return broker.second.fenced; });
}

void MetadataWorld::CheckConverged() {
  for (int i = 0; i < 500 && !Converged(); ++i) {
    kernel_.scheduler().RunFor(std::chrono::milliseconds(20));
  }
  if (!Converged()) {
    std::string text = "the brokers do not come to the same:";
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {
      MetadataBroker* const broker = At(i);
      text += Concat("\n  b", i, broker == nullptr ? std::string(" is dead") : broker->Describe());
    }
    return Fail(text);
  }
  client_.CheckTable(At(1)->frontend().table(), client_.MustBe(), client_.MustNotBe(),
                     "at the end the table");
  // One may be under way, and another behind it, each for five seconds.
  for (int i = 0; i < 600 && !AllProposalsEnded(); ++i)
    kernel_.scheduler().RunFor(std::chrono::milliseconds(20));
  if (!AllProposalsEnded()) Fail("a proposal of a process that lives has not ended");
  client_.CheckNothingLost(At(1)->frontend().table());
}

}  // namespace bascule
