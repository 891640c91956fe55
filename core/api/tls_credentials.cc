#include "core/api/tls_credentials.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <string>
#include <string_view>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::api {
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

grpc_ssl_client_certificate_request_type Request(bool require_client_cert) {
  return require_client_cert ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                             : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
}

grpc_ssl_server_certificate_config* ConfigOf(const CertificateTexts& texts) {
  const grpc_ssl_pem_key_cert_pair pair{texts.key.c_str(), texts.cert.c_str()};
  return grpc_ssl_server_certificate_config_create(texts.roots().c_str(), &pair, 1);
}

// gRPC's own take one pair for life; its C interface asks `fetch`, with `from`, at each handshake.
class FetchedCredentials final : public grpc::ServerCredentials {
 public:
  FetchedCredentials(bool require_client_cert, grpc_ssl_server_certificate_config_callback fetch,
                     void* from)
      : require_client_cert_(require_client_cert), fetch_(fetch), from_(from) {}
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    grpc_server_credentials* credentials = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            Request(require_client_cert_), fetch_, from_));
    const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  const bool require_client_cert_;
  const grpc_ssl_server_certificate_config_callback fetch_;
  void* const from_;
};

grpc_ssl_certificate_config_reload_status FetchTried(void* texts,
                                                     grpc_ssl_server_certificate_config** config) {
  *config = ConfigOf(*static_cast<const CertificateTexts*>(texts));
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// An external acceptor is built without a look at its key and certificate, and then refuses every
// client; a port of gRPC's own is not. So one is opened on loopback for the moment that it takes.
bool CanServeWith(const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> probe = builder.BuildAndStart();
  if (probe != nullptr) probe->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));
  queue->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
  }
  return probe != nullptr && port > 0;
}

}  // namespace

// By the way that the texts will take when they are in use.
bool ServerCertificate::CanServe(const Texts& texts) {
  Texts tried = texts;
  return CanServeWith(
      std::make_shared<FetchedCredentials>(!texts.client_ca.empty(), &FetchTried, &tried));
}

absl::StatusOr<ServerCertificate::Texts> ServerCertificate::Read() const {
  Texts texts;
  ASSIGN_OR_RETURN(texts.key, ReadPem(files_, "tls.key", options_.key));
  ASSIGN_OR_RETURN(texts.cert, ReadPem(files_, "tls.cert", options_.cert));
  if (options_.require_client_cert) {
    const std::string roots =
        options_.client_ca.empty() ? std::string(kSystemRoots) : options_.client_ca;
    ASSIGN_OR_RETURN(texts.client_ca, ReadPem(files_, "tls.client.auth.ca", roots));
  }
  return texts;
}

absl::Status ServerCertificate::Try(const Texts& texts) {
  Texts used;
  {
    const absl::MutexLock lock(&mutex_);
    used = texts_;
  }
  if (texts == used) return absl::OkStatus();
  const absl::Status refusal = absl::UnavailableError(
      Concat(options_.key, " and ", options_.cert, " are not a key and its certificate",
             texts.client_ca.empty() ? "" : ", or tls.client.auth.ca holds no certificates"));
  if (refused_ == texts) return refusal;
  if (judge_(texts)) {
    refused_.reset();
    return absl::OkStatus();
  }
  // Without a port, a descriptor, memory no texts are good; those that serve already tell.
  if (used == Texts() || judge_(used)) {
    refused_ = texts;
    return refusal;
  }
  return absl::UnavailableError(
      Concat(options_.key, " and ", options_.cert, " cannot be tried now; see gRPC's line above"));
}

absl::Status ServerCertificate::Load() {
  if (options_.key.empty() != options_.cert.empty()) {
    return absl::InvalidArgumentError(options_.key.empty()
                                          ? "tls.cert is set without tls.key: set both or none"
                                          : "tls.key is set without tls.cert: set both or none");
  }
  if (!enabled()) {
    if (!options_.require_client_cert) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "tls.client.auth.enabled needs TLS: set tls.key and tls.cert");
  }
  if (!options_.require_client_cert && !options_.client_ca.empty())
    LogWarning("tls.client.auth.ca has no effect: tls.client.auth.enabled is off");
  ASSIGN_OR_RETURN(Texts texts, Read());
  RETURN_IF_ERROR(Try(texts));
  const absl::MutexLock lock(&mutex_);
  texts_ = std::move(texts);
  fresh_ = true;
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> ServerCertificate::Credentials() {
  if (!enabled()) return grpc::InsecureServerCredentials();
  return std::make_shared<FetchedCredentials>(options_.require_client_cert,
                                              &ServerCertificate::Fetch, this);
}

absl::Status ServerCertificate::CheckReplacement(const std::string& cert) const {
  const std::string used = certificate();
  if (!options_.check_dates || cert == used || !options_.check_dates(used).ok())
    return absl::OkStatus();
  return options_.check_dates(cert);
}

void ServerCertificate::Reload() {
  if (!enabled()) return;
  absl::StatusOr<Texts> texts = Read();
  if (texts.ok()) {
    absl::Status usable = Try(*texts);
    if (usable.ok()) usable = CheckReplacement(texts->cert);
    if (!usable.ok()) texts = std::move(usable);
  }
  std::string trouble;
  if (!texts.ok()) {
    trouble = Concat(FromAbsl(texts.status().message()),
                     "; new connections are shown the certificate that was read before");
  }
  bool replaced = false;
  {
    const absl::MutexLock lock(&mutex_);
    if (texts.ok() && *texts != texts_) {
      texts_ = *std::move(texts);
      fresh_ = replaced = true;
    }
    if (std::exchange(trouble_, trouble) == trouble) trouble.clear();
  }
  if (replaced) LogInfo("api: the certificate was replaced: new connections are shown it");
  if (!trouble.empty()) LogError("api: ", trouble);
}

grpc_ssl_certificate_config_reload_status ServerCertificate::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  ServerCertificate& tls = *static_cast<ServerCertificate*>(self);
  const absl::MutexLock lock(&tls.mutex_);
  if (!std::exchange(tls.fresh_, false)) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  *config = ConfigOf(tls.texts_);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::string ServerCertificate::certificate() const {
  const absl::MutexLock lock(&mutex_);
  return texts_.cert;
}

std::string ServerCertificate::trouble() const {
  const absl::MutexLock lock(&mutex_);
  return trouble_;
}

}  // namespace bascule::api
