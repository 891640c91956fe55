// CRC-32C (Castagnoli, RFC 3720 B.4), by ISA-L. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace bascule {

uint32_t Crc32c(std::string_view data);
// The checksum of `a` followed by `data`, given that of `a`.
uint32_t ExtendCrc32c(uint32_t crc_of_a, std::string_view data);

}  // namespace bascule
