// One conversation with a NATS server, by a client that listens: what it sends in, what is to be sent to it
// out. Pure; one thread at a time.
//
//   server                        stage             this side
//   INFO {nonce, tls_required} -> kAwaitingInfo
//                                 kEncrypting       whoever reads the socket encrypts it: Encrypted()
//                                 kLoggingIn        CONNECT {...}, PING
//   PONG ----------------------->
//                                 kReady            SUB, UNSUB, PING, each when it is asked for
//   MSG, HMSG, PONG, INFO, -ERR ->                  told in the order in which they come
//
// A TLS-first server says INFO when it is encrypted already: Encrypted() then comes first.
//
// A PONG is a barrier: the server handles what it is sent one after the other, and what it says comes in one
// order, messages included, so all that it did and delivered before it heard the PING has been told when
// OnPong is called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/wire/record.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/login.h"
#include "nats_bridge/server_info.h"
#include "nats_bridge/server_operation.h"
#include "nats_bridge/server_url.h"

namespace bascule::nats {

// Called from within Take, on its thread. Views are valid during the call.
class SessionListener {
 public:
  virtual ~SessionListener() = default;
  virtual void OnMessage(uint64_t sid, const BusMessage& message) = 0;
  // Each INFO, from the first on.
  virtual void OnInfo(const ServerInfo& info) = 0;
  // The PING that Ping() gave this number is answered.
  virtual void OnPong(uint64_t ping) = 0;
  // What it complains of once it knows who this is; it may end the connection for it, or not.
  virtual void OnServerError(std::string_view text) = 0;
};

struct SessionOptions {
  Login login;
  ServerUrl server;
  std::string name;           // of this client, for the server's operators
  bool must_encrypt = false;  // nothing is sent to a server that offers no TLS
};

enum class SessionStage : uint8_t { kAwaitingInfo, kEncrypting, kLoggingIn, kReady };

class IngestSession {
 public:
  // `listener` outlives it.
  IngestSession(SessionOptions options, SessionListener& listener);

  // Takes the whole operations off the front of `bytes`, up to the point where the connection is to be
  // encrypted. `bytes` of the answer: how many were taken; `wanted`: how many the rest must have at least
  // for more, 0: no matter. What ends the session: InvalidArgument, the server says what cannot be
  // understood; PermissionDenied, it does not let this client in; FailedPrecondition, it offers no TLS;
  // Internal, from OpenSSL.
  absl::StatusOr<TakenOperation> Take(std::string_view bytes);

  // The connection is encrypted now: because Take stopped for it, or before a first INFO.
  absl::Status Encrypted();

  // In kReady.
  void Subscribe(uint64_t sid, std::string_view subject, std::string_view group);
  void Unsubscribe(uint64_t sid);
  uint64_t Ping();

  SessionStage stage() const { return stage_; }
  // What is to be sent, in this order; who sends it takes it away.
  std::string& output() { return output_; }
  const std::string& output() const { return output_; }
  // PINGs without an answer.
  uint64_t pings_out() const { return pinged_ - ponged_; }
  const ServerInfo& info() const { return info_; }

 private:
  absl::Status Handle(const ServerOperation& operation);
  absl::Status TakeInfo(std::string_view json);
  absl::Status LogIn();
  absl::Status TakePong();
  absl::Status TakeError(std::string_view text);
  void TakeMessage(const ServerOperation& operation);
  void CheckInvariants() const;

  const SessionOptions options_;
  SessionListener& listener_;
  SessionStage stage_ = SessionStage::kAwaitingInfo;
  bool encrypted_ = false;
  ServerInfo info_;
  std::string output_;
  uint64_t pinged_ = 0;  // the first one belongs to CONNECT
  uint64_t ponged_ = 0;
  wire::HeaderList headers_;  // of the message at hand; kept for its memory
};

}  // namespace bascule::nats
