#include "nats_bridge/outlet.h"

#include <algorithm>

#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/bus_message.h"

namespace bascule {
namespace {

// "PUB ", lengths and line ends around each message.
constexpr size_t kPubFramingBytes = 32;

}  // namespace

Outlet::Outlet(NatsConnection& egress)
    : egress_(egress),
      nc_(egress.Current()),
      connected_(nc_ != nullptr && egress.connected()),
      batch_(egress.loop()) {
  if (connected_) buffered_ = static_cast<size_t>(std::max(0, natsConnection_Buffered(nc_.get())));
}

absl::Status Outlet::Publish(std::string_view subject, std::string_view payload) {
  // nats.c writes the subject into the protocol as it is: one with a space or line end would be
  // another command.
  if (!IsPublishableSubject(subject)) return absl::InvalidArgumentError("nats: invalid subject");
  if (!connected_) return absl::UnavailableError("nats: not connected");
  const int64_t most = egress_.max_payload();
  if (most > 0 && payload.size() > static_cast<size_t>(most)) {
    return absl::InvalidArgumentError("nats: maximum payload exceeded");
  }
  const size_t bytes = subject.size() + payload.size() + kPubFramingBytes;
  if (buffered_ > 0 && buffered_ + bytes > limits::kEgressBufferBytes) {
    return absl::ResourceExhaustedError(
        "nats: outgoing buffer is full, the server takes messages too slowly");
  }
  thread_local std::string name;  // nats.c wants a terminated string
  name.assign(subject);
  switch (const natsStatus s = natsConnection_Publish(nc_.get(), name.c_str(), payload.data(),
                                                      static_cast<int>(payload.size()))) {
    case NATS_OK:
      buffered_ += bytes;
      return absl::OkStatus();
    case NATS_MAX_PAYLOAD:
      return absl::InvalidArgumentError("nats: maximum payload exceeded");
    case NATS_INVALID_SUBJECT:
      return absl::InvalidArgumentError("nats: invalid subject");
    default:
      return absl::UnavailableError(Concat("nats: ", natsStatus_GetText(s)));
  }
}

}  // namespace bascule
