// What brokers ask of the metadata leader and of each other (requests.proto), and what they are
// told. Decoders are bounded (limits::kMetaRequestBytes) and total.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/env/lifetime.h"
#include "core/stream/description.h"
#include "replication/meta/table/meta_commands.h"
#include "replication/peer_transport.h"

namespace bascule::meta {
class Request;
class StreamSpec;
}  // namespace bascule::meta

namespace bascule::metadata {

// Who this broker is, for life.
struct BrokerSelf {
  std::string id;
  PeerId node;
  uint64_t incarnation = 0;  // of this process
  std::string peer_address;
  std::string rack;
  MonotonicTime began{};  // this process
};

struct RequestOutcome {
  // As the metadata leader said it. Unavailable, Unknown: ask again, the same or the next leader.
  absl::Status status;
  MetadataIndex index;  // what the answer is true of
  std::string body;     // of the answers that have one
};
using RequestDone = absl::AnyInvocable<void(RequestOutcome)>;

std::string EncodeResponse(const RequestOutcome& outcome);
// What was called back: an answer, or what became of the call. An answer that does not parse is
// Unknown.
RequestOutcome DecodeResponse(const absl::StatusOr<std::string>& response);

std::string EncodeRequest(const meta::Request& request);
// InvalidArgument: too large, or no request.
absl::Status DecodeRequest(std::string_view bytes, meta::Request& request);
// Calls the metadata service of `to`. `answered` gets the RequestOutcome on the lifetime's executor; not once
// that has ended.
template <typename Fn>
void CallMetadata(PeerTransport& peers, PeerId to, const meta::Request& request, Duration timeout,
                  const Lifetime& lifetime, Fn answered) {
  peers.Call(to, PeerService::kMetadata, EncodeRequest(request), timeout,
             lifetime.Bind([answered = std::move(answered)](
                               const absl::StatusOr<std::string>& response) mutable {
               answered(DecodeResponse(response));
             }));
}

void ToProto(const StreamSpec& in, meta::StreamSpec& out);
StreamSpec FromProto(const meta::StreamSpec& in);
CommandOrigin OriginOf(const meta::Request& request);

// What a broker says of itself with each heartbeat.
struct BrokerReport {
  uint64_t generation = 0;  // of its data directory; 0: unsaid
  std::string trouble;      // why it should get nothing new, a sentence; empty: all is well
  bool operator==(const BrokerReport&) const = default;
};
struct Heartbeat {
  BrokerSession session;
  BrokerReport report;
  bool operator==(const Heartbeat&) const = default;
};
// What is longer of `trouble` is cut (limits::kTroubleBytes).
std::string EncodeHeartbeat(const Heartbeat& heartbeat);
absl::StatusOr<Heartbeat> DecodeHeartbeat(std::string_view bytes);

// Carries out requests on the metadata leader. On the metadata thread; `done` there too, once.
class RequestTarget {
 public:
  virtual ~RequestTarget() = default;
  // `timeout`: what is left of the asker's time.
  virtual void Execute(const meta::Request& request, Duration timeout, RequestDone done) = 0;
};

}  // namespace bascule::metadata
