// A message as the bus hands it over, and who listens. No nats.c types, so that ingest is tested
// without a server.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/base/status.h"
#include "core/ports/ingress.h"
#include "core/wire/record.h"

namespace bascule::nats {

// Views are valid during the call only.
struct BusMessage {
  std::string_view subject;
  std::string_view reply;  // empty = none
  std::string_view payload;
  const wire::HeaderList* headers =
      nullptr;              // NATS headers (HPUB), every value of a repeated name; null = none
  size_t header_bytes = 0;  // what they take of NATS's max_payload
};

// Owner of one subscription. Kept alive by the connection until no call runs or can come.
class SubscriptionHandler {
 public:
  virtual ~SubscriptionHandler() = default;
  // The connection's own thread (of the egress connection: one of nats.c's), one call at a time. Must not
  // block.
  virtual void OnMessage(const BusMessage& message) = 0;
  // The ingest connection's thread. The server has confirmed the subscription, or refused it; again when
  // it thinks otherwise than before.
  virtual void OnListening(absl::Status /*status*/) {}
  // The ingest connection's thread. Messages may have been missed by a subscription that was confirmed
  // before.
  virtual void OnGap(const GapReport& /*gap*/) {}
};

// A subject that NATS takes in a PUB line as one word: not empty, no white space or control bytes,
// no empty token. Wildcard tokens pass: NATS delivers on them literally.
bool IsPublishableSubject(std::string_view subject);

}  // namespace bascule::nats
