#include "nats_bridge/nats_setup.h"

#include <functional>
#include <vector>

#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/login.h"

namespace bascule::nats {
namespace {

constexpr char kDefaultUrl[] = "nats://127.0.0.1:4222";

// nats.c's own text says what OpenSSL disliked.
absl::Status FileRefused(std::string_view option, const std::string& path) {
  natsStatus last = NATS_OK;
  const char* text = nats_GetLastError(&last);
  return absl::InvalidArgumentError(Concat("nats: ", option, " '", path, "' cannot be used: ",
                                           text != nullptr ? text : "unknown reason"));
}

absl::Status SetCredentials(natsOptions* out, const NatsOptions& options) {
  ASSIGN_OR_RETURN(const Login login, ReadLogin(options));
  if (!login.user.empty()) {
    return FromNats(natsOptions_SetUserInfo(out, login.user.c_str(), login.password.c_str()),
                    "user");
  }
  if (!login.token.empty())
    return FromNats(natsOptions_SetToken(out, login.token.c_str()), "token");
  if (!login.jwt.empty()) {
    return FromNats(
        natsOptions_SetUserCredentialsFromFiles(out, options.creds_file.c_str(), nullptr),
        "creds file");
  }
  if (!login.seed.empty()) {
    return FromNats(
        natsOptions_SetNKeyFromSeed(out, login.public_key.c_str(), options.nkey_seed_file.c_str()),
        "NKey seed");
  }
  return absl::OkStatus();
}

absl::Status SetTls(natsOptions* out, const NatsOptions& options) {
  const NatsTlsOptions& tls = options.tls;
  RETURN_IF_ERROR(CheckTlsFiles(tls));
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
  const std::string name = ClientName(options, role);
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

}  // namespace bascule::nats
