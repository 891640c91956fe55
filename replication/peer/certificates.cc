#include "replication/peer/certificates.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <optional>
#include <span>
#include <utility>

#include "core/base/limits.h"
#include "core/base/openssl_handles.h"
#include "core/base/text.h"
#include "replication/peer/frame.h"

namespace bascule::peer {

const std::string_view kRenewPeerCertificate =
    "make a new one (bascule cluster certs --force) over it, no restart is needed";

namespace {

using openssl::BioPtr;
using openssl::KeyPtr;
using openssl::Memory;
using openssl::NamesPtr;
using openssl::NoPassphrase;
using openssl::X509Ptr;

constexpr size_t kMaxPemBytes = 4 * limits::kMiB;
constexpr std::string_view kScheme = "bascule://";
constexpr time_t kSoonSeconds = 14 * 24 * 3600;

// Not what is in it.
void FreeStack(STACK_OF(X509) * stack) { sk_X509_free(stack); }

using StorePtr = openssl::Owned<X509_STORE, &X509_STORE_free>;
using StackPtr = openssl::Owned<STACK_OF(X509), &FreeStack>;
using StoreContextPtr = openssl::Owned<X509_STORE_CTX, &X509_STORE_CTX_free>;

// The certificates of a PEM text, in their order.
std::vector<X509Ptr> ReadCertificates(std::string_view pem) {
  std::vector<X509Ptr> out;
  const BioPtr bio = Memory(pem);
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, &NoPassphrase, nullptr))
    out.emplace_back(next);
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  return out;
}

std::string Text(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<size_t>(ASN1_STRING_length(text)));
}

std::string CommonName(X509* certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return "";
  return Text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

std::vector<std::string> BrokerUris(X509* certificate) {
  std::vector<std::string> out;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    std::string uri = Text(name->d.uniformResourceIdentifier);
    if (uri.starts_with(kScheme)) out.push_back(uri.substr(kScheme.size()));
  }
  return out;
}

absl::StatusOr<std::string> ReadPemFile(FileSystem& files, std::string_view setting,
                                        const std::string& path) {
  const auto failed = [&](const auto& why) {
    return absl::InvalidArgumentError(
        Concat(setting, ": cannot use ", path, ": ", why,
               " (bascule cluster certs makes what a cluster needs)"));
  };
  if (path.empty()) return failed("it is not set");
  auto file = files.Open(path, OpenMode::kRead);
  if (!file.ok()) return failed(FromAbsl(file.status().message()));
  auto text = ReadWhole(**file, kMaxPemBytes);
  if (!text.ok()) return failed(FromAbsl(text.status().message()));
  if (text->find("-----BEGIN ") == std::string::npos) return failed("it is not a PEM file");
  return text;
}

// OpenSSL's security level of everything in a chain: RSA of 2048 bits, SHA-256. A store of our own
// has none, unlike that of a TLS connection.
constexpr int kSecurityLevel = 2;

struct Verdict {
  int code = X509_V_ERR_OUT_OF_MEM;  // X509_V_OK, or OpenSSL's number of what is wrong
  X509Ptr bad;                       // with which certificate; nullptr: not known
  bool weak() const {
    return code == X509_V_ERR_EE_KEY_TOO_SMALL || code == X509_V_ERR_CA_KEY_TOO_SMALL ||
           code == X509_V_ERR_CA_MD_TOO_WEAK;
  }
  bool date() const {
    return code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID;
  }
  std::string text() const { return X509_verify_cert_error_string(code); }
};

// Whether `leaf` leads to one of `authorities` by way of some of `between`. `purpose`: as OpenSSL
// names it; nullptr = any. Dates are not looked at without `at`.
Verdict Verify(X509* leaf, std::span<const X509Ptr> between,
               const std::vector<X509Ptr>& authorities, const char* purpose,
               std::optional<time_t> at) {
  Verdict verdict;
  const StorePtr store(X509_STORE_new());
  const StackPtr rest(sk_X509_new_null());
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (store == nullptr || rest == nullptr || context == nullptr) return verdict;
  for (const X509Ptr& authority : authorities)
    if (X509_STORE_add_cert(store.get(), authority.get()) != 1) return verdict;
  for (const X509Ptr& certificate : between)
    if (sk_X509_push(rest.get(), certificate.get()) <= 0) return verdict;
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf, rest.get()) != 1) return verdict;
  if (purpose != nullptr && X509_STORE_CTX_set_default(context.get(), purpose) != 1) return verdict;
  X509_VERIFY_PARAM* how = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_auth_level(how, kSecurityLevel);
  if (at.has_value()) {
    X509_VERIFY_PARAM_set_time(how, *at);
  } else {
    X509_VERIFY_PARAM_set_flags(how, X509_V_FLAG_NO_CHECK_TIME);
  }
  const bool good = X509_verify_cert(context.get()) == 1;
  verdict.code = good ? X509_V_OK : X509_STORE_CTX_get_error(context.get());
  if (!good && verdict.code == X509_V_OK) verdict.code = X509_V_ERR_UNSPECIFIED;
  X509* bad = X509_STORE_CTX_get_current_cert(context.get());
  if (!good && bad != nullptr && X509_up_ref(bad) == 1) verdict.bad.reset(bad);
  ERR_clear_error();
  return verdict;
}

// The texts of `chain` and `key` again; empty: OpenSSL has no memory.
std::string WriteAgain(const std::vector<X509Ptr>& chain, EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  bool written = bio != nullptr;
  for (const X509Ptr& certificate : chain)
    written = written && PEM_write_bio_X509(bio.get(), certificate.get()) == 1;
  written = written && PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr,
                                                     nullptr) == 1;
  ERR_clear_error();
  if (!written) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string DateText(const ASN1_TIME* time) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (ASN1_TIME_print(bio.get(), time) != 1) return "an unreadable date";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

void AddWarning(std::vector<std::string>& out, const std::string& what, X509* certificate,
                time_t now, std::string_view remedy = kRenewPeerCertificate) {
  const ASN1_TIME* begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* end = X509_get0_notAfter(certificate);
  time_t soon = now + kSoonSeconds;
  if (X509_cmp_time(end, &now) < 0) {
    out.push_back(Concat(what, " expired on ", DateText(end),
                         ": no new connection can be made with it; ", remedy));
  } else if (X509_cmp_time(begin, &now) > 0) {
    out.push_back(Concat(what, " is not valid before ", DateText(begin),
                         ": no new connection can be made with it; are the clocks of both machines "
                         "right?"));
  } else if (X509_cmp_time(end, &soon) < 0) {
    out.push_back(Concat(what, " expires on ", DateText(end), ": before that ", remedy));
  }
}

bool IsValid(X509* certificate, time_t now) {
  return X509_cmp_time(X509_get0_notAfter(certificate), &now) >= 0 &&
         X509_cmp_time(X509_get0_notBefore(certificate), &now) <= 0;
}

time_t Seconds(Timestamp now) { return static_cast<time_t>(now.value() / 1'000'000'000); }

}  // namespace

absl::StatusOr<std::string> CertificateServerId(std::string_view pem) {
  const std::vector<X509Ptr> chain = ReadCertificates(pem);
  if (chain.empty()) return absl::InvalidArgumentError("there is no certificate in it");
  std::vector<std::string> uris = BrokerUris(chain[0].get());
  if (uris.size() > 1) {
    return absl::InvalidArgumentError(
        Concat("it names ", uris.size(), " brokers (", kScheme, "...), and may name one"));
  }
  std::string id = uris.empty() ? CommonName(chain[0].get()) : std::move(uris[0]);
  if (id.empty() || id.size() > limits::kPeerNameBytes || id.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        Concat("it names no broker: neither a URI ", kScheme, "<server id> nor a common name"));
  }
  return id;
}

absl::StatusOr<PemTexts> LoadPem(const PemFiles& paths, std::string_view server_id,
                                 FileSystem& files) {
  PemTexts texts;
  ASSIGN_OR_RETURN(texts.ca, ReadPemFile(files, "cluster.tls.ca", paths.ca));
  ASSIGN_OR_RETURN(texts.cert, ReadPemFile(files, "cluster.tls.cert", paths.cert));
  ASSIGN_OR_RETURN(texts.key, ReadPemFile(files, "cluster.tls.key", paths.key));
  const auto bad = [](const auto&... words) {
    return absl::InvalidArgumentError(Concat(words...));
  };
  const auto named = CertificateServerId(texts.cert);
  if (!named.ok()) return bad("cluster.tls.cert: ", paths.cert, ": ", named.status().message());
  if (*named != server_id) {
    return bad("cluster.tls.cert: ", paths.cert, " is the certificate of broker '", *named,
               "', and this one is '", server_id,
               "': make one for it (bascule cluster certs "
               "--server-id ",
               server_id, "), or set clustering.server.id");
  }
  const std::vector<X509Ptr> chain = ReadCertificates(texts.cert);
  const BioPtr bio = Memory(texts.key);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return bad("cluster.tls.key: ", paths.key, " holds no private key without a passphrase");
  }
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) {
    ERR_clear_error();
    return bad("cluster.tls.key: ", paths.key, " is not the key of the certificate ", paths.cert);
  }
  const std::vector<X509Ptr> authorities = ReadCertificates(texts.ca);
  if (authorities.empty()) return bad("cluster.tls.ca: no certificate in ", paths.ca);
  // Dates are not looked at: ValidityWarnings tells of them, and they may become right.
  const Verdict verdict = Verify(chain[0].get(), std::span(chain).subspan(1), authorities,
                                 /*purpose=*/nullptr, std::nullopt);
  if (verdict.weak()) {
    return bad("cluster.tls.cert: ", paths.cert,
               " (with those above it) is too weak: ", verdict.text(),
               "; RSA keys need 2048 bits, signatures SHA-256 ",
               "(bascule cluster certs makes what a cluster needs)");
  }
  if (verdict.code != X509_V_OK) {
    return bad("cluster.tls.cert: ", paths.cert, " was not made by the authority in ", paths.ca,
               ": ", verdict.text());
  }
  texts.combined = WriteAgain(chain, key.get());
  if (texts.combined.empty()) {
    return bad("cluster.tls.key: OpenSSL cannot write the key in ", paths.key, " again");
  }
  return texts;
}

absl::Status WriteCombined(FileSystem& files, const std::string& path, std::string_view combined) {
  if (files.Exists(path)) {
    const auto file = files.Open(path, OpenMode::kRead);
    const auto text = file.ok() ? ReadWhole(**file, kMaxPemBytes) : file.status();
    if (text.ok() && *text == combined) return absl::OkStatus();
  }
  const absl::Status status = WriteFileAtomically(files, path, combined, OpenMode::kReplacePrivate);
  if (status.ok()) return status;
  return absl::FailedPreconditionError(
      Concat("the broker's certificate and key cannot be written to ", path, ": ",
             FromAbsl(status.message()), ": let this process write there"));
}

absl::Status VerifyCertificate(std::string_view pem, std::string_view chain, std::string_view ca,
                               PeerRole role, Timestamp now) {
  const std::vector<X509Ptr> leaf = ReadCertificates(pem);
  const std::vector<X509Ptr> between = ReadCertificates(chain);
  const std::vector<X509Ptr> authorities = ReadCertificates(ca);
  if (leaf.empty()) return absl::InvalidArgumentError("there is no certificate");
  const auto named = CertificateServerId(pem);
  const std::string what =
      named.ok() ? Concat("the certificate of broker ", Quoted(*named)) : "the certificate there";
  const char* purpose = role == PeerRole::kDialler ? "ssl_client" : "ssl_server";
  Verdict verdict = Verify(leaf[0].get(), between, authorities, purpose, Seconds(now));
  std::vector<std::string> dates;
  bool own = false;
  if (verdict.date() && verdict.bad != nullptr) {
    own = X509_cmp(verdict.bad.get(), leaf[0].get()) == 0;
    AddWarning(dates, own ? what : Concat("an authority of ", what), verdict.bad.get(),
               Seconds(now));
    // OpenSSL begins at the authority, and ends at the first fault: what is below that date has not
    // been looked at.
    Verdict timeless = Verify(leaf[0].get(), between, authorities, purpose, std::nullopt);
    if (timeless.code != X509_V_OK) {
      verdict = std::move(timeless);
      dates.clear();
    }
  }
  if (verdict.code == X509_V_OK) return absl::OkStatus();
  if (!dates.empty())
    return own ? absl::FailedPreconditionError(dates[0]) : absl::InvalidArgumentError(dates[0]);
  if (verdict.weak()) {
    return absl::InvalidArgumentError(Concat(what,
                                             " (with those above it) is too weak: ", verdict.text(),
                                             "; RSA keys need 2048 bits, signatures SHA-256"));
  }
  return absl::InvalidArgumentError(
      Concat(what, " is not one of this cluster's authority: ", verdict.text()));
}

absl::Status CheckDates(const PemFiles& paths, const PemTexts& texts, Timestamp now) {
  const std::vector<X509Ptr> chain = ReadCertificates(texts.cert);
  if (chain.empty()) return absl::InvalidArgumentError("there is no certificate");
  const Verdict verdict = Verify(chain[0].get(), std::span(chain).subspan(1),
                                 ReadCertificates(texts.ca), /*purpose=*/nullptr, Seconds(now));
  if (!verdict.date() || verdict.bad == nullptr) return absl::OkStatus();
  const bool own = X509_cmp(verdict.bad.get(), chain[0].get()) == 0;
  std::vector<std::string> dates;
  AddWarning(dates, Concat(own ? "" : "an authority of ", "the broker's certificate ", paths.cert),
             verdict.bad.get(), Seconds(now));
  return dates.empty() ? absl::OkStatus() : absl::InvalidArgumentError(dates[0]);
}

std::vector<std::string> ValidityWarnings(const PemFiles& paths, const PemTexts& texts,
                                          Timestamp now) {
  std::vector<std::string> out;
  const auto check = [&](std::string_view what, const std::string& path, const std::string& pem) {
    for (const X509Ptr& certificate : ReadCertificates(pem))
      AddWarning(out, Concat(what, " ", path), certificate.get(), Seconds(now));
  };
  check("the broker's certificate", paths.cert, texts.cert);
  check("the cluster's authority", paths.ca, texts.ca);
  return out;
}

absl::Status CheckDate(const std::string& what, std::string_view pem, Timestamp now,
                       std::string_view remedy) {
  const std::vector<X509Ptr> certificates = ReadCertificates(pem);
  if (certificates.empty() || IsValid(certificates[0].get(), Seconds(now))) return absl::OkStatus();
  std::vector<std::string> dates;
  AddWarning(dates, what, certificates[0].get(), Seconds(now), remedy);
  return dates.empty() ? absl::OkStatus() : absl::InvalidArgumentError(dates[0]);
}

std::vector<std::string> ExpiryWarnings(const std::string& what, std::string_view pem,
                                        Timestamp now, std::string_view remedy) {
  std::vector<std::string> out;
  const std::vector<X509Ptr> certificates = ReadCertificates(pem);
  if (!certificates.empty()) AddWarning(out, what, certificates[0].get(), Seconds(now), remedy);
  return out;
}

}  // namespace bascule::peer
