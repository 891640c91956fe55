// Who this client is to a NATS server: of the options that say so, one, with what its files hold now. Any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"
#include "nats_bridge/nats_options.h"
#include "nats_bridge/server_info.h"
#include "nats_bridge/server_url.h"

namespace bascule::nats {

struct Login {
  std::string user;
  std::string password;
  std::string token;
  std::string jwt;         // of a creds file, with `seed`
  std::string seed;        // "SU...", signs the nonce
  std::string public_key;  // "U...", of an NKey seed file, with `seed`
};

// A whole file that an option names. Errors name the option: those of opening and reading a file, and
// ResourceExhausted past limits::kCredentialFileBytes.
absl::StatusOr<std::string> ReadCredential(const std::string& path, std::string_view option);

// InvalidArgument: more than one option, or a file that holds no such thing; or an error of ReadCredential.
// The text names the option and the file.
absl::StatusOr<Login> ReadLogin(const NatsOptions& options);

// What CONNECT says of `login` to the server at `url`: what stands in the URL is all that is said, if anything
// stands there. Signatures are made of `nonce`; a server that sent none is told no key. Internal: OpenSSL
// refused to sign.
absl::Status SayLogin(const Login& login, const ServerUrl& url, std::string_view nonce,
                      ConnectFields& out);

}  // namespace bascule::nats
