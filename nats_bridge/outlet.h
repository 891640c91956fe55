// A run of publishes on the egress connection that leave together. Internal to nats_bridge.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "nats_bridge/nats_connection.h"

namespace bascule::nats {

// On the stack of one thread, for one run; not nested. The bytes are handed to the socket after it
// ends.
class Outlet {
 public:
  explicit Outlet(NatsConnection& egress);

  // Never blocks. `reply` empty = none. InvalidArgument "nats: invalid subject", "nats: subject
  // too long: ..." or "nats: maximum payload exceeded", Unavailable "nats: not connected",
  // ResourceExhausted when limits::kEgressBufferBytes wait for the socket. Nothing else publishes on
  // the connection: what passes here the server takes without dropping it.
  absl::Status Publish(std::string_view subject, std::string_view payload,
                       std::string_view reply = {});

 private:
  NatsConnection& egress_;
  const std::shared_ptr<natsConnection> nc_;
  const bool connected_;
  size_t buffered_ = 0;
  EgressBatch batch_;
};

}  // namespace bascule::nats
