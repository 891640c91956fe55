// Includes its headers by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "authority.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/limits.h"
#include "core/base/openssl_handles.h"

namespace bascule::cli {
namespace {

using openssl::BioPtr;
using openssl::KeyPtr;
using openssl::Memory;
using openssl::NamesPtr;
using openssl::NoPassphrase;
using openssl::X509Ptr;

static_assert(limits::kServerIdBytes <= 64, "X.520's bound of a common name");
constexpr size_t kMaxLabelBytes = 63;
constexpr int64_t kClockSkewSeconds = 3600;
constexpr int64_t kDaySeconds = 24 * 3600;
constexpr int kSerialBits = 127;

using NumberPtr = openssl::Owned<BIGNUM, &BN_free>;
using TimePtr = openssl::Owned<ASN1_TIME, &ASN1_TIME_free>;
using ExtensionPtr = openssl::Owned<X509_EXTENSION, &X509_EXTENSION_free>;

absl::Status OpenSslError(const char* what) {
  char text[256] = "no reason given";
  if (const unsigned long code = ERR_get_error(); code != 0)
    ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat("OpenSSL cannot ", what, ": ", text));
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

bool SetPeriod(X509* certificate, Timestamp now, int days) {
  const int64_t seconds = now.value() / 1'000'000'000;
  return ASN1_TIME_set(X509_getm_notBefore(certificate), seconds - kClockSkewSeconds) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), seconds + days * kDaySeconds) != nullptr;
}

bool SetSerial(X509* certificate) {
  const NumberPtr number(BN_new());
  return BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

// `value` as in OpenSSL's configuration files; never from outside.
bool AddExtension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool AddCommonName(X509_NAME* name, const std::string& text) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

bool AddName(GENERAL_NAMES* names, int kind, const std::string& text) {
  std::unique_ptr<GENERAL_NAME, openssl::Freer<&GENERAL_NAME_free>> name(GENERAL_NAME_new());
  if (kind == GEN_IPADD) {
    ASN1_OCTET_STRING* address = a2i_IPADDRESS(text.c_str());
    if (address == nullptr) {
      ERR_clear_error();
      return false;
    }
    GENERAL_NAME_set0_value(name.get(), kind, address);
  } else {
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
    GENERAL_NAME_set0_value(name.get(), kind, value);
  }
  return sk_GENERAL_NAME_push(names, name.release()) > 0;
}

// Labels of letters, digits and '-' between dots.
bool IsDnsName(std::string_view name) {
  size_t label = 0;
  for (const char c : name) {
    const bool ends = c == '.';
    if (ends ? label == 0 : !absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-')
      return false;
    label = ends ? 0 : label + 1;
    if (label > kMaxLabelBytes) return false;
  }
  return label > 0 && name.size() <= limits::kHostBytes && name.front() != '-';
}

absl::StatusOr<NamesPtr> AlternativeNames(const std::string& server_id,
                                          const std::vector<std::string>& hosts) {
  NamesPtr names(GENERAL_NAMES_new());
  AddName(names.get(), GEN_URI, "bascule://" + server_id);
  if (IsDnsName(server_id)) AddName(names.get(), GEN_DNS, server_id);
  for (const std::string& host : hosts) {
    if (AddName(names.get(), GEN_IPADD, host)) continue;
    if (!IsDnsName(host)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", host, "' is neither an IP address nor a host name (without a port)"));
    }
    if (host != server_id) AddName(names.get(), GEN_DNS, host);
  }
  return names;
}

absl::StatusOr<PemPair> ToPem(X509* certificate, EVP_PKEY* key) {
  const BioPtr cert_text(BIO_new(BIO_s_mem()));
  const BioPtr key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(cert_text.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return OpenSslError("write a certificate");
  }
  return PemPair{TextOf(cert_text.get()), TextOf(key_text.get())};
}

}  // namespace

bool IsCertifiableServerId(std::string_view server_id) {
  if (server_id.empty() || server_id.size() > limits::kServerIdBytes) return false;
  if (!absl::ascii_isalnum(static_cast<unsigned char>(server_id[0]))) return false;
  return std::all_of(server_id.begin(), server_id.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
}

absl::StatusOr<PemPair> MakeAuthority(Timestamp now, int days) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("make a key");
  X509* raw = certificate.get();
  X509_NAME* name = X509_get_subject_name(raw);
  const bool made = X509_set_version(raw, X509_VERSION_3) == 1 && SetSerial(raw) &&
                    SetPeriod(raw, now, days) && AddCommonName(name, "Bascule cluster authority") &&
                    X509_set_issuer_name(raw, name) == 1 && X509_set_pubkey(raw, key.get()) == 1 &&
                    AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    AddExtension(raw, raw, NID_subject_key_identifier, "hash") &&
                    X509_sign(raw, key.get(), EVP_sha256()) > 0;
  if (!made) return OpenSslError("make an authority");
  return ToPem(raw, key.get());
}

absl::StatusOr<PemPair> MakeBrokerCertificate(const PemPair& authority,
                                              const std::string& server_id,
                                              const std::vector<std::string>& hosts, Timestamp now,
                                              int days) {
  if (!IsCertifiableServerId(server_id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a server id in a certificate has at most ", limits::kServerIdBytes,
                     " letters, digits, '_' and '-' and begins with one of the first two, unlike '",
                     server_id, "'"));
  }
  const X509Ptr issuer(
      PEM_read_bio_X509(Memory(authority.cert).get(), nullptr, &NoPassphrase, nullptr));
  const KeyPtr issuer_key(
      PEM_read_bio_PrivateKey(Memory(authority.key).get(), nullptr, &NoPassphrase, nullptr));
  ERR_clear_error();
  if (issuer == nullptr || issuer_key == nullptr || X509_check_ca(issuer.get()) != 1 ||
      X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "that is not the certificate of an authority together with its key (without a passphrase)");
  }
  auto names = AlternativeNames(server_id, hosts);
  if (!names.ok()) return names.status();

  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("make a key");
  X509* raw = certificate.get();
  bool made =
      X509_set_version(raw, X509_VERSION_3) == 1 && SetSerial(raw) && SetPeriod(raw, now, days) &&
      X509_set_issuer_name(raw, X509_get_subject_name(issuer.get())) == 1 &&
      X509_set_pubkey(raw, key.get()) == 1 && AddCommonName(X509_get_subject_name(raw), server_id);
  if (made && ASN1_TIME_compare(X509_get0_notAfter(raw), X509_get0_notAfter(issuer.get())) > 0)
    made = X509_set1_notAfter(raw, X509_get0_notAfter(issuer.get())) == 1;
  made = made && AddExtension(raw, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
         AddExtension(raw, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
         AddExtension(raw, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
         AddExtension(raw, issuer.get(), NID_subject_key_identifier, "hash") &&
         AddExtension(raw, issuer.get(), NID_authority_key_identifier, "keyid") &&
         X509_add1_ext_i2d(raw, NID_subject_alt_name, names->get(), 0, 0) == 1 &&
         X509_sign(raw, issuer_key.get(), EVP_sha256()) > 0;
  if (!made) return OpenSslError("make a certificate");
  return ToPem(raw, key.get());
}

bool IsCertifiableHost(const std::string& host) {
  const NamesPtr names(GENERAL_NAMES_new());
  return IsDnsName(host) || AddName(names.get(), GEN_IPADD, host);
}

std::string EndOfValidity(const std::string& cert) {
  const X509Ptr certificate(PEM_read_bio_X509(Memory(cert).get(), nullptr, &NoPassphrase, nullptr));
  ERR_clear_error();
  const BioPtr text(BIO_new(BIO_s_mem()));
  if (certificate == nullptr ||
      ASN1_TIME_print(text.get(), X509_get0_notAfter(certificate.get())) != 1)
    return "";
  return TextOf(text.get());
}

}  // namespace bascule::cli
