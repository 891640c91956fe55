#include "nats_bridge/login.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "core/base/text.h"
#include "core/env/file_system.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/nkey.h"

namespace bascule::nats {
namespace {

absl::Status WithContext(const absl::Status& status, std::string_view option) {
  return absl::Status(status.code(), Concat("nats: ", option, ": ", status.message()));
}

// The JWT in a creds file: what stands between the lines that begin and end it; empty: there is none.
std::string FindJwt(std::string_view text) {
  constexpr std::string_view kBegin = "-BEGIN NATS USER JWT-";
  const size_t begin = text.find(kBegin);
  if (begin == std::string_view::npos) return {};
  const size_t line = text.find('\n', begin);
  if (line == std::string_view::npos) return {};
  const size_t end = text.find("-END NATS USER JWT-", line);
  if (end == std::string_view::npos) return {};
  // Back over the dashes of the closing line.
  size_t last = end;
  while (last > line && text[last - 1] == '-') --last;
  return std::string(absl::StripAsciiWhitespace(ToAbsl(text.substr(line, last - line))));
}

absl::StatusOr<Login> FromCreds(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadCredential(path, "creds file"));
  Login out;
  out.jwt = FindJwt(text);
  out.seed = FindNkeySeed(text);
  if (out.jwt.empty() || out.seed.empty()) {
    return absl::InvalidArgumentError(
        Concat("nats: creds file '", path,
               "' lacks a user JWT or an NKey seed; write it with `nsc generate creds`"));
  }
  if (const auto key = NkeyPublicFromSeed(out.seed); !key.ok())
    return WithContext(key.status(), Concat("creds file '", path, "'"));
  return out;
}

absl::StatusOr<Login> FromSeed(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadCredential(path, "NKey seed file"));
  Login out;
  out.seed = FindNkeySeed(text);
  auto key = NkeyPublicFromSeed(out.seed);
  if (!key.ok()) return WithContext(key.status(), Concat("NKey seed file '", path, "'"));
  out.public_key = *std::move(key);
  return out;
}

}  // namespace

absl::StatusOr<std::string> ReadCredential(const std::string& path, std::string_view option) {
  auto file = RealFileSystem().Open(path, OpenMode::kRead);
  if (!file.ok()) return WithContext(file.status(), option);
  auto text = ReadWhole(**file, limits::kCredentialFileBytes);
  if (!text.ok()) return WithContext(text.status(), option);
  return text;
}

absl::StatusOr<Login> ReadLogin(const NatsOptions& options) {
  const int kinds = !options.user.empty() + !options.token.empty() + !options.creds_file.empty() +
                    !options.nkey_seed_file.empty();
  if (kinds > 1) {
    return absl::InvalidArgumentError(
        "nats: more than one of user, token, creds file and NKey seed file is set; keep one");
  }
  if (!options.creds_file.empty()) return FromCreds(options.creds_file);
  if (!options.nkey_seed_file.empty()) return FromSeed(options.nkey_seed_file);
  Login out;
  out.user = options.user;
  if (!out.user.empty()) out.password = options.password;
  out.token = options.token;
  return out;
}

absl::Status SayLogin(const Login& login, const ServerUrl& url, std::string_view nonce,
                      ConnectFields& out) {
  const bool by_url = !url.user.empty() || !url.token.empty();
  out.user = by_url ? url.user : login.user;
  out.password = by_url ? url.password : login.password;
  out.token = by_url ? url.token : login.token;
  if (by_url || login.seed.empty() || nonce.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string signature, SignWithNkey(login.seed, nonce));
  out.jwt = login.jwt;
  out.nkey = login.public_key;
  out.signature = absl::WebSafeBase64Escape(signature);
  return absl::OkStatus();
}

}  // namespace bascule::nats
