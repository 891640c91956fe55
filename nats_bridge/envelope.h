// The envelope around messages that clients and servers exchange over NATS. All integers
// big-endian:
//
//    0-3  magic B9 0E 43 B4
//    4    version 0
//    5    header length = where the payload begins: 8, or 12 with a checksum
//    6    flags: bit 0 = CRC-32C present; the others are ignored
//    7    message type
//    8-11 CRC-32C of the payload, only with flag bit 0
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bascule::nats {

inline constexpr size_t kEnvelopeHeaderBytes = 8;
inline constexpr size_t kEnvelopeCrcHeaderBytes = 12;

enum class EnvelopeType : uint8_t { kPublish = 0, kAck = 1 };

enum class EnvelopeCheck {
  kOk,
  kForeign,    // no magic: somebody's own bytes
  kMalformed,  // magic, and then something wrong: length, version, type, checksum
};

// On kOk `payload` is what follows the header. A longer header than 8 without checksum is accepted
// and skipped, since its length says where the payload begins; one shorter than 8, past the end, or
// unequal to 12 with checksum is not.
EnvelopeCheck OpenEnvelope(std::string_view bytes, EnvelopeType expected,
                           std::string_view& payload);

// Appends the header that everybody sends: 8 bytes, no checksum. The payload goes right after it.
void AppendEnvelopeHeader(std::string& out, EnvelopeType type);

}  // namespace bascule::nats
