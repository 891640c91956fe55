// What the metadata log is applied to on this broker: the table, and whoever has to hear of its changes.
//
//   MetadataLog ─► Apply, ApplyMembers, Restore ─► MetaTable
//                    deltas ─► the sink, once it was handed over (R2b); Settlement: is its part done?
//                    BrokerView, then the observers, in the order in which they came
//                    whoever waits for the index, from a task of its own
//
// On the metadata thread, but for view().Read().
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "replication/meta/requests/applied_watch.h"
#include "replication/meta/requests/broker_view.h"
#include "replication/meta/requests/settlement.h"
#include "replication/meta/table/meta_table.h"
#include "replication/metadata_log.h"
#include "replication/ports.h"

namespace bascule::metadata {

class AppliedMetadata final : public MetadataState {
 public:
  AppliedMetadata(Executor& home, const BrokerSelf& self);

  const MetaTable& table() const { return table_; }
  BrokerView& view() { return view_; }
  const BrokerView& view() const { return view_; }
  Settlement& settlement() { return settlement_; }
  // Called after each change, from inside the log's call; it outlives the observer.
  void AddObserver(absl::AnyInvocable<void()> changed) { observers_.push_back(std::move(changed)); }
  // Once `index` is applied here; if it is, at once.
  void WhenApplied(MetadataIndex index, AppliedWatch::Wake wake);
  // Gives every stream to `sink`, which has heard nothing yet, and from now on what changes.
  void HandOver(DeltaSink& sink);
  bool handed_over() const { return sink_ != nullptr; }

  // --- MetadataState ---
  absl::Status Apply(MetadataIndex index, std::string_view command) override;
  void ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) override;
  std::string Snapshot() const override { return table_.Snapshot(); }
  bool Grows(std::string_view command) const override { return MetaTable::Grows(command); }
  absl::Status Restore(MetadataIndex index, std::string_view snapshot) override;

 private:
  void AfterChange(const std::vector<MetaDelta>& deltas);
  void Deliver(const MetaDelta& delta);
  void DeliverBrokers();

  Executor& home_;
  MetaTable table_;
  BrokerView view_;
  AppliedWatch applied_;
  Settlement settlement_;
  BrokerLives brokers_;  // as the sink was told
  DeltaSink* sink_ = nullptr;
  std::vector<absl::AnyInvocable<void()>> observers_;
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
