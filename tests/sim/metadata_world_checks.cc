// What clients of the simulated cluster ask, and what must be true of the answers.
#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "tests/sim/metadata_broker.h"
#include "tests/sim/metadata_world.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kTimeout{3};

// Only Unavailable says that surely nothing was changed. Another refusal is one attempt's: an
// earlier attempt of the same request may still be on its way to the leader, and be carried out.
bool IsOutcomeUnknown(const absl::Status& status) { return !absl::IsUnavailable(status); }

}  // namespace

void MetadataWorld::Create(uint64_t machine) {
  MetadataBroker* const broker = At(machine);
  if (broker == nullptr) return;
  const std::string name = Concat("s", ++names_);
  streams_[name] = {};
  StreamSpec spec;
  spec.name = name;
  spec.subject = "in." + name;
  kernel_.Note(broker->name(), " is asked to create ", name);
  broker->frontend().CreateStream(std::move(spec), kTimeout,
                                  [this, alive = alive_, name](const absl::Status& status) {
                                    if (*alive) OnCreated(name, status);
                                  });
}

void MetadataWorld::OnCreated(const std::string& name, const absl::Status& status) {
  kernel_.Note("creating ", name, ": ", status.ok() ? "OK" : FromAbsl(status.message()));
  if (absl::IsAlreadyExists(status)) Fail(Concat(name, " was created twice"));
  Stream& stream = streams_[name];
  stream.created = status.ok()                ? Fate::kThere
                   : IsOutcomeUnknown(status) ? Fate::kUnknown
                                              : Fate::kRefused;
  if (status.ok()) ++acknowledged_;
}

// Of a stream that is there and that nobody was asked to delete before.
void MetadataWorld::Delete(uint64_t machine) {
  MetadataBroker* const broker = At(machine);
  if (broker == nullptr) return;
  for (auto& [name, stream] : streams_) {
    if (stream.created != Fate::kThere || stream.deleted || kernel_.rng().Below(4) != 0) continue;
    stream.deleted = Fate::kAsked;
    kernel_.Note(broker->name(), " is asked to delete ", name);
    broker->frontend().DeleteStream(
        name, kTimeout, [this, alive = alive_, which = name](const absl::Status& status) {
          if (*alive) OnDeleted(which, status);
        });
    return;
  }
}

void MetadataWorld::OnDeleted(const std::string& name, const absl::Status& status) {
  kernel_.Note("deleting ", name, ": ", status.ok() ? "OK" : FromAbsl(status.message()));
  if (absl::IsNotFound(status)) Fail(Concat(name, " was lost, or deleted twice"));
  Stream& stream = streams_[name];
  stream.deleted = status.ok()                ? Fate::kThere
                   : IsOutcomeUnknown(status) ? Fate::kUnknown
                                              : Fate::kRefused;
  if (status.ok()) ++acknowledged_;
}

std::set<std::string> MetadataWorld::MustBe() const {
  std::set<std::string> names;
  for (const auto& [name, stream] : streams_) {
    const bool kept = !stream.deleted || stream.deleted == Fate::kRefused;
    if (stream.created == Fate::kThere && kept) names.insert(name);
  }
  return names;
}

std::set<std::string> MetadataWorld::MustNotBe() const {
  std::set<std::string> names;
  for (const auto& [name, stream] : streams_) {
    if (stream.created == Fate::kRefused || stream.deleted == Fate::kThere) names.insert(name);
  }
  return names;
}

void MetadataWorld::Read(uint64_t machine) {
  MetadataBroker* const broker = At(machine);
  if (broker == nullptr) return;
  std::set<std::string> there = MustBe();
  std::set<std::string> gone = MustNotBe();
  const uint64_t life = broker->incarnation();
  broker->group().ReadBarrier([this, alive = alive_, machine, life, there = std::move(there),
                               gone = std::move(gone)](const absl::Status& status) {
    if (!*alive || !status.ok()) return;
    MetadataBroker* const now = At(machine);
    if (now == nullptr || now->incarnation() != life) return;
    ++reads_;
    CheckTable(now->frontend().table(), there, gone, Concat("a read at ", now->name()));
  });
}

void MetadataWorld::CheckTable(const MetaTable& table, const std::set<std::string>& there,
                               const std::set<std::string>& gone, const std::string& where) {
  for (const std::string& name : there) {
    if (table.Find(name) != nullptr) continue;
    // It may have been deleted since.
    const auto& deleted = streams_[name].deleted;
    if (!deleted || deleted == Fate::kRefused) {
      Fail(Concat(where, " does not see ", name, ", which was created"));
    }
  }
  for (const std::string& name : gone) {
    if (table.Find(name) != nullptr) {
      Fail(Concat(where, " sees ", name, ", which was refused or deleted"));
    }
  }
}

// No disk is emptied or put back here: whatever crashes, no broker may say that it lost anything.
void MetadataWorld::CheckNothingLost(const MetaTable& table) {
  for (const auto& [name, stream] : table.streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      if (partition.isr.empty() && partition.elr.empty())
        Fail(Concat("a partition of ", name, " counts as lost"));
    }
  }
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
  CheckTable(At(1)->frontend().table(), MustBe(), MustNotBe(), "at the end the table");
  CheckNothingLost(At(1)->frontend().table());
}

}  // namespace bascule
