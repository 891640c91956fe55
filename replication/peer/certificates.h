// The PEM files of a broker: which server id a certificate speaks for, and whether they can be used
// now.
//
// A certificate's server id is what follows "bascule://" in the one URI of that scheme among its
// subject alternative names; without one, its common name. Host names are not looked at: a broker
// is who its certificate says, wherever it runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/file_system.h"

namespace bascule::peer {

struct PemFiles {
  std::string ca;  // paths
  std::string cert;
  std::string key;
};

struct PemTexts {
  std::string ca;
  std::string cert;  // may be followed by intermediate ones
  std::string key;
  // The certificates of `cert` and the key, read and written again: nothing else that was in the
  // files, and nothing that was not checked.
  std::string combined;
};

// The server id of the first certificate in `pem`. InvalidArgument when it is none or names nobody.
absl::StatusOr<std::string> CertificateServerId(std::string_view pem);

// Reads the three. InvalidArgument naming the file and the remedy: not readable, not PEM, the
// certificate is another broker's, not of this key, not of this authority, or too weak.
absl::StatusOr<PemTexts> LoadPem(const PemFiles& paths, std::string_view server_id,
                                 FileSystem& files);

// Makes `path` the file of `combined`, for its owner only; leaves it alone when it is that already.
// FailedPrecondition naming it and the remedy when it cannot be written.
absl::Status WriteCombined(FileSystem& files, const std::string& path, std::string_view combined);

// Which side of a connection a certificate is shown by.
enum class PeerRole : uint8_t { kDialler, kAcceptor };

// Whether one of the authorities in `ca` has signed the first certificate of `pem`, with those of
// `chain` between them, for this role, with keys and signatures of OpenSSL's security level 2 (RSA
// of 2048 bits, SHA-256). InvalidArgument: it has not, or one above the certificate is not valid at
// `now`. FailedPrecondition: all is right and every signature checked, but the certificate itself is
// not valid at `now`. Texts of dates have the date and the remedy.
absl::Status VerifyCertificate(std::string_view pem, std::string_view chain, std::string_view ca,
                               PeerRole role, Timestamp now);

// InvalidArgument with the date and the remedy: the certificate of `texts`, or an authority that it
// leads to, is not valid at `now`.
absl::Status CheckDates(const PemFiles& paths, const PemTexts& texts, Timestamp now);
// A sentence for each certificate that cannot be used at `now`, or ends within 14 days; empty = all
// is well.
std::vector<std::string> ValidityWarnings(const PemFiles& paths, const PemTexts& texts,
                                          Timestamp now);
// The same of the first certificate of `pem`, which is called `what`. `remedy`: what is to be done.
std::vector<std::string> ExpiryWarnings(const std::string& what, std::string_view pem,
                                        Timestamp now, std::string_view remedy);
// InvalidArgument with such a sentence: it is not valid at `now`.
absl::Status CheckDate(const std::string& what, std::string_view pem, Timestamp now,
                       std::string_view remedy);
// The remedy for a certificate between brokers.
extern const std::string_view kRenewPeerCertificate;

}  // namespace bascule::peer
