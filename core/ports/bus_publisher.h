// Publishing through the bus on behalf of gRPC clients, and hearing the acks. Implemented by
// nats_bridge, used by core/api.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

// What becomes a Publish envelope. Views need to live for the call only.
struct PublishMessage {
  std::string_view key;    // empty = absent
  std::string_view value;  // empty = absent
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::string_view stream;
  std::string_view subject;
  std::string_view ack_inbox;
  std::string_view correlation_id;
  int32_t ack_policy = 0;  // as sent: an unknown number travels on
  int64_t expected_offset = 0;
};

// Acks arrive here until destroyed; destruction waits for a callback that is running (so not from
// inside one).
class AckInbox {
 public:
  virtual ~AckInbox() = default;
  virtual const std::string& subject() const = 0;
};

// What a handler makes of an ack. The bus counts what is not taken.
enum class AckVerdict {
  kTaken,
  kForeign,    // of a stream or partition that was not asked, or of another cluster
  kReplaced,   // of a leader whose time was over when it was given, as far as is known here
  kUnmatched,  // answers no request that waits: forged, a second one, or too late
};

// A serialised proto.Ack (checked to parse). Valid during the call.
using AckHandler = absl::AnyInvocable<AckVerdict(std::string_view ack)>;

// Any thread.
class BusPublisher {
 public:
  virtual ~BusPublisher() = default;
  // Hands the envelope to the NATS connection; does not wait for it to be on the wire, keeps the
  // order of one caller's calls. Errors: Unavailable "nats: <text>" while disconnected,
  // InvalidArgument "nats: maximum payload exceeded" or "nats: invalid subject", ResourceExhausted
  // when the outgoing buffer is full.
  virtual absl::Status Publish(std::string_view subject, const PublishMessage& message) = 0;
  // Listens for acks. Without `subject` a fresh inbox below "<namespace>.ack.", with a name that
  // nobody can guess (cheap: one subscription serves all). The handler runs on a NATS delivery
  // thread, one call at a time per inbox, and must not block. Whoever hears the messages of a
  // subject can answer them, so a handler believes only what names the request, the stream and the
  // partition.
  virtual absl::StatusOr<std::unique_ptr<AckInbox>> OpenAckInbox(std::optional<std::string> subject,
                                                                 AckHandler handler) = 0;
  // Largest payload that the NATS servers accept; 0 while unknown.
  virtual int64_t max_payload() const = 0;
  virtual bool connected() const = 0;
};

}  // namespace bascule
