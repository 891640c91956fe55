#include "replication/partition/pending_acks.h"

namespace bascule {

Ack PendingAcks::Make(const IngressBatch& batch, const IngressRecord& record) const {
  Ack ack;
  ack.format = record.ack_format;
  ack.inbox = batch.View(record.ack_inbox);
  ack.correlation_id = batch.View(record.correlation_id);
  ack.stream = names_.stream;
  ack.partition_subject = names_.subject;
  ack.message_subject = batch.View(record.subject);
  ack.policy = record.policy;
  return ack;
}

void PendingAcks::Add(const std::shared_ptr<const IngressBatch>& batch, const IngressRecord& record,
                      Offset offset, Timestamp received) {
  if (record.ack_format == AckFormat::kNone || record.policy == AckPolicy::kNone) return;
  const bool local = record.policy == AckPolicy::kLeader && leader_acks_ == LeaderAcks::kLocal;
  (local ? leader_ : all_).push_back({batch, &record, offset, received});
}

void PendingAcks::Refuse(const IngressBatch& batch, const IngressRecord& record, AckError error,
                         Offset log_end, Timestamp received) {
  if (record.ack_format == AckFormat::kNone) return;
  Ack ack = Make(batch, record);
  ack.received = received;
  ack.error = error;
  ack.last = log_end - 1;
  Refusal refusal{std::string(ack.inbox), std::string(ack.correlation_id),
                  std::string(ack.message_subject), ack};
  refusals_.push_back(std::move(refusal));
}

void PendingAcks::Collect(std::deque<Waiter>& waiters, Offset end, Timestamp now,
                          std::vector<Ack>& due) {
  while (!waiters.empty() && waiters.front().offset < end) {
    Waiter& waiter = waiters.front();
    Ack ack = Make(*waiter.batch, *waiter.record);
    ack.offset = waiter.offset;
    ack.last = waiter.offset;
    ack.received = waiter.received;
    ack.committed = now;
    due.push_back(ack);
    if (keep_.empty() || keep_.back() != waiter.batch) keep_.push_back(std::move(waiter.batch));
    waiters.pop_front();
  }
}

void PendingAcks::Release(Offset leader_durable, Offset high_watermark, Timestamp now) {
  Collect(leader_, leader_durable, now, due_);
  Collect(all_, high_watermark, now, due_);
  for (Refusal& refusal : refusals_) {
    refusal.ack.inbox = refusal.inbox;
    refusal.ack.correlation_id = refusal.correlation_id;
    refusal.ack.message_subject = refusal.message_subject;
    due_.push_back(refusal.ack);
  }
  if (!due_.empty()) sink_.Send(due_);
  due_.clear();
  keep_.clear();
  refusals_.clear();
}

void PendingAcks::Abandon() {
  leader_.clear();
  all_.clear();
}

}  // namespace bascule
