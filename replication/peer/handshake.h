// Who may talk to this broker: the checks of a hello, and the texts of refusals. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "replication/peer/frame.h"

namespace bascule::peer {

enum class Refusal : uint8_t {
  kMalformed,  // not this protocol, or a frame that is out of its bounds
  kVersion,
  kStranger,  // a certificate that names no broker
  kIdentity,  // certificate or membership name another broker than the hello
  kNamespace,
  kCluster,
  kMisdialled,  // it meant another broker
  kUnknownNode,
  kTooMany,
  kTimeout,
  kReplaced,  // no refusal, but an end: a newer connection of the same broker
};
inline constexpr int kRefusals = static_cast<int>(Refusal::kReplaced) + 1;
std::string_view NameOf(Refusal reason);  // as counters have it

struct Refused {
  Refusal reason;
  absl::Status status;  // goes to the other side
};

struct LocalNames {
  PeerIdentity self;
  std::string cluster_id;
  std::string cluster_namespace;
};

Hello MakeHello(const LocalNames& local, PeerId to);

// What every version and kind of conversation needs: the protocol's version, the namespace, and
// that `hello` is from the broker of `certificate` (the server id in it; nullopt without TLS).
std::optional<Refused> CheckIdentity(const Hello& hello, const LocalNames& local,
                                     const std::optional<std::string>& certificate);
// All of that, and that it is a member of this cluster that means this broker. `member`: the server
// id that the node is known by here; nullptr when it is not.
std::optional<Refused> CheckHello(const Hello& hello, const LocalNames& local,
                                  const std::optional<std::string>& certificate,
                                  const std::string* member);

}  // namespace bascule::peer
