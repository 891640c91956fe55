// What gRPC's connections between brokers are secured with.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "replication/peer/certificates.h"

namespace bascule::peer {

// What all connections of one broker check and show. The files are read again while it runs:
// certificates are replaced without a restart. Any thread.
class TlsState {
 public:
  // `combined`: the path of the file that WriteCombined keeps, which accepted connections are shown
  // the certificate of. `refused`: an accepted connection whose certificate was turned away, and why.
  TlsState(PemFiles paths, std::string combined, PemTexts texts, Clock& clock,
           std::function<void(const std::string& why)> refused)
      : clock_(clock),
        paths_(std::move(paths)),
        combined_(std::move(combined)),
        refused_(std::move(refused)),
        texts_(std::move(texts)) {}

  const PemFiles& paths() const { return paths_; }
  const std::string& combined() const { return combined_; }
  PemTexts texts() const;
  // Whether these may take the place of those in use: not when they are not valid now and those are.
  // InvalidArgument has the date.
  absl::Status CheckReplacement(const PemTexts& texts) const;
  // What LoadPem reads by now, checked so. An error stays until the files can be used again; meanwhile
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
  const std::string combined_;
  const std::function<void(const std::string& why)> refused_;
  mutable absl::Mutex mutex_;
  PemTexts texts_ ABSL_GUARDED_BY(mutex_);
  std::string unusable_ ABSL_GUARDED_BY(mutex_);  // a sentence
  // Last certificate of a server id, limits::kClusterMembers. Only of such as the authority has
  // signed: nobody else changes what is told of a broker's dates.
  std::map<std::string, std::string> seen_ ABSL_GUARDED_BY(mutex_);
};

// TLS 1.2 or newer, both sides with a certificate of the cluster's authority; or nothing at all,
// where that was asked for. Not set: nobody is connected to.
class Credentials {
 public:
  Credentials() = default;  // not set
  static Credentials Insecure() { return Credentials(Kind::kInsecure, nullptr); }
  static Credentials Tls(std::shared_ptr<TlsState> state) {
    return Credentials(Kind::kTls, std::move(state));
  }

  // nullptr unless Tls.
  const std::shared_ptr<TlsState>& state() const { return state_; }
  // Reads the combined file again by itself every `refresh` seconds. nullptr when not set.
  std::shared_ptr<grpc::ServerCredentials> ForServer(unsigned refresh) const;
  // The connection fails unless the other side's certificate is that of `server_id`; nullopt: of
  // any broker. Host names are not compared: addresses change, server ids do not. Shows the
  // certificate of this moment. nullptr when not set: gRPC makes a channel of it whose calls fail.
  std::shared_ptr<grpc::ChannelCredentials> ForChannel(std::optional<std::string> server_id) const;

  // The server id that the other side's certificate names; empty when Insecure. Unauthenticated when
  // a connection is not what these make: it has no certificate.
  absl::StatusOr<std::optional<std::string>> AuthenticatedServerId(
      const grpc::AuthContext& context) const;

 private:
  enum class Kind { kNotSet, kInsecure, kTls };
  Credentials(Kind kind, std::shared_ptr<TlsState> state) : kind_(kind), state_(std::move(state)) {}
  Kind kind_ = Kind::kNotSet;
  std::shared_ptr<TlsState> state_;
};

}  // namespace bascule::peer
