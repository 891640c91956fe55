// Responses of PublishAsync, encoded one behind the other so that they become parts of one slice.
// One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/api/publish_rules.h"
#include "core/wire/ack.h"

namespace bascule::api {

struct ResponseBatch {
  std::string bytes;
  std::vector<uint32_t> ends;  // of each response in `bytes`

  // {correlationId, ack}, both ids those of `ack`.
  void AddAck(const wire::AckView& ack);
  // {correlationId, an empty ack, asyncError}: old clients look into the ack.
  void AddError(std::string_view correlation_id, const AsyncError& error);
  void Clear() {
    bytes.clear();
    ends.clear();
  }
};

}  // namespace bascule::api
