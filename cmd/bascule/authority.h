// The certificates of a cluster: one authority, and one certificate for each broker, which says the
// broker's server id (a URI bascule://<server id>). Keys are ECDSA on P-256. Pure but for the
// random numbers of the keys, which OpenSSL draws.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule::cli {

struct PemPair {
  std::string cert;
  std::string key;
};

// Valid from an hour before `now`, because clocks differ, for `days`.
absl::StatusOr<PemPair> MakeAuthority(Timestamp now, int days);

// Good for both ends of a connection. `hosts`: names and addresses that the broker is reached by
// besides. It does not outlive the authority. InvalidArgument: an authority that cannot sign, a
// server id (see IsCertifiableServerId) or host that no certificate can carry.
absl::StatusOr<PemPair> MakeBrokerCertificate(const PemPair& authority,
                                              const std::string& server_id,
                                              const std::vector<std::string>& hosts, Timestamp now,
                                              int days);

// limits::kServerIdBytes letters, digits, '_' and '-', as a broker takes it, and neither of the last two
// first: it becomes a file name too.
bool IsCertifiableServerId(std::string_view server_id);

// An IP address or a host name, without a port.
bool IsCertifiableHost(const std::string& host);

// "Nov 23 08:00:00 2036 GMT", the end of the first certificate in `cert`; empty when there is none.
std::string EndOfValidity(const std::string& cert);

}  // namespace bascule::cli
