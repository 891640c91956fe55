// A PublishRequest read as views into its bytes, since PublishAsync sees many. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"
#include "core/ports/bus_publisher.h"

namespace bascule::api {

// Views into the bytes that were parsed. `message.subject` is not part of a request and stays as it
// is.
struct PublishRequestView {
  PublishMessage message;  // with limits::kMaxHeaders headers at most
  size_t headers = 0;      // of the request
  int32_t partition = 0;
};

// Overwrites `out` (its header list keeps its memory). False where libprotobuf would refuse; then
// `out` holds what stood before the fault.
bool ParsePublishRequest(std::string_view bytes, PublishRequestView& out);

// InvalidArgument for more headers than the streams that hear the message would read.
absl::Status CheckHeaders(size_t headers);

}  // namespace bascule::api
