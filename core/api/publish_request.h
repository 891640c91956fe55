// A PublishRequest read as views into its bytes, since PublishAsync sees many. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/ports/bus_publisher.h"

namespace bascule::api {

// Views into the bytes that were parsed. `message.subject` is not part of a request and stays as it
// is.
struct PublishRequestView {
  PublishMessage message;
  int32_t partition = 0;
};

// Overwrites `out` (its header list keeps its memory). False where libprotobuf would refuse, and
// past limits::kMaxHeaders; then `out` holds what stood before the fault.
bool ParsePublishRequest(std::string_view bytes, PublishRequestView& out);

}  // namespace bascule::api
