#include "nats_bridge/nats_setup.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/text.h"
#include "core/env/file_system.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/nkey.h"

namespace bascule::nats {
namespace {

constexpr char kDefaultUrl[] = "nats://127.0.0.1:4222";

absl::Status WithContext(const absl::Status& status, std::string_view option) {
  return absl::Status(status.code(), Concat("nats: ", option, ": ", status.message()));
}

absl::StatusOr<std::string> ReadCredential(const std::string& path, std::string_view option) {
  auto file = RealFileSystem().Open(path, OpenMode::kRead);
  if (!file.ok()) return WithContext(file.status(), option);
  auto text = ReadWhole(**file, limits::kCredentialFileBytes);
  if (!text.ok()) return WithContext(text.status(), option);
  return text;
}

// nats.c's own text says what OpenSSL disliked.
absl::Status FileRefused(std::string_view option, const std::string& path) {
  natsStatus last = NATS_OK;
  const char* text = nats_GetLastError(&last);
  return absl::InvalidArgumentError(Concat("nats: ", option, " '", path, "' cannot be used: ",
                                           text != nullptr ? text : "unknown reason"));
}

absl::Status SetCredentials(natsOptions* out, const NatsOptions& options) {
  const int kinds = !options.user.empty() + !options.token.empty() + !options.creds_file.empty() +
                    !options.nkey_seed_file.empty();
  if (kinds > 1) {
    return absl::InvalidArgumentError(
        "nats: more than one of user, token, creds file and NKey seed file is set; keep one");
  }
  if (!options.user.empty()) {
    return FromNats(natsOptions_SetUserInfo(out, options.user.c_str(), options.password.c_str()),
                    "user");
  }
  if (!options.token.empty())
    return FromNats(natsOptions_SetToken(out, options.token.c_str()), "token");
  if (!options.creds_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadCredential(options.creds_file, "creds file"));
    if (text.find("-BEGIN NATS USER JWT-") == std::string::npos || FindNkeySeed(text).empty()) {
      return absl::InvalidArgumentError(
          Concat("nats: creds file '", options.creds_file,
                 "' lacks a user JWT or an NKey seed; write it with `nsc generate creds`"));
    }
    return FromNats(
        natsOptions_SetUserCredentialsFromFiles(out, options.creds_file.c_str(), nullptr),
        "creds file");
  }
  if (!options.nkey_seed_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadCredential(options.nkey_seed_file, "NKey seed file"));
    auto public_key = NkeyPublicFromSeed(FindNkeySeed(text));
    if (!public_key.ok()) {
      return WithContext(public_key.status(),
                         Concat("NKey seed file '", options.nkey_seed_file, "'"));
    }
    return FromNats(
        natsOptions_SetNKeyFromSeed(out, public_key->c_str(), options.nkey_seed_file.c_str()),
        "NKey seed");
  }
  return absl::OkStatus();
}

absl::Status SetTls(natsOptions* out, const NatsOptions& options) {
  const NatsTlsOptions& tls = options.tls;
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError(
        "nats: a TLS client certificate needs its key, and a key its certificate");
  }
  if (!NeedsTls(options)) return absl::OkStatus();
  RETURN_IF_ERROR(FromNats(natsOptions_SetSecure(out, true), "TLS"));
  if (!tls.ca_file.empty()) {
    RETURN_IF_ERROR(ReadCredential(tls.ca_file, "TLS CA file").status());
    if (natsOptions_LoadCATrustedCertificates(out, tls.ca_file.c_str()) != NATS_OK) {
      return FileRefused("TLS CA file", tls.ca_file);
    }
  }
  if (!tls.cert_file.empty()) {
    RETURN_IF_ERROR(ReadCredential(tls.cert_file, "TLS certificate").status());
    RETURN_IF_ERROR(ReadCredential(tls.key_file, "TLS key").status());
    if (natsOptions_LoadCertificatesChain(out, tls.cert_file.c_str(), tls.key_file.c_str()) !=
        NATS_OK) {
      return FileRefused("TLS certificate", Concat(tls.cert_file, "' with key '", tls.key_file));
    }
  }
  return absl::OkStatus();
}

absl::Status SetServers(natsOptions* out, const std::vector<std::string>& urls) {
  std::vector<const char*> list;
  for (const std::string& url : urls) list.push_back(url.c_str());
  if (list.empty()) list.push_back(kDefaultUrl);
  return FromNats(natsOptions_SetServers(out, list.data(), static_cast<int>(list.size())),
                  "server URLs");
}

}  // namespace

absl::StatusOr<NatsOptionsPtr> MakeNatsOptions(const NatsOptions& options,
                                               const std::string& role) {
  natsOptions* raw = nullptr;
  RETURN_IF_ERROR(FromNats(natsOptions_Create(&raw), "options"));
  NatsOptionsPtr out(raw);
  RETURN_IF_ERROR(SetServers(raw, options.urls));
  RETURN_IF_ERROR(SetCredentials(raw, options));
  RETURN_IF_ERROR(SetTls(raw, options));
  const std::string name = Concat(options.name_prefix, ".", options.cluster_namespace, ".",
                                  options.server_id, ".", role);
  natsStatus s = natsOptions_SetName(raw, name.c_str());
  if (s == NATS_OK) s = natsOptions_SetTimeout(raw, limits::kNatsConnectTimeout.count());
  if (s == NATS_OK) s = natsOptions_SetIOBufSize(raw, limits::kNatsIoBufferBytes);
  if (s == NATS_OK) s = natsOptions_SetPingInterval(raw, limits::kNatsHeartbeat.count());
  if (s == NATS_OK) s = natsOptions_SetMaxPingsOut(raw, limits::kNatsMaxPingsOut);
  if (s == NATS_OK) s = natsOptions_SetAllowReconnect(raw, true);
  if (s == NATS_OK) s = natsOptions_SetMaxReconnect(raw, -1);
  // Next to nothing is kept while disconnected: a publisher learns that it failed instead of being
  // told a lie.
  if (s == NATS_OK) s = natsOptions_SetReconnectBufSize(raw, 1);
  if (s == NATS_OK) s = natsOptions_UseGlobalMessageDelivery(raw, true);
  if (s == NATS_OK) s = natsOptions_SetMaxPendingMsgs(raw, limits::kNatsPendingMessages);
  RETURN_IF_ERROR(FromNats(s, "options"));
  return out;
}

uint64_t DigestOfFiles(const NatsOptions& options) {
  uint64_t digest = 0;
  for (const std::string& path : {options.creds_file, options.nkey_seed_file, options.tls.ca_file,
                                  options.tls.cert_file, options.tls.key_file}) {
    std::string text;
    if (!path.empty()) {
      if (auto read = ReadCredential(path, ""); read.ok()) text = *std::move(read);
    }
    digest = digest * 1099511628211u ^ std::hash<std::string>()(text);
  }
  return digest;
}

bool NeedsTls(const NatsOptions& options) {
  const NatsTlsOptions& tls = options.tls;
  return tls.enabled || !tls.ca_file.empty() || !tls.cert_file.empty() ||
         std::any_of(options.urls.begin(), options.urls.end(), [](const std::string& url) {
           return absl::StartsWithIgnoreCase(url, "tls://");
         });
}

absl::Status FromNats(natsStatus status, std::string_view what) {
  if (status == NATS_OK) return absl::OkStatus();
  const std::string text = Concat("nats: ", what, ": ", natsStatus_GetText(status));
  switch (status) {
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_INVALID_QUEUE_NAME:
    case NATS_MAX_PAYLOAD:
      return absl::InvalidArgumentError(text);
    case NATS_NOT_PERMITTED:
    case NATS_CONNECTION_AUTH_FAILED:
      return absl::PermissionDeniedError(text);
    case NATS_NO_MEMORY:
    case NATS_INSUFFICIENT_BUFFER:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

std::string WithoutSecrets(std::string_view url) {
  const size_t scheme = url.find("://");
  const size_t host = scheme == std::string_view::npos ? 0 : scheme + 3;
  const size_t at = url.rfind('@');
  if (at == std::string_view::npos || at < host) return std::string(url);
  return Concat(url.substr(0, host), url.substr(at + 1));
}

}  // namespace bascule::nats
