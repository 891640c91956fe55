#include "nats_bridge/nkey.h"

#include <openssl/evp.h>

#include <cstdint>

#include "core/base/check.h"
#include "core/base/openssl_handles.h"

namespace bascule::nats {
namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr uint8_t kPrefixSeed = 18 << 3;  // 'S'
constexpr uint8_t kPrefixUser = 20 << 3;  // 'U'
constexpr size_t kSeedBytes = 32;
constexpr size_t kSignatureBytes = 64;
constexpr size_t kSeedTextLength =
    58;  // two prefix bytes, the seed, two of CRC, five bits a letter

// CRC-16/XMODEM, as NKeys use it.
uint16_t Crc16(std::string_view bytes) {
  uint16_t crc = 0;
  for (const char c : bytes) {
    crc = static_cast<uint16_t>(crc ^ static_cast<uint8_t>(c) << 8);
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
    }
  }
  return crc;
}

bool DecodeBase32(std::string_view text, std::string& out) {
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kBase32.find(c);
    if (value == std::string_view::npos) return false;
    bits = bits << 5 | static_cast<uint32_t>(value);
    count += 5;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count));
    }
  }
  return true;
}

std::string EncodeBase32(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    count += 8;
    while (count >= 5) {
      count -= 5;
      out.push_back(kBase32[bits >> count & 31]);
    }
  }
  if (count > 0) out.push_back(kBase32[bits << (5 - count) & 31]);
  return out;
}

// The private key that a user seed stands for.
absl::StatusOr<openssl::KeyPtr> KeyFromSeed(std::string_view seed) {
  std::string raw;
  if (seed.size() != kSeedTextLength || !DecodeBase32(seed, raw) || raw.size() != kSeedBytes + 4) {
    return absl::InvalidArgumentError(
        "not an NKey seed: expected 58 letters and digits beginning with SU");
  }
  // Five bits of 'S', then the eight bits of the key's own type, spread over two bytes.
  const auto first = static_cast<uint8_t>(raw[0]);
  const auto second = static_cast<uint8_t>(raw[1]);
  const auto type = static_cast<uint8_t>((first & 7) << 5 | second >> 3);
  if ((first & 0xf8) != kPrefixSeed || type != kPrefixUser) {
    return absl::InvalidArgumentError("not the seed of a NATS user: expected SU...");
  }
  const size_t body = raw.size() - 2;
  const auto crc = static_cast<uint16_t>(static_cast<uint8_t>(raw[body]) |
                                         static_cast<uint8_t>(raw[body + 1]) << 8);
  if (crc != Crc16(std::string_view(raw).substr(0, body))) {
    return absl::InvalidArgumentError(
        "damaged NKey seed: its checksum does not match (mistyped or cut?)");
  }
  openssl::KeyPtr key(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(raw.data()) + 2,
      kSeedBytes));
  if (key == nullptr) return absl::InternalError("OpenSSL takes no NKey seed");
  return key;
}

}  // namespace

absl::StatusOr<std::string> NkeyPublicFromSeed(std::string_view seed) {
  ASSIGN_OR_RETURN(const openssl::KeyPtr key, KeyFromSeed(seed));
  std::string out(1, static_cast<char>(kPrefixUser));
  unsigned char public_key[kSeedBytes];
  size_t length = sizeof(public_key);
  if (EVP_PKEY_get_raw_public_key(key.get(), public_key, &length) != 1) {
    return absl::InternalError("OpenSSL could not derive the public key of an NKey seed");
  }
  BASCULE_CHECK_EQ(length, kSeedBytes);
  out.append(reinterpret_cast<const char*>(public_key), length);
  const uint16_t sum = Crc16(out);
  out.push_back(static_cast<char>(sum & 0xff));
  out.push_back(static_cast<char>(sum >> 8));
  return EncodeBase32(out);
}

absl::StatusOr<std::string> SignWithNkey(std::string_view seed, std::string_view message) {
  ASSIGN_OR_RETURN(const openssl::KeyPtr key, KeyFromSeed(seed));
  const openssl::Owned<EVP_MD_CTX, &EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  unsigned char signature[kSignatureBytes];
  size_t length = sizeof(signature);
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature, &length,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1) {
    return absl::InternalError("OpenSSL could not sign with an NKey seed");
  }
  return std::string(reinterpret_cast<const char*>(signature), length);
}

std::string_view FindNkeySeed(std::string_view text) {
  for (size_t at = text.find("SU"); at != std::string_view::npos; at = text.find("SU", at + 1)) {
    const bool starts_line =
        at == 0 || text[at - 1] == '\n' || text[at - 1] == ' ' || text[at - 1] == '\t';
    if (!starts_line || text.size() - at < kSeedTextLength) continue;
    const std::string_view word = text.substr(at, kSeedTextLength);
    if (word.find_first_not_of(kBase32) == std::string_view::npos) return word;
  }
  return {};
}

}  // namespace bascule::nats
