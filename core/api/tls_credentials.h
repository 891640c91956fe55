// What connections of clients are secured with, from the server's TLS options.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/api/api_server.h"

namespace bascule::api {

// What the files of the TLS options hold: PEM.
struct CertificateTexts {
  std::string key;
  std::string cert;
  std::string client_ca;  // empty: no client is asked for a certificate
  bool operator==(const CertificateTexts&) const = default;
  // gRPC insists on some, and on sound ones, though none are used where no client is asked.
  const std::string& roots() const { return client_ca.empty() ? cert : client_ca; }
};

// The files of the TLS options, read again while the server runs: gRPC asks at each handshake for
// what there is, and goes on with what it has when that is nothing new. It does not say when it
// refuses what it was given, so everything is tried before, in the same way, on a server of a moment.
// Outlives the server.
class ServerCertificate {
 public:
  // Whether a server can be built with them. Blocks for some milliseconds.
  using Judge = std::function<bool(const CertificateTexts&)>;
  // `files` outlives it. `judge`: another one in tests.
  ServerCertificate(TlsOptions options, FileSystem& files, Judge judge = CanServe)
      : options_(std::move(options)), files_(files), judge_(std::move(judge)) {}

  // Once, first. InvalidArgument naming the setting: half a pair, client authentication without
  // TLS, a file that cannot be read or is not PEM; Unavailable: key and certificate are none of
  // each other. Blocks.
  absl::Status Load();
  // For one server. Insecure without key and certificate.
  std::shared_ptr<grpc::ServerCredentials> Credentials();
  // Reads the files again. What cannot be used, and what is not valid now in the place of what is,
  // changes nothing, and is said: trouble(). What was
  // refused is tried again only once the files hold something else. Blocks; one thread at a time.
  void Reload();

  // --- any thread ---
  std::string certificate() const;  // PEM, what new connections are shown; empty without TLS
  std::string trouble() const;      // a sentence; empty: the files are in use as they are

 private:
  using Texts = CertificateTexts;
  bool enabled() const { return !options_.key.empty(); }
  absl::StatusOr<Texts> Read() const;
  absl::Status Try(const Texts& texts);
  absl::Status CheckReplacement(const std::string& cert) const;
  static bool CanServe(const Texts& texts);
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  const TlsOptions options_;
  FileSystem& files_;
  const Judge judge_;
  std::optional<Texts> refused_;  // the last that the judge refused; of whoever loads
  mutable absl::Mutex mutex_;
  Texts texts_ ABSL_GUARDED_BY(mutex_);
  bool fresh_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC has not asked for them yet
  std::string trouble_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::api
