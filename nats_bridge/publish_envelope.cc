#include "nats_bridge/publish_envelope.h"

#include "core/wire/coding.h"
#include "core/wire/record.h"
#include "nats_bridge/envelope.h"

namespace bascule::nats {
namespace {

void AppendUnlessEmpty(std::string& out, uint32_t field, std::string_view bytes) {
  if (!bytes.empty()) wire::AppendBytesField(out, field, bytes);
}

}  // namespace

void AppendPublishEnvelope(std::string& out, const PublishMessage& message) {
  AppendEnvelopeHeader(out, EnvelopeType::kPublish);
  if (message.expected_offset != 0) {
    wire::AppendVarintField(out, wire::kMessageOffset,
                            static_cast<uint64_t>(message.expected_offset));
  }
  AppendUnlessEmpty(out, wire::kMessageKey, message.key);
  AppendUnlessEmpty(out, wire::kMessageValue, message.value);
  AppendUnlessEmpty(out, wire::kMessageStream, message.stream);
  AppendUnlessEmpty(out, wire::kMessageSubject, message.subject);
  for (const auto& [name, value] : message.headers) wire::AppendHeader(out, name, value);
  AppendUnlessEmpty(out, wire::kMessageAckInbox, message.ack_inbox);
  AppendUnlessEmpty(out, wire::kMessageCorrelationId, message.correlation_id);
  if (message.ack_policy != 0) {
    // Negative numbers are ten bytes long in protobuf, as any int32.
    wire::AppendVarintField(out, wire::kMessageAckPolicy,
                            static_cast<uint64_t>(static_cast<int64_t>(message.ack_policy)));
  }
}

}  // namespace bascule::nats
