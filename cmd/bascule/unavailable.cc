// Includes its header by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "unavailable.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace bascule::cli {
namespace {

// A status that gRPC makes itself looks like one that was received. These are the beginnings of its
// texts, in small letters: a server may quote one of them, about a connection of its own.
constexpr const char* kBeginnings[] = {
    "failed to connect",
    "failed to pick subchannel",
    "connections to all backends failing",
    "connection refused",
    "connection reset",
    "connection timed out",
    "broken pipe",
    "socket closed",
    "endpoint ",
    "transport closed",
    "closing transport",
    "delayed close",
    "stream removed",
    "stream closed",
    "goaway",
    "received rst_stream",
    "received http2",
    "recvmsg:",
    "sendmsg:",
    "read failed",
    "write failed",
    "keepalive watchdog",
    "ping timeout",
    "cancelling all calls",
    "channel shutdown",
    "channel destroyed",
    "empty address list",
    "dns resolution failed",
};

}  // namespace

bool IsConnectionLost(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  const std::string& text = status.error_message();
  if (text.empty() || text == kSubscriptionEnded || text == kPublishingEnded) return true;
  if (absl::StrContains(text, "stopping")) return true;
  const std::string small = absl::AsciiStrToLower(text);
  return std::any_of(std::begin(kBeginnings), std::end(kBeginnings),
                     [&](const char* sign) { return absl::StartsWith(small, sign); });
}

bool IsWithoutLeader(const grpc::Status& status) {
  const std::string& text = status.error_message();
  const bool refused = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                       status.error_code() == grpc::StatusCode::INTERNAL;
  return refused && (absl::StrContains(text, "no metadata leader") ||
                     absl::StrContains(text, "no known metadata leader"));
}

}  // namespace bascule::cli
