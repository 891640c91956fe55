#include "nats_bridge/envelope.h"

#include "core/base/crc32c.h"

namespace bascule::nats {
namespace {

constexpr std::string_view kMagic("\xB9\x0E\x43\xB4", 4);
constexpr uint8_t kVersion = 0;
constexpr uint8_t kCrcFlag = 0x01;

uint8_t Byte(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

uint32_t BigEndian32(std::string_view bytes, size_t i) {
  return static_cast<uint32_t>(Byte(bytes, i)) << 24 |
         static_cast<uint32_t>(Byte(bytes, i + 1)) << 16 |
         static_cast<uint32_t>(Byte(bytes, i + 2)) << 8 | Byte(bytes, i + 3);
}

}  // namespace

EnvelopeCheck OpenEnvelope(std::string_view bytes, EnvelopeType expected,
                           std::string_view& payload) {
  if (bytes.substr(0, kMagic.size()) != kMagic) return EnvelopeCheck::kForeign;
  if (bytes.size() < kEnvelopeHeaderBytes) return EnvelopeCheck::kMalformed;
  if (Byte(bytes, 4) != kVersion) return EnvelopeCheck::kMalformed;
  const size_t header_length = Byte(bytes, 5);
  if (header_length < kEnvelopeHeaderBytes || header_length > bytes.size())
    return EnvelopeCheck::kMalformed;
  if (Byte(bytes, 7) != static_cast<uint8_t>(expected)) return EnvelopeCheck::kMalformed;
  payload = bytes.substr(header_length);
  if ((Byte(bytes, 6) & kCrcFlag) != 0) {
    if (header_length != kEnvelopeCrcHeaderBytes) return EnvelopeCheck::kMalformed;
    if (Crc32c(payload) != BigEndian32(bytes, 8)) return EnvelopeCheck::kMalformed;
  }
  return EnvelopeCheck::kOk;
}

void AppendEnvelopeHeader(std::string& out, EnvelopeType type) {
  out.append(kMagic);
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(kEnvelopeHeaderBytes));
  out.push_back('\0');
  out.push_back(static_cast<char>(type));
}

}  // namespace bascule::nats
