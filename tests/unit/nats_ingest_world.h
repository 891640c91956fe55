// A partition that notes what it is handed.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/wire/record.h"
#include "nats_bridge/ingest_queue.h"

namespace bascule::nats {

// What a partition was handed, copied out of the batch.
struct Seen {
  std::string body, ack_inbox, correlation_id, subject, expected_stream;
  IngressRecord record;
  wire::RecordView view() const {
    wire::RecordView out;
    REQUIRE(wire::ParseBody(body, out));
    return out;
  }
};

class FakePartition : public PartitionIngress {
 public:
  void Enqueue(const std::shared_ptr<const IngressBatch>& batch,
               const IngressRecord& record) override {
    const auto text = [&](ArenaRange range) { return std::string(batch->View(range)); };
    seen.push_back({text(record.body), text(record.ack_inbox), text(record.correlation_id),
                    text(record.subject), text(record.expected_stream), record});
    order += 'm';
    if (hold) held.push_back(batch);
  }
  void AppendPending() override { ++appends; }
  void RecordGap(const GapReport& gap) override {
    gaps.push_back(gap);
    order += 'g';
  }
  std::vector<Seen> seen;
  std::vector<GapReport> gaps;
  std::vector<std::shared_ptr<const IngressBatch>> held;
  std::string order;
  bool hold = false;
  int appends = 0;
};

}  // namespace bascule::nats
