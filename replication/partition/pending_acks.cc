#include "replication/partition/pending_acks.h"

#include "core/base/check.h"

namespace bascule::partition {
namespace {

// Waiters of one block: few allocations, and memory goes back while others still wait.
constexpr size_t kBlockWaiters = 1024;

}  // namespace

void PendingAcks::Add(const IngressBatch& batch, const IngressRecord& record, Offset offset,
                      Timestamp received) {
  if (record.ack_format == AckFormat::kNone || record.policy == AckPolicy::kNone) return;
  const bool local = record.policy == AckPolicy::kLeader && leader_acks_ == LeaderAcks::kLocal;
  Queue& queue = local ? leader_ : all_;
  if (queue.blocks.empty() || queue.blocks.back().waiters.size() == kBlockWaiters) {
    queue.blocks.emplace_back();
  }
  Block& block = queue.blocks.back();
  BASCULE_CHECK(block.waiters.empty() || block.waiters.back().offset < offset);
  block.waiters.push_back({block.text.Add(batch.View(record.ack_inbox)),
                           block.text.Add(batch.View(record.correlation_id)),
                           block.text.Add(batch.View(record.subject)), offset, received,
                           record.policy, record.ack_format});
  ++queue.waiting;
}

void PendingAcks::Refuse(const IngressBatch& batch, const IngressRecord& record, AckError error,
                         Offset log_end, Timestamp received) {
  if (record.ack_format == AckFormat::kNone) return;
  IngressBatch& text = refusals_.text;
  refusals_.waiters.push_back({text.Add(batch.View(record.ack_inbox)),
                               text.Add(batch.View(record.correlation_id)),
                               text.Add(batch.View(record.subject)), Offset(0), received,
                               record.policy, record.ack_format});
  refusal_reasons_.emplace_back(error, log_end);
}

Ack PendingAcks::AckTo(const IngressBatch& text, const Waiter& waiter) const {
  Ack ack;
  ack.format = waiter.format;
  ack.inbox = text.View(waiter.inbox);
  ack.correlation_id = text.View(waiter.correlation_id);
  ack.stream = names_.stream;
  ack.partition_subject = names_.subject;
  ack.message_subject = text.View(waiter.subject);
  ack.policy = waiter.policy;
  ack.received = waiter.received;
  ack.key = names_.key;
  ack.stream_created = names_.stream_created;
  ack.epoch = epoch_;
  return ack;
}

void PendingAcks::Collect(Queue& queue, Offset end, Timestamp now) {
  for (Block& block : queue.blocks) {
    while (block.answered < block.waiters.size()) {
      const Waiter& waiter = block.waiters[block.answered];
      if (waiter.offset >= end) return;
      Ack& ack = due_.emplace_back(AckTo(block.text, waiter));
      ack.offset = ack.last = waiter.offset;
      ack.committed = now;
      ++block.answered;
      --queue.waiting;
    }
  }
}

// After the send: until then the acks' views point into the blocks.
void PendingAcks::DropAnswered(Queue& queue) {
  while (!queue.blocks.empty() &&
         queue.blocks.front().answered == queue.blocks.front().waiters.size()) {
    queue.blocks.pop_front();
  }
}

void PendingAcks::Release(Offset leader_durable, Offset high_watermark, Timestamp now) {
  Collect(leader_, leader_durable, now);
  Collect(all_, high_watermark, now);
  for (size_t i = 0; i < refusals_.waiters.size(); ++i) {
    const Waiter& waiter = refusals_.waiters[i];
    const auto& [error, log_end] = refusal_reasons_[i];
    Ack& ack = due_.emplace_back(AckTo(refusals_.text, waiter));
    ack.last = log_end - 1;
    ack.error = error;
  }
  if (!due_.empty()) sink_.Send(due_);
  due_.clear();
  DropAnswered(leader_);
  DropAnswered(all_);
  refusals_.waiters.clear();
  refusals_.text.arena.clear();
  refusal_reasons_.clear();
}

void PendingAcks::Abandon() {
  leader_ = Queue();
  all_ = Queue();
}

void PendingAcks::CollectUnknown(const Queue& queue) {
  for (const Block& block : queue.blocks) {
    for (size_t i = block.answered; i < block.waiters.size(); ++i)
      due_.emplace_back(AckTo(block.text, block.waiters[i])).error = AckError::kOutcomeUnknown;
  }
}

void PendingAcks::EndUnknown() {
  CollectUnknown(leader_);
  CollectUnknown(all_);
  if (!due_.empty()) sink_.Send(due_);
  due_.clear();
  Abandon();
}

void PendingAcks::CheckQueue(const Queue& queue) {
  size_t waiting = 0;
  for (const Block& block : queue.blocks) {
    BASCULE_CHECK_LT(block.answered, block.waiters.size());
    BASCULE_CHECK(block.answered == 0 || &block == &queue.blocks.front());
    BASCULE_CHECK_LE(block.waiters.size(), kBlockWaiters);
    waiting += block.waiters.size() - block.answered;
  }
  BASCULE_CHECK_EQ(waiting, queue.waiting);
}

void PendingAcks::CheckInvariants() const {
  CheckQueue(leader_);
  CheckQueue(all_);
  BASCULE_CHECK(due_.empty());
  BASCULE_CHECK_EQ(refusals_.waiters.size(), refusal_reasons_.size());
}

}  // namespace bascule::partition
