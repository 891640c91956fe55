// What gRPC's connections between brokers are secured with.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "replication/peer/certificates.h"

namespace bascule::peer {

// What all connections of one broker check and show. The files are read again while it runs:
// certificates are replaced without a restart. Any thread.
class TlsState {
 public:
  // `refused`: an accepted connection whose certificate was turned away, and why.
  TlsState(PemFiles paths, PemTexts texts, Clock& clock,
           std::function<void(const std::string& why)> refused)
      : clock_(clock), paths_(std::move(paths)), refused_(std::move(refused)), texts_(texts) {}

  const PemFiles& paths() const { return paths_; }
  PemTexts texts() const;
  // What LoadPem reads by now. An error stays until the files can be used again; meanwhile
  // connections are made with what there was.
  void Reload(absl::StatusOr<PemTexts> texts);
  // Whether the broker on the other side is who it should be: its certificate is of the cluster's
  // authority, valid now, and that of `wanted` (nullopt: of any broker). Unauthenticated says what
  // is wrong with whose.
  absl::Status Check(std::string_view certificate, std::string_view chain, PeerRole role,
                     const std::optional<std::string>& wanted);
  // Sentences: what cannot be used, or not much longer, here or at one of `peers` (server ids).
  std::vector<std::string> Warnings(const std::vector<std::string>& peers) const;
  void NoteRefused(const std::string& why) { refused_(why); }

 private:
  Clock& clock_;
  const PemFiles paths_;
  const std::function<void(const std::string& why)> refused_;
  mutable std::mutex mutex_;
  PemTexts texts_;        // guarded by mutex_, like all below
  std::string unusable_;  // a sentence
  std::map<std::string, std::string>
      seen_;  // last certificate of a server id, limits::kClusterMembers
};

// TLS 1.2 or newer, both sides with a certificate of the cluster's authority; or nothing at all.
class Credentials {
 public:
  static Credentials Insecure() { return Credentials(nullptr); }
  static Credentials Tls(std::shared_ptr<TlsState> state) { return Credentials(std::move(state)); }

  bool insecure() const { return state_ == nullptr; }
  const std::shared_ptr<TlsState>& state() const { return state_; }
  // Reads the certificate's files again by itself every `refresh` seconds.
  std::shared_ptr<grpc::ServerCredentials> ForServer(unsigned refresh) const;
  // The connection fails unless the other side's certificate is that of `server_id`; nullopt: of
  // any broker. Host names are not compared: addresses change, server ids do not. Shows the
  // certificate of this moment.
  std::shared_ptr<grpc::ChannelCredentials> ForChannel(std::optional<std::string> server_id) const;

 private:
  explicit Credentials(std::shared_ptr<TlsState> state) : state_(std::move(state)) {}
  std::shared_ptr<TlsState> state_;
};

// The server id that the other side's certificate names; OK and empty without TLS.
absl::StatusOr<std::optional<std::string>> AuthenticatedServerId(const grpc::AuthContext& context);

}  // namespace bascule::peer
