// NATS credentials made for one test: NKeys, and the JWTs of an operator, an account and a user.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule {

// One Ed25519 key pair in NATS's printable form. `fill` makes it repeatable.
class TestNkey {
 public:
  static constexpr uint8_t kOperator = 14 << 3, kAccount = 0, kUser = 20 << 3;

  TestNkey(uint8_t type, char fill) : type_(type), raw_(32, fill) {
    key_.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(raw_), raw_.size()));
    BASCULE_CHECK(key_ != nullptr);
  }
  std::string Seed() const {
    std::string out{static_cast<char>(18 << 3 | type_ >> 5), static_cast<char>((type_ & 31) << 3)};
    return Printable(out + raw_);
  }
  std::string Public() const {
    unsigned char bytes[32];
    size_t length = sizeof(bytes);
    BASCULE_CHECK(EVP_PKEY_get_raw_public_key(key_.get(), bytes, &length) == 1);
    return Printable(std::string(1, static_cast<char>(type_)) +
                     std::string(reinterpret_cast<char*>(bytes), length));
  }
  // A token about `subject`, signed by this key. `nats`: what stands in the claim of that name.
  std::string Sign(const TestNkey& subject, const std::string& name,
                   const std::string& nats) const {
    const std::string head = Base64(R"({"typ":"JWT","alg":"ed25519-nkey"})");
    const std::string body =
        Base64(Concat(R"({"jti":"test","iat":1600000000,"iss":")", Public(), R"(","name":")", name,
                      R"(","sub":")", subject.Public(), R"(","nats":)", nats, "}"));
    const std::string text = head + "." + body;
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free);
    unsigned char signature[64];
    size_t length = sizeof(signature);
    BASCULE_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1);
    BASCULE_CHECK(EVP_DigestSign(context.get(), signature, &length, Bytes(text), text.size()) == 1);
    return text + "." + Base64(std::string(reinterpret_cast<char*>(signature), length));
  }

 private:
  static const unsigned char* Bytes(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  }
  static std::string Encode(std::string_view bytes, std::string_view alphabet, int width) {
    std::string out;
    uint32_t bits = 0;
    int count = 0;
    const uint32_t mask = (1U << width) - 1;
    for (const char c : bytes) {
      bits = bits << 8 | static_cast<uint8_t>(c);
      for (count += 8; count >= width; count -= width)
        out += alphabet[bits >> (count - width) & mask];
    }
    if (count > 0) out += alphabet[bits << (width - count) & mask];
    return out;
  }
  static std::string Base64(std::string_view bytes) {
    return Encode(bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 6);
  }
  static std::string Printable(std::string bytes) {
    uint16_t crc = 0;
    for (const char c : bytes) {
      crc = static_cast<uint16_t>(crc ^ static_cast<uint8_t>(c) << 8);
      for (int i = 0; i < 8; ++i)
        crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    bytes += static_cast<char>(crc & 0xff);
    bytes += static_cast<char>(crc >> 8);
    return Encode(bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5);
  }

  const uint8_t type_;
  const std::string raw_;
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_{nullptr, &EVP_PKEY_free};
};

// What a server needs to trust one user, and what that user shows.
struct TestTrust {
  TestNkey op{TestNkey::kOperator, 'o'};
  TestNkey account{TestNkey::kAccount, 'a'};
  TestNkey user{TestNkey::kUser, 'u'};

  std::string ServerConfig() const {
    const std::string operator_jwt = op.Sign(op, "op", R"({"type":"operator","version":2})");
    const std::string account_jwt = op.Sign(
        account, "acc",
        R"({"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,)"
        R"("leaf":-1},)"
        R"("type":"account","version":2})");
    return Concat("operator: ", operator_jwt, "\nresolver: MEMORY\nresolver_preload: {\n  ",
                  account.Public(), ": ", account_jwt, "\n}\n");
  }
  std::string CredsFile() const {
    const std::string jwt = account.Sign(
        user, "user",
        R"({"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user","version":2})");
    return Concat("-----BEGIN NATS USER JWT-----\n", jwt, "\n------END NATS USER JWT------\n\n",
                  "-----BEGIN USER NKEY SEED-----\n", user.Seed(),
                  "\n------END USER NKEY SEED------\n");
  }
};

}  // namespace bascule
