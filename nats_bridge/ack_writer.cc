#include "nats_bridge/ack_writer.h"

#include "core/wire/ack.h"
#include "nats_bridge/envelope.h"
#include "nats_bridge/outlet.h"

namespace bascule::nats {
namespace {

// The wire enum ends at kEncryption; what only JetStream can say becomes "unknown".
uint64_t WireError(AckError error) {
  return static_cast<uint64_t>(error <= AckError::kEncryption ? error : AckError::kUnknown);
}

}  // namespace

void AppendAckPayload(std::string& out, const Ack& ack) {
  if (ack.format == AckFormat::kJetStream) {
    AppendPubAckFor(out, ack);
    return;
  }
  AppendEnvelopeHeader(out, EnvelopeType::kAck);
  wire::AckView view;
  view.stream = ack.stream;
  view.partition_subject = ack.partition_subject;
  view.message_subject = ack.message_subject;
  view.offset = ack.offset.value();
  view.ack_inbox = ack.inbox;
  view.correlation_id = ack.correlation_id;
  view.ack_policy = static_cast<uint64_t>(ack.policy);
  view.reception_timestamp = ack.received.value();
  view.commit_timestamp = ack.committed.value();
  view.ack_error = WireError(ack.error);
  view.outcome_unknown = ack.error == AckError::kOutcomeUnknown;
  view.stream_id = ack.key.stream.value();
  view.stream_created = ack.stream_created.value();
  view.partition = ack.key.partition.value();
  view.leader_epoch = ack.epoch.value();
  wire::AppendAck(out, view);
}

void AckWriter::Send(std::span<const Ack> acks) {
  size_t sent = 0;
  size_t lost = 0;
  {
    Outlet outlet(egress_);
    thread_local std::string payload;
    for (const Ack& ack : acks) {
      if (ack.format == AckFormat::kNone || ack.inbox.empty()) continue;
      payload.clear();
      AppendAckPayload(payload, ack);
      CountOne(outlet.Publish(ack.inbox, payload), sent, lost);
    }
  }
  Count(sent, lost);
}

void AckWriter::RefuseJetStream(std::string_view inbox, const JetStreamError& error) {
  std::string payload;
  AppendPubAckError(payload, {}, error);
  size_t sent = 0;
  size_t lost = 0;
  {
    Outlet outlet(egress_);
    CountOne(outlet.Publish(inbox, payload), sent, lost);
  }
  Count(sent, lost);
}

void AckWriter::CountOne(const absl::Status& status, size_t& sent, size_t& lost) {
  if (absl::IsInvalidArgument(status)) {
    counts_.refused.fetch_add(1, std::memory_order_relaxed);
  } else {
    ++(status.ok() ? sent : lost);
  }
}

void AckWriter::Count(size_t sent, size_t lost) {
  counts_.sent.fetch_add(sent, std::memory_order_relaxed);
  if (lost > 0) counts_.lost.fetch_add(lost, std::memory_order_relaxed);
}

}  // namespace bascule::nats
