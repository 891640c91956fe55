#include "replication/peer/handshake.h"

#include "core/base/text.h"

namespace bascule::peer {
namespace {

std::optional<Refused> Refuse(Refusal reason, absl::Status status) {
  return Refused{reason, std::move(status)};
}

std::optional<Refused> CheckVersion(const Hello& hello, const LocalNames& local) {
  if (hello.protocol == kProtocol) return std::nullopt;
  const bool theirs = hello.protocol < kProtocol;
  return Refuse(
      Refusal::kVersion,
      absl::FailedPreconditionError(Concat(
          "broker ", Quoted(hello.from.server_id), " speaks version ", hello.protocol,
          " of the peer protocol, broker ", Quoted(local.self.server_id), " version ", kProtocol,
          ": upgrade ", theirs ? Quoted(hello.from.server_id) : Quoted(local.self.server_id))));
}

}  // namespace

std::string_view NameOf(Refusal reason) {
  switch (reason) {
    case Refusal::kMalformed:
      return "malformed";
    case Refusal::kVersion:
      return "version";
    case Refusal::kStranger:
      return "stranger";
    case Refusal::kIdentity:
      return "identity";
    case Refusal::kNamespace:
      return "namespace";
    case Refusal::kCluster:
      return "cluster";
    case Refusal::kMisdialled:
      return "misdialled";
    case Refusal::kUnknownNode:
      return "unknown_node";
    case Refusal::kTooMany:
      return "too_many";
    case Refusal::kTimeout:
      return "timeout";
    case Refusal::kReplaced:
      break;
  }
  return "replaced";
}

Hello MakeHello(const LocalNames& local, PeerId to) {
  Hello hello;
  hello.cluster_id = local.cluster_id;
  hello.cluster_namespace = local.cluster_namespace;
  hello.from = local.self;
  hello.to = to;
  return hello;
}

std::optional<Refused> CheckIdentity(const Hello& hello, const LocalNames& local,
                                     const std::optional<std::string>& certificate) {
  if (auto refused = CheckVersion(hello, local)) return refused;
  const std::string who = Quoted(hello.from.server_id);
  if (hello.from.server_id.empty()) {
    return Refuse(Refusal::kMalformed, absl::InvalidArgumentError("a hello without a server id"));
  }
  if (certificate.has_value() && *certificate != hello.from.server_id) {
    return Refuse(Refusal::kIdentity,
                  absl::PermissionDeniedError(Concat(
                      "a broker calls itself ", who, ", but its certificate is that of ",
                      Quoted(*certificate),
                      ": give it its own (bascule cluster certs --server-id ID makes one)")));
  }
  if (hello.cluster_namespace != local.cluster_namespace) {
    return Refuse(
        Refusal::kNamespace,
        absl::PermissionDeniedError(Concat(
            "broker ", who, " is of namespace ", Quoted(hello.cluster_namespace), ", broker ",
            Quoted(local.self.server_id), " of ", Quoted(local.cluster_namespace),
            ": set the same clustering.namespace, or take the address out of cluster.join")));
  }
  return std::nullopt;
}

std::optional<Refused> CheckHello(const Hello& hello, const LocalNames& local,
                                  const std::optional<std::string>& certificate,
                                  const std::string* member) {
  if (auto refused = CheckIdentity(hello, local, certificate)) return refused;
  const std::string who = Quoted(hello.from.server_id);
  const std::string self = Quoted(local.self.server_id);
  if (local.cluster_id.empty()) {
    return Refuse(Refusal::kCluster,
                  absl::UnavailableError(
                      Concat("broker ", self, " is no member of a cluster yet; it is joining")));
  }
  if (hello.cluster_id != local.cluster_id) {
    return Refuse(Refusal::kCluster,
                  absl::PermissionDeniedError(Concat(
                      "broker ", who, " is of cluster ", Quoted(hello.cluster_id), ", broker ",
                      self, " of ", Quoted(local.cluster_id),
                      ": two clusters never merge; empty the data directory of the broker that "
                      "is to join the other's")));
  }
  if (hello.to != local.self.id) {
    return Refuse(Refusal::kMisdialled,
                  absl::FailedPreconditionError(Concat(
                      "broker ", who, " wants to talk to node ", hello.to, ", but this is broker ",
                      self, ", node ", local.self.id,
                      ": its address has changed hands, or its data directory was replaced")));
  }
  if (member == nullptr) {
    return Refuse(Refusal::kUnknownNode,
                  absl::NotFoundError(Concat("broker ", who, ", node ", hello.from.id,
                                             ", is not a member of the cluster that broker ", self,
                                             " knows: it has been removed, or not joined yet")));
  }
  if (*member != hello.from.server_id) {
    return Refuse(Refusal::kIdentity, absl::PermissionDeniedError(Concat(
                                          "node ", hello.from.id, " is a member by the server id ",
                                          Quoted(*member), ", not ", who)));
  }
  return std::nullopt;
}

}  // namespace bascule::peer
