// What gRPC's connections between brokers are secured with.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <optional>
#include <string>

#include "core/base/status.h"
#include "replication/peer/certificates.h"

namespace bascule::peer {

// TLS 1.2 or newer, both sides with a certificate of the cluster's authority; or nothing at all.
class Credentials {
 public:
  static Credentials Insecure() { return Credentials(std::nullopt); }
  static Credentials Tls(PemTexts texts) { return Credentials(std::move(texts)); }

  bool insecure() const { return !texts_.has_value(); }
  std::shared_ptr<grpc::ServerCredentials> ForServer() const;
  // The connection fails unless the other side's certificate is that of `server_id`; nullopt: of
  // any broker. Host names are not compared: addresses change, server ids do not.
  std::shared_ptr<grpc::ChannelCredentials> ForChannel(std::optional<std::string> server_id) const;

 private:
  explicit Credentials(std::optional<PemTexts> texts) : texts_(std::move(texts)) {}
  std::optional<PemTexts> texts_;
};

// The server id that the other side's certificate names; OK and empty without TLS.
absl::StatusOr<std::optional<std::string>> AuthenticatedServerId(const grpc::AuthContext& context);

}  // namespace bascule::peer
