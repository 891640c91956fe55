#include "core/api/tls_credentials.h"

#include <string>
#include <string_view>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule {
namespace {

constexpr size_t kMaxPemBytes = 4 * limits::kMiB;
constexpr std::string_view kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

absl::StatusOr<std::string> ReadPem(FileSystem& files, std::string_view setting,
                                    const std::string& path) {
  const auto failed = [&](const auto& why) {
    return absl::InvalidArgumentError(Concat(setting, ": cannot use ", path, ": ", why));
  };
  auto file = files.Open(path, OpenMode::kRead);
  if (!file.ok()) return failed(file.status().message());
  auto text = ReadWhole(**file, kMaxPemBytes);
  if (!text.ok()) return failed(text.status().message());
  if (text->find("-----BEGIN ") == std::string::npos) return failed("it is not a PEM file");
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const TlsOptions& options,
                                                                         FileSystem& files) {
  if (options.key.empty() != options.cert.empty()) {
    return absl::InvalidArgumentError(options.key.empty()
                                          ? "tls.cert is set without tls.key: set both or none"
                                          : "tls.key is set without tls.cert: set both or none");
  }
  if (options.key.empty()) {
    if (options.require_client_cert) {
      return absl::InvalidArgumentError(
          "tls.client.auth.enabled needs TLS: set tls.key and tls.cert");
    }
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions ssl(
      options.require_client_cert ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.private_key, ReadPem(files, "tls.key", options.key));
  ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(files, "tls.cert", options.cert));
  ssl.pem_key_cert_pairs.push_back(std::move(pair));
  if (options.require_client_cert) {
    const std::string roots =
        options.client_ca.empty() ? std::string(kSystemRoots) : options.client_ca;
    ASSIGN_OR_RETURN(ssl.pem_root_certs, ReadPem(files, "tls.client.auth.ca", roots));
  } else if (!options.client_ca.empty()) {
    LogWarning("tls.client.auth.ca has no effect: tls.client.auth.enabled is off");
  }
  return grpc::SslServerCredentials(ssl);
}

}  // namespace bascule
