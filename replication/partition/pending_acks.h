// Publishers that wait: the only road from the log to an ack. An ack leaves when the position it
// promises is reached, those of one release in one call of the sink. On the partition's shard.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "core/ports/ack_sink.h"
#include "core/ports/ingress.h"
#include "core/stream/settings.h"

namespace bascule::partition {

class PendingAcks {
 public:
  // What is the same in every ack of the partition.
  struct Names {
    std::string stream;
    std::string subject;  // the stream's base subject
    PartitionKey key;
    Timestamp stream_created;
  };
  PendingAcks(AckSink& sink, Names names, LeaderAcks leader_acks)
      : sink_(sink), names_(std::move(names)), leader_acks_(leader_acks) {}
  // For what is added from now on.
  void SetLeaderAcks(LeaderAcks leader_acks) { leader_acks_ = leader_acks; }

  // Under which the partition answers from now on, also after it lost the lead.
  void SetEpoch(LeaderEpoch epoch) { epoch_ = epoch; }

  // `record` of `batch` was appended at `offset`. Offsets ascend. Nobody waiting (policy NONE, no
  // inbox): nothing kept. What the ack needs is copied, so that the batch, message bodies and all,
  // may go as soon as it is appended.
  void Add(const IngressBatch& batch, const IngressRecord& record, Offset offset,
           Timestamp received);
  // The record was not stored. Sent whatever the policy, when there is an inbox; collected until
  // the next Release.
  void Refuse(const IngressBatch& batch, const IngressRecord& record, AckError error,
              Offset log_end, Timestamp received);
  // Sends what is due: LEADER acks below `leader_durable`, ALL acks below `high_watermark`,
  // refusals.
  void Release(Offset leader_durable, Offset high_watermark, Timestamp now);
  // Nobody gets an answer; publishers time out and may try again.
  void Abandon();
  // R14: everybody who waits is told that the outcome is unknown.
  void EndUnknown();
  size_t waiting() const { return leader_.waiting + all_.waiting; }
  // O(blocks): what is counted is what is there, and no block is kept without need.
  void CheckInvariants() const;

 private:
  struct Waiter {
    ArenaRange inbox;
    ArenaRange correlation_id;
    ArenaRange subject;
    Offset offset;
    Timestamp received;
    AckPolicy policy;
    AckFormat format;
  };
  // Waiters in order of offset, with their texts in one piece.
  struct Block {
    IngressBatch text;  // its arena only
    std::vector<Waiter> waiters;
    size_t answered = 0;
  };
  struct Queue {
    std::deque<Block> blocks;
    size_t waiting = 0;
  };
  // What every ack says, with the texts of `waiter` of `text`.
  Ack AckTo(const IngressBatch& text, const Waiter& waiter) const;
  static void CheckQueue(const Queue& queue);
  void Collect(Queue& queue, Offset end, Timestamp now);
  void CollectUnknown(const Queue& queue);
  static void DropAnswered(Queue& queue);

  AckSink& sink_;
  const Names names_;
  LeaderAcks leader_acks_;
  LeaderEpoch epoch_;
  Queue leader_;
  Queue all_;
  Block refusals_;
  std::vector<std::pair<AckError, Offset>> refusal_reasons_;  // with the log's end, one per refusal
  std::vector<Ack> due_;                                      // reused between releases
};

}  // namespace bascule::partition
