#include "replication/peer/credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/peer/frame.h"

namespace bascule::peer {
namespace {

namespace tls = grpc::experimental;

// Checks the whole of the other side's certificate: OpenSSL has only made sure that the other side
// has its key, for all it would say of a bad one is that it is bad.
class BrokerVerifier final : public tls::ExternalCertificateVerifier {
 public:
  BrokerVerifier(std::shared_ptr<TlsState> state, PeerRole role, std::optional<std::string> wanted)
      : state_(std::move(state)), role_(role), wanted_(std::move(wanted)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const grpc::string_ref pem = request->peer_cert();
    const grpc::string_ref chain = request->peer_cert_full_chain();
    const absl::Status checked =
        state_->Check(std::string_view(pem.data(), pem.size()),
                      std::string_view(chain.data(), chain.size()), role_, wanted_);
    if (checked.ok()) {
      *status = grpc::Status::OK;
    } else {
      const std::string text(checked.message());
      if (role_ == PeerRole::kDialler) state_->NoteRefused(text);
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, text);
    }
    return true;  // at once
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::shared_ptr<TlsState> state_;
  const PeerRole role_;  // of the other side
  const std::optional<std::string> wanted_;
};

}  // namespace

PemTexts TlsState::texts() const {
  const absl::MutexLock lock(&mutex_);
  return texts_;
}

absl::Status TlsState::CheckReplacement(const PemTexts& texts) const {
  const PemTexts used = this->texts();
  if (texts.ca == used.ca && texts.cert == used.cert) return absl::OkStatus();
  const Timestamp now = clock_.Wall();
  if (!CheckDates(paths_, used, now).ok()) return absl::OkStatus();
  return CheckDates(paths_, texts, now);
}

void TlsState::Reload(absl::StatusOr<PemTexts> texts) {
  bool changed = false;
  {
    const absl::MutexLock lock(&mutex_);
    if (!texts.ok()) {
      const std::string why(texts.status().message());
      changed = std::exchange(unusable_, why) != why;
    } else {
      unusable_.clear();
      changed = texts->ca != texts_.ca || texts->cert != texts_.cert || texts->key != texts_.key;
      texts_ = *texts;
    }
  }
  if (!changed) return;
  if (texts.ok()) return LogInfo("peer: the certificates were replaced: new ones are in use");
  LogError("peer: ", FromAbsl(texts.status().message()),
           "; what was read before stays in use where it can");
}

absl::Status TlsState::Check(std::string_view certificate, std::string_view chain, PeerRole role,
                             const std::optional<std::string>& wanted) {
  const auto named = CertificateServerId(certificate);
  const std::string who = named.ok() ? *named : "";
  const std::string ca = texts().ca;
  absl::Status status = VerifyCertificate(certificate, chain, ca, role, clock_.Wall());
  const bool ours = status.ok() || absl::IsFailedPrecondition(status);
  if (!status.ok()) status = absl::UnauthenticatedError(status.message());
  if (ours && !who.empty()) {
    const absl::MutexLock lock(&mutex_);
    if (seen_.contains(who) || seen_.size() < limits::kClusterMembers) {
      seen_[who] = std::string(certificate);
    }
  }
  if (!status.ok()) return status;
  if (!named.ok()) {
    return absl::UnauthenticatedError(
        Concat("the certificate there cannot be used: ", FromAbsl(named.status().message())));
  }
  if (wanted.has_value() && who != *wanted) {
    return absl::UnauthenticatedError(
        Concat("broker ", Quoted(who), " answers there, not ", Quoted(*wanted)));
  }
  return absl::OkStatus();
}

std::vector<std::string> TlsState::Warnings(const std::vector<std::string>& peers) const {
  const absl::MutexLock lock(&mutex_);
  std::vector<std::string> out = ValidityWarnings(paths_, texts_, clock_.Wall());
  if (!unusable_.empty()) {
    out.push_back(Concat(unusable_, "; what was read before stays in use where it can"));
  }
  for (const std::string& peer : peers) {
    const auto seen = seen_.find(peer);
    if (seen == seen_.end()) continue;
    for (std::string& text : ExpiryWarnings(Concat("the certificate of broker ", Quoted(peer)),
                                            seen->second, clock_.Wall(), kRenewPeerCertificate))
      out.push_back(std::move(text));
  }
  return out;
}

std::shared_ptr<grpc::ServerCredentials> Credentials::ForServer(unsigned refresh) const {
  if (kind_ == Kind::kNotSet) return nullptr;
  if (kind_ == Kind::kInsecure) return grpc::InsecureServerCredentials();
  // Not the operator's files: gRPC ends the process over an empty one, and takes a pair that is
  // being replaced for what it is.
  const std::string& file = state_->combined();
  tls::TlsServerCredentialsOptions options(
      std::make_shared<tls::FileWatcherCertificateProvider>(file, file, refresh));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<BrokerVerifier>(
      state_, PeerRole::kDialler, std::nullopt));
  return tls::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> Credentials::ForChannel(
    std::optional<std::string> server_id) const {
  if (kind_ == Kind::kNotSet) return nullptr;
  if (kind_ == Kind::kInsecure) return grpc::InsecureChannelCredentials();
  const PemTexts texts = state_->texts();
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(
      texts.ca, std::vector<tls::IdentityKeyCertPair>{{texts.combined, texts.combined}}));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(false);  // BrokerVerifier does
  options.set_check_call_host(false);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<BrokerVerifier>(
      state_, PeerRole::kAcceptor, std::move(server_id)));
  return tls::TlsCredentials(options);
}

absl::StatusOr<std::optional<std::string>> Credentials::AuthenticatedServerId(
    const grpc::AuthContext& context) const {
  if (kind_ == Kind::kInsecure) return std::nullopt;
  const std::vector<grpc::string_ref> pem =
      context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return absl::UnauthenticatedError("the connection there has no certificate");
  auto named = CertificateServerId(std::string_view(pem[0].data(), pem[0].size()));
  if (!named.ok()) {
    return absl::UnauthenticatedError(
        Concat("its certificate cannot be used: ", FromAbsl(named.status().message())));
  }
  return std::optional<std::string>(*std::move(named));
}

}  // namespace bascule::peer
