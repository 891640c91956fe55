#include "core/base/crc32c.h"

#include <isa-l/crc.h>

namespace bascule {

uint32_t ExtendCrc32c(uint32_t crc_of_a, std::string_view data) {
  // ISA-L takes the running (not yet inverted) value, int lengths and a non-const pointer it does
  // not write through.
  uint32_t crc = ~crc_of_a;
  constexpr size_t kStep = 1u << 30;
  while (!data.empty()) {
    const size_t n = data.size() < kStep ? data.size() : kStep;
    auto* p = reinterpret_cast<unsigned char*>(const_cast<char*>(data.data()));
    crc = crc32_iscsi(p, static_cast<int>(n), crc);
    data.remove_prefix(n);
  }
  return ~crc;
}

uint32_t Crc32c(std::string_view data) { return ExtendCrc32c(0, data); }

}  // namespace bascule
