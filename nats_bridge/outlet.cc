#include "nats_bridge/outlet.h"

#include <algorithm>

#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/control_line.h"

namespace bascule::nats {
namespace {

// "PUB " and line ends around each message.
constexpr size_t kPubFramingBytes = 16;

}  // namespace

Outlet::Outlet(NatsConnection& egress)
    : egress_(egress),
      nc_(egress.Current()),
      connected_(nc_ != nullptr && egress.connected()),
      batch_(egress.loop(), nc_.get()) {
  if (connected_) buffered_ = static_cast<size_t>(std::max(0, natsConnection_Buffered(nc_.get())));
}

absl::Status Outlet::Publish(std::string_view subject, std::string_view payload,
                             std::string_view reply) {
  // nats.c writes the subjects into the protocol as they are: one with a space or line end would be
  // another command.
  if (!IsPublishableSubject(subject) || (!reply.empty() && !IsPublishableSubject(reply))) {
    return absl::InvalidArgumentError("nats: invalid subject");
  }
  const size_t line = PubLineBytes(subject, reply);
  if (!egress_.AdmitLine(line)) {
    return absl::InvalidArgumentError(
        Concat("nats: subject too long: ", LineTooLongText(line, egress_.line_limit())));
  }
  if (!connected_) return absl::UnavailableError("nats: not connected");
  const int64_t most = egress_.max_payload();
  if (most > 0 && payload.size() > static_cast<size_t>(most)) {
    return absl::InvalidArgumentError("nats: maximum payload exceeded");
  }
  const size_t bytes = line + payload.size() + kPubFramingBytes;
  if (buffered_ > 0 && buffered_ + bytes > limits::kEgressBufferBytes) {
    return absl::ResourceExhaustedError(
        "nats: outgoing buffer is full, the server takes messages too slowly");
  }
  thread_local std::string name;  // nats.c wants terminated strings
  thread_local std::string answer;
  name.assign(subject);
  const int size = static_cast<int>(payload.size());
  natsStatus s;
  if (reply.empty()) {
    s = natsConnection_Publish(nc_.get(), name.c_str(), payload.data(), size);
  } else {
    answer.assign(reply);
    s = natsConnection_PublishRequest(nc_.get(), name.c_str(), answer.c_str(), payload.data(),
                                      size);
  }
  switch (s) {
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

}  // namespace bascule::nats
