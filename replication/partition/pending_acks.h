// Publishers that wait: the only road from the log to an ack. An ack leaves when the position it
// promises is reached, those of one release in one call of the sink. On the partition's shard.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/ports/ack_sink.h"
#include "core/ports/ingress.h"
#include "core/stream/settings.h"

namespace bascule {

class PendingAcks {
 public:
  // What is the same in every ack of the partition.
  struct Names {
    std::string stream;
    std::string subject;  // the stream's base subject
  };
  PendingAcks(AckSink& sink, Names names, LeaderAcks leader_acks)
      : sink_(sink), names_(std::move(names)), leader_acks_(leader_acks) {}

  // `record` of `batch` was appended at `offset`. Offsets ascend. Nobody waiting (policy NONE, no
  // inbox): nothing kept.
  void Add(const std::shared_ptr<const IngressBatch>& batch, const IngressRecord& record,
           Offset offset, Timestamp received);
  // The record was not stored. Sent whatever the policy, when there is an inbox; collected until
  // the next Release.
  void Refuse(const IngressBatch& batch, const IngressRecord& record, AckError error,
              Offset log_end, Timestamp received);
  // Sends what is due: LEADER acks below `leader_durable`, ALL acks below `high_watermark`,
  // refusals.
  void Release(Offset leader_durable, Offset high_watermark, Timestamp now);
  // Outcome unknown (R14): nobody gets an answer; publishers time out and may try again.
  void Abandon();
  size_t waiting() const { return leader_.size() + all_.size(); }

 private:
  struct Waiter {
    std::shared_ptr<const IngressBatch> batch;
    const IngressRecord* record;
    Offset offset;
    Timestamp received;
  };
  void Collect(std::deque<Waiter>& waiters, Offset end, Timestamp now, std::vector<Ack>& due);
  Ack Make(const IngressBatch& batch, const IngressRecord& record) const;

  AckSink& sink_;
  const Names names_;
  const LeaderAcks leader_acks_;
  std::deque<Waiter> leader_;
  std::deque<Waiter> all_;
  // Refusals own their text, since their batch may go before the next Release.
  struct Refusal {
    std::string inbox, correlation_id, message_subject;
    Ack ack;
  };
  std::vector<Refusal> refusals_;
  // Reused between releases: acks, and the batches that their views point into.
  std::vector<Ack> due_;
  std::vector<std::shared_ptr<const IngressBatch>> keep_;
};

}  // namespace bascule
