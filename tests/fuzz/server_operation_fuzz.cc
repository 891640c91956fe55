// Anything that a NATS server, or what is taken for one, may send: no bytes crash the taking apart, what is taken
// stays inside them, and it does not depend on how much is there behind it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "nats_bridge/server_operation.h"

namespace bascule::nats {
namespace {

constexpr OperationBounds kBounds{64, 256, 512};

void CheckInside(std::string_view part, std::string_view whole) {
  BASCULE_CHECK(part.empty() || (part.data() >= whole.data() &&
                                 part.data() + part.size() <= whole.data() + whole.size()));
}

// The bytes of one operation; 0: no more can be taken.
size_t TakeOne(std::string_view bytes) {
  ServerOperation operation;
  const auto taken = TakeOperation(bytes, kBounds, operation);
  if (!taken.ok()) return 0;
  if (taken->bytes == 0) {
    BASCULE_CHECK_GT(taken->wanted, bytes.size());
    return 0;
  }
  BASCULE_CHECK_LE(taken->bytes, bytes.size());
  const std::string_view whole = bytes.substr(0, taken->bytes);
  for (const std::string_view part :
       {operation.subject, operation.reply, operation.headers, operation.payload, operation.text})
    CheckInside(part, whole);
  BASCULE_CHECK(operation.subject.find_first_of(" \t\r\n") == std::string_view::npos);
  BASCULE_CHECK_LE(operation.headers.size() + operation.payload.size(), kBounds.message);
  // Alone, in a buffer of its own, it is the same; one byte shorter it is not whole.
  const std::string alone(whole);
  ServerOperation again;
  const auto same = TakeOperation(alone, kBounds, again);
  BASCULE_CHECK(same.ok() && same->bytes == taken->bytes);
  BASCULE_CHECK(again.kind == operation.kind && again.sid == operation.sid);
  BASCULE_CHECK(again.payload == operation.payload && again.headers == operation.headers);
  const std::string shorter = alone.substr(0, alone.size() - 1);
  const auto less = TakeOperation(shorter, kBounds, again);
  BASCULE_CHECK(less.ok() && less->bytes == 0 && less->wanted > shorter.size());
  return taken->bytes;
}

}  // namespace
}  // namespace bascule::nats

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty()) {
    const size_t taken = bascule::nats::TakeOne(rest);
    if (taken == 0) break;
    rest.remove_prefix(taken);
  }
  return 0;
}
