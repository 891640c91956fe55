#include "replication/peer/credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "replication/peer/frame.h"

namespace bascule::peer {
namespace {

namespace tls = grpc::experimental;

// Runs after the chain was verified.
class ServerIdVerifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit ServerIdVerifier(std::optional<std::string> wanted) : wanted_(std::move(wanted)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const grpc::string_ref pem = request->peer_cert();
    const auto named = CertificateServerId(std::string_view(pem.data(), pem.size()));
    if (!named.ok()) {
      *status = Refuse(
          Concat("the certificate there cannot be used: ", FromAbsl(named.status().message())));
    } else if (wanted_.has_value() && *named != *wanted_) {
      *status = Refuse(Concat("broker ", Quoted(*named), " answers there, not ", Quoted(*wanted_)));
    } else {
      *status = grpc::Status::OK;
    }
    return true;  // at once
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  static grpc::Status Refuse(const std::string& text) {
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, text);
  }
  const std::optional<std::string> wanted_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> Credentials::ForServer() const {
  if (insecure()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions ssl(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_root_certs = texts_->ca;
  ssl.pem_key_cert_pairs.push_back({texts_->key, texts_->cert});
  return grpc::SslServerCredentials(ssl);
}

std::shared_ptr<grpc::ChannelCredentials> Credentials::ForChannel(
    std::optional<std::string> server_id) const {
  if (insecure()) return grpc::InsecureChannelCredentials();
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(
      texts_->ca, std::vector<tls::IdentityKeyCertPair>{{texts_->key, texts_->cert}}));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<ServerIdVerifier>(std::move(server_id)));
  return tls::TlsCredentials(options);
}

absl::StatusOr<std::optional<std::string>> AuthenticatedServerId(const grpc::AuthContext& context) {
  const std::vector<grpc::string_ref> pem =
      context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return std::nullopt;
  auto named = CertificateServerId(std::string_view(pem[0].data(), pem[0].size()));
  if (!named.ok()) {
    return absl::UnauthenticatedError(
        Concat("its certificate cannot be used: ", FromAbsl(named.status().message())));
  }
  return std::optional<std::string>(*std::move(named));
}

}  // namespace bascule::peer
