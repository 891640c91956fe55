// Which certificates are good enough.
#include <doctest/doctest.h>
#include <openssl/pem.h>

#include "core/base/openssl_handles.h"
#include "replication/peer/certificates.h"
#include "tests/unit/peer_world.h"

namespace bascule {
namespace {

constexpr Timestamp kMade(1'700'000'000'000'000'000);

Timestamp AtDay(int days) {
  return kMade + std::chrono::nanoseconds(std::chrono::hours(24 * days)).count();
}

struct LeafPlan {
  const char* server_id = "b1";
  int from_day = 0;
  int to_day = 20;
  int rsa_bits = 0;  // 0: P-256
  const EVP_MD* digest = EVP_sha256();
  // Signs in the place of the authority, and says that it was the authority.
  const cli::PemPair* forger = nullptr;
};

std::string Taken(const openssl::BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

cli::PemPair MakeLeaf(const cli::PemPair& authority, const LeafPlan& plan) {
  using namespace openssl;
  const cli::PemPair& by = plan.forger != nullptr ? *plan.forger : authority;
  const X509Ptr issuer(
      PEM_read_bio_X509(Memory(authority.cert).get(), nullptr, &NoPassphrase, nullptr));
  const KeyPtr signer(
      PEM_read_bio_PrivateKey(Memory(by.key).get(), nullptr, &NoPassphrase, nullptr));
  const KeyPtr key(plan.rsa_bits != 0 ? EVP_RSA_gen(static_cast<unsigned>(plan.rsa_bits))
                                      : EVP_EC_gen("P-256"));
  const X509Ptr leaf(X509_new());
  REQUIRE((issuer != nullptr && signer != nullptr && key != nullptr && leaf != nullptr));
  X509* raw = leaf.get();
  const auto seconds_of = [](int day) { return AtDay(day).value() / 1'000'000'000; };
  const auto* name = reinterpret_cast<const unsigned char*>(plan.server_id);
  REQUIRE(X509_set_version(raw, X509_VERSION_3) == 1);
  REQUIRE(ASN1_INTEGER_set(X509_get_serialNumber(raw), 7) == 1);
  REQUIRE(ASN1_TIME_set(X509_getm_notBefore(raw), seconds_of(plan.from_day)) != nullptr);
  REQUIRE(ASN1_TIME_set(X509_getm_notAfter(raw), seconds_of(plan.to_day)) != nullptr);
  REQUIRE(X509_set_issuer_name(raw, X509_get_subject_name(issuer.get())) == 1);
  REQUIRE(X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8, name, -1, -1,
                                     0) == 1);
  REQUIRE(X509_set_pubkey(raw, key.get()) == 1);
  REQUIRE(X509_sign(raw, signer.get(), plan.digest) > 0);
  const BioPtr cert_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_X509(cert_text.get(), raw) == 1);
  REQUIRE(PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                        nullptr) == 1);
  return {Taken(cert_text), Taken(key_text)};
}

bool Has(const absl::Status& status, const std::string& part) {
  return std::string(status.message()).find(part) != std::string::npos;
}

TEST_CASE("peer certificates: weak keys and signatures are refused, at the start too") {
  PeerCertificates certificates(kMade);
  const cli::PemPair& authority = certificates.authority();
  const peer::PemFiles paths{certificates.Path("ca.pem"), certificates.Path("w.pem"),
                             certificates.Path("w.key")};
  const auto check = [&](const LeafPlan& plan, bool good) {
    const cli::PemPair leaf = MakeLeaf(authority, plan);
    for (const peer::PeerRole role : {peer::PeerRole::kDialler, peer::PeerRole::kAcceptor}) {
      const absl::Status status =
          peer::VerifyCertificate(leaf.cert, "", authority.cert, role, AtDay(1));
      CHECK_MESSAGE(status.ok() == good, status.ToString());
      CHECK_MESSAGE((good || (absl::IsInvalidArgument(status) && Has(status, "is too weak: "))),
                    status.ToString());
    }
    certificates.Write("w.pem", leaf.cert);
    certificates.Write("w.key", leaf.key);
    const absl::Status status = peer::LoadPem(paths, "b1", RealFileSystem()).status();
    CHECK_MESSAGE(status.ok() == good, status.ToString());
    CHECK_MESSAGE((good || Has(status, paths.cert + " (with those above it) is too weak: ")),
                  status.ToString());
  };
  LeafPlan plan;
  check(plan, true);
  plan.rsa_bits = 2048;
  check(plan, true);
  plan.rsa_bits = 1024;
  check(plan, false);
  plan.rsa_bits = 0;
  plan.digest = EVP_sha1();
  check(plan, false);
}

TEST_CASE("peer certificates: a date is told only of what the authority has signed") {
  PeerCertificates certificates(kMade), others(kMade);
  const cli::PemPair& authority = certificates.authority();  // 30 days
  LeafPlan forged;
  forged.to_day = 400;
  forged.forger = &others.authority();
  const std::string forgery = MakeLeaf(authority, forged).cert;
  const auto verify = [&](const std::string& pem, int day) {
    return peer::VerifyCertificate(pem, "", authority.cert, peer::PeerRole::kDialler, AtDay(day));
  };
  // Its authority has expired, which OpenSSL sees before the signature.
  CHECK(absl::IsInvalidArgument(verify(forgery, 40)));
  CHECK_MESSAGE(Has(verify(forgery, 40), "is not one of this cluster's authority"),
                verify(forgery, 40).ToString());
  CHECK(absl::IsInvalidArgument(verify(forgery, 1)));
  forged.to_day = 5;
  CHECK_FALSE(Has(verify(MakeLeaf(authority, forged).cert, 10), "expired"));
  // A true one: its own date, and that of the authority.
  LeafPlan honest;
  const std::string mine = MakeLeaf(authority, honest).cert;
  CHECK(verify(mine, 10).ok());
  CHECK(absl::IsFailedPrecondition(verify(mine, 25)));
  CHECK(absl::IsInvalidArgument(verify(mine, 40)));
  CHECK_MESSAGE(Has(verify(mine, 40), "an authority of the certificate of broker 'b1' expired"),
                verify(mine, 40).ToString());
}

}  // namespace
}  // namespace bascule
