// Anything a publisher may put into a NATS message: no bytes crash the reading of envelopes,
// publishes, acks or headers, and what is read stays inside them.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/wire/ack.h"
#include "core/wire/record.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/envelope.h"
#include "nats_bridge/header_block.h"
#include "nats_bridge/jetstream.h"
#include "nats_bridge/publish_envelope.h"

namespace bascule {
namespace {

void CheckInside(std::string_view part, std::string_view whole) {
  BASCULE_CHECK(part.empty() || (part.data() >= whole.data() &&
                                 part.data() + part.size() <= whole.data() + whole.size()));
}

void CheckPublish(std::string_view payload) {
  wire::PublishView view;
  if (!wire::ParsePublish(payload, view)) return;
  for (const auto& [name, value] : view.headers) {
    CheckInside(name, payload);
    CheckInside(value, payload);
  }
  // What we would send for it is read back the same.
  PublishMessage message;
  message.key = view.key.value_or("");
  message.value = view.value.value_or("");
  message.headers = view.headers;
  message.ack_inbox = view.ack_inbox;
  message.correlation_id = view.correlation_id;
  message.ack_policy = static_cast<int32_t>(view.ack_policy);
  message.expected_offset = view.expected_offset;
  std::string sent;
  nats::AppendPublishEnvelope(sent, message);
  std::string_view inner;
  wire::PublishView again;
  BASCULE_CHECK(nats::OpenEnvelope(sent, nats::EnvelopeType::kPublish, inner) ==
                nats::EnvelopeCheck::kOk);
  BASCULE_CHECK(wire::ParsePublish(inner, again));
  BASCULE_CHECK(again.value.value_or("") == message.value);
  BASCULE_CHECK(again.ack_inbox == view.ack_inbox);
  BASCULE_CHECK(again.headers == view.headers);
  BASCULE_CHECK_EQ(again.expected_offset, view.expected_offset);
}

void CheckHeaders(std::string_view in) {
  std::string block = "NATS/1.0";
  block += in;
  wire::HeaderList headers;
  BASCULE_CHECK(nats::ReadHeaderBlock(block, headers));
  for (const auto& [name, value] : headers) {
    CheckInside(name, block);
    CheckInside(value, block);
  }
  nats::JetStreamExpectations expectations;
  if (const auto error = nats::ReadExpectations(&headers, expectations)) {
    std::string answer;
    AppendPubAckError(answer, in, *error);
  }
}

}  // namespace
}  // namespace bascule

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bascule;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  std::string_view payload;
  if (nats::OpenEnvelope(in, nats::EnvelopeType::kPublish, payload) == nats::EnvelopeCheck::kOk) {
    CheckInside(payload, in);
    CheckPublish(payload);
  }
  if (nats::OpenEnvelope(in, nats::EnvelopeType::kAck, payload) == nats::EnvelopeCheck::kOk) {
    wire::AckView ack;
    wire::ParseAck(payload, ack);
  }
  CheckPublish(in);
  CheckHeaders(in);
  nats::IsPublishableSubject(in);
  return 0;
}
