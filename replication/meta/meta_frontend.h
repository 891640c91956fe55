// Requests that change metadata: validated, proposed, answered when they are applied here and this
// broker has done its part. Public calls from any thread; everything else on the metadata thread.
//
//   gRPC thread            metadata thread                               partition layer
//   CreateStream ────────► NormalizeAndValidate, MetadataLog::Propose
//                          MetaTable::Apply -> deltas ─────────────────► DeltaSink::OnDelta (open,
//                          lead, listen)
//              ◄────────── done ◄─────────────────────────────────────── settled (or the deadline:
//              applied is enough)
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/ports/stream_admin.h"
#include "replication/meta/meta_table.h"
#include "replication/meta/metadata_log.h"
#include "replication/ports.h"

namespace bascule {

class MetaFrontend final : public StreamAdmin, public EpochRequests, public MetadataState {
 public:
  MetaFrontend(Executor& home, Clock& clock, std::string broker);

  // --- start-up, in this order ---
  // `log` was opened with this object as its state.
  void SetLog(MetadataLog& log) { log_ = &log; }
  // Takes the broker's partitions over under new epochs (R2a, R2b), then hands every stream to
  // `sink`; `done` when all are settled.
  void Register(DeltaSink& sink, uint64_t incarnation, absl::AnyInvocable<void(absl::Status)> done);
  // The address that clients are told.
  void Advertise(std::string host, int32_t port);
  const MetaTable& table() const { return table_; }

  // --- StreamAdmin, EpochRequests: any thread ---
  void CreateStream(StreamSpec spec, Duration timeout,
                    absl::AnyInvocable<void(absl::Status)> done) override;
  void DeleteStream(std::string name, Duration timeout,
                    absl::AnyInvocable<void(absl::Status)> done) override;
  std::vector<BrokerDescription> Brokers() override;
  void RequestNewEpoch(PartitionKey key) override;

  // --- MetadataState ---
  absl::Status Apply(MetadataIndex index, std::string_view command) override;
  std::string Snapshot() const override { return table_.Snapshot(); }
  absl::Status Restore(std::string_view snapshot) override { return table_.Restore(snapshot); }

 private:
  void ProposeAndSettle(std::string command, Duration timeout,
                        absl::AnyInvocable<void(absl::Status)> done);
  StreamDescription Place(const StreamSpec& spec) const;

  Executor& home_;
  Clock& clock_;
  const std::string broker_;
  MetadataLog* log_ = nullptr;
  DeltaSink* sink_ = nullptr;
  MetaTable table_;
  std::string host_;
  int32_t port_ = 0;
  struct Settling;
  std::shared_ptr<Settling> settling_;       // of the command applied last
  std::atomic<int32_t> partition_count_{0};  // read by Brokers() from any thread
};

}  // namespace bascule
