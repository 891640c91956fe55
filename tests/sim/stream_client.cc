#include "tests/sim/stream_client.h"

#include <utility>

#include "core/base/text.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kTimeout{3};

// Only Unavailable says that surely nothing was changed. Another refusal is one attempt's: an
// earlier attempt of the same request may still be on its way to the leader, and be carried out.
bool IsOutcomeUnknown(const absl::Status& status) { return !absl::IsUnavailable(status); }

}  // namespace

std::string StreamClient::Create(StreamAdmin& admin, const std::string& broker, int32_t partitions,
                                 int32_t replication_factor, const StreamOverrides& overrides) {
  const std::string name = Concat("s", ++names_);
  streams_[name] = {};
  StreamSpec spec;
  spec.name = name;
  spec.subject = "in." + name;
  spec.partitions = partitions;
  spec.replication_factor = replication_factor;
  spec.overrides = overrides;
  kernel_.Note(broker, " is asked to create ", name);
  admin.CreateStream(std::move(spec), kTimeout,
                     [this, alive = alive_, name](const absl::Status& status) {
                       if (*alive) OnCreated(name, status);
                     });
  return name;
}

void StreamClient::OnCreated(const std::string& name, const absl::Status& status) {
  kernel_.Note("creating ", name, ": ", status.ok() ? "OK" : FromAbsl(status.message()));
  if (absl::IsAlreadyExists(status)) fail_(Concat(name, " was created twice"));
  Stream& stream = streams_[name];
  stream.created = status.ok()                ? Fate::kThere
                   : IsOutcomeUnknown(status) ? Fate::kUnknown
                                              : Fate::kRefused;
  if (status.ok()) ++acknowledged_;
}

void StreamClient::Delete(StreamAdmin& admin, const std::string& broker) {
  for (auto& [name, stream] : streams_) {
    if (stream.created != Fate::kThere || stream.deleted || kernel_.rng().Below(4) != 0) continue;
    stream.deleted = Fate::kAsked;
    kernel_.Note(broker, " is asked to delete ", name);
    admin.DeleteStream(name, kTimeout,
                       [this, alive = alive_, which = name](const absl::Status& status) {
                         if (*alive) OnDeleted(which, status);
                       });
    return;
  }
}

void StreamClient::OnDeleted(const std::string& name, const absl::Status& status) {
  kernel_.Note("deleting ", name, ": ", status.ok() ? "OK" : FromAbsl(status.message()));
  if (absl::IsNotFound(status)) fail_(Concat(name, " was lost, or deleted twice"));
  Stream& stream = streams_[name];
  stream.deleted = status.ok()                ? Fate::kThere
                   : IsOutcomeUnknown(status) ? Fate::kUnknown
                                              : Fate::kRefused;
  if (status.ok()) ++acknowledged_;
}

std::set<std::string> StreamClient::MustBe() const {
  std::set<std::string> names;
  for (const auto& [name, stream] : streams_) {
    const bool kept = !stream.deleted || stream.deleted == Fate::kRefused;
    if (stream.created == Fate::kThere && kept) names.insert(name);
  }
  return names;
}

std::set<std::string> StreamClient::MustNotBe() const {
  std::set<std::string> names;
  for (const auto& [name, stream] : streams_) {
    if (stream.created == Fate::kRefused || stream.deleted == Fate::kThere) names.insert(name);
  }
  return names;
}

void StreamClient::CheckTable(const metadata::MetaTable& table, const std::set<std::string>& there,
                              const std::set<std::string>& gone, const std::string& where) {
  for (const std::string& name : there) {
    if (table.Find(name) != nullptr) continue;
    // It may have been deleted since.
    const auto& deleted = streams_[name].deleted;
    if (!deleted || deleted == Fate::kRefused) {
      fail_(Concat(where, " does not see ", name, ", which was created"));
    }
  }
  for (const std::string& name : gone) {
    if (table.Find(name) != nullptr) {
      fail_(Concat(where, " sees ", name, ", which was refused or deleted"));
    }
  }
}

void StreamClient::CheckNothingLost(const metadata::MetaTable& table) {
  for (const auto& [name, stream] : table.streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      if (partition.isr.empty() && partition.elr.empty())
        fail_(Concat("a partition of ", name, " counts as lost"));
    }
  }
}

}  // namespace bascule
