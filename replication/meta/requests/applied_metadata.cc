#include "replication/meta/requests/applied_metadata.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"

namespace bascule::metadata {
namespace {

StreamId StreamOf(const MetaDelta& delta) {
  if (const auto* created = std::get_if<StreamCreated>(&delta)) return created->stream.id;
  if (const auto* updated = std::get_if<StreamUpdated>(&delta)) return updated->stream.id;
  if (const auto* deleted = std::get_if<StreamDeleted>(&delta)) return deleted->id;
  return std::get<PartitionChanged>(delta).id;
}

}  // namespace

AppliedMetadata::AppliedMetadata(Executor& home, const BrokerSelf& self)
    : home_(home), view_(table_, self) {
  view_.Renew();
}

absl::Status AppliedMetadata::Apply(MetadataIndex index, std::string_view command) {
  BASCULE_CHECK(home_.OnThisThread());
  MetaTable::Applied applied = table_.Apply(index, command);
  AfterChange(applied.deltas);
  return applied.result;
}

void AppliedMetadata::ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) {
  table_.ApplyMembers(index, members);
  AfterChange({});
}

absl::Status AppliedMetadata::Restore(MetadataIndex index, std::string_view snapshot) {
  MetaTable restored;
  RETURN_IF_ERROR(restored.Restore(index, snapshot));
  std::vector<MetaDelta> deltas;
  if (sink_ != nullptr) deltas = Differences(table_, restored);
  table_ = std::move(restored);
  AfterChange(deltas);
  return absl::OkStatus();
}

void AppliedMetadata::AfterChange(const std::vector<MetaDelta>& deltas) {
  if (sink_ != nullptr) {
    for (const MetaDelta& delta : deltas) Deliver(delta);
    DeliverBrokers();
  }
  view_.Renew();
  for (auto& changed : observers_) changed();
  std::vector<AppliedWatch::Wake> due = applied_.Take(table_.applied());
  if (due.empty()) return;
  // Not from inside the log's Apply: who wakes may propose.
  home_.Post(lifetime_.Guard([due = std::move(due)]() mutable {
    for (AppliedWatch::Wake& wake : due) wake();
  }));
}

void AppliedMetadata::WhenApplied(MetadataIndex index, AppliedWatch::Wake wake) {
  if (index <= table_.applied()) return wake();
  applied_.Add(index, std::move(wake));
}

// Nothing was handed over before, so the whole table is new to the partitions (R2b).
void AppliedMetadata::HandOver(DeltaSink& sink) {
  BASCULE_CHECK(home_.OnThisThread());
  sink_ = &sink;
  std::set<StreamId> known;
  for (const auto& [name, stream] : table_.streams()) known.insert(stream.id);
  sink.OnTakeOver(known, table_.applied(), table_.doubtful());
  for (const auto& [name, stream] : table_.streams()) Deliver(StreamCreated{stream});
  brokers_.clear();
  DeliverBrokers();
}

void AppliedMetadata::DeliverBrokers() {
  BrokerLives brokers;
  for (const auto& [id, broker] : table_.brokers())
    brokers.emplace_hint(brokers.end(), id,
                         BrokerLife{broker.incarnation, !broker.fenced, broker.node});
  if (brokers == brokers_) return;
  for (const auto& [id, life] : brokers) {
    const auto before = brokers_.find(id);
    if (before != brokers_.end() && before->second.live && !life.live)
      LogInfo("broker ", id, " is fenced");
  }
  brokers_ = std::move(brokers);
  sink_->OnBrokers(brokers_);
}

void AppliedMetadata::Deliver(const MetaDelta& delta) {
  const bool last = std::holds_alternative<StreamDeleted>(delta);
  sink_->OnDelta(
      delta, [end = settlement_.Begin(StreamOf(delta), last)](const absl::Status& status) mutable {
        if (!status.ok()) LogWarning("metadata change: ", FromAbsl(status.message()));
        end(status);
      });
}

}  // namespace bascule::metadata
