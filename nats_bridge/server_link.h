// A session with one NATS server over its socket, from dialling on. One thread, which waits for what
// wants_read() and wants_write() say of fd() and calls Proceed. It never waits itself, but for the system's
// resolver when it dials a name.
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/base/types.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/ingest_session.h"
#include "nats_bridge/receive_buffer.h"
#include "nats_bridge/server_pool.h"
#include "nats_bridge/server_socket.h"

namespace bascule::nats {

struct LinkOptions {
  PoolServer server;
  SessionOptions session;
  NatsTlsOptions tls;      // for a server that wants it, too
  bool tls_first = false;  // it waits for TLS before it says INFO
};

class ServerLink {
 public:
  // `listener` outlives it.
  static absl::StatusOr<std::unique_ptr<ServerLink>> Dial(LinkOptions options,
                                                          SessionListener& listener);

  // Goes on as far as the socket lets it: connects, encrypts, logs in, sends. An error: it has ended, the
  // text says why.
  absl::Status Proceed();
  // Receives once, and hands over what came. Whether there may be more at once.
  absl::StatusOr<bool> Receive();

  IngestSession& session() { return session_; }
  bool ready() const { return session_.stage() == SessionStage::kReady; }
  const PoolServer& server() const { return options_.server; }
  int fd() const { return socket_.fd(); }
  bool wants_write() const { return socket_.wants_write() || !session_.output().empty(); }
  // Bytes may be read: the socket is connected, and not about to be encrypted.
  bool may_receive() const { return state_ == State::kOpen; }
  bool encrypted() const { return socket_.encrypted(); }
  uint64_t received_bytes() const { return received_; }
  // Read from the socket, and not handed over.
  bool holds_bytes() const { return socket_.holds_bytes(); }
  // What the next operation needs before it is whole, beyond what one receive brings.
  size_t wanted() const { return wanted_; }
  // Counts the steps on the way to ready(), each of which has a time of its own.
  int steps() const { return steps_; }
  // Nothing came from the server yet though it is connected: it may wait for TLS.
  bool silent() const { return state_ == State::kOpen && received_ == 0; }
  absl::Status BeginTls();

 private:
  enum class State : uint8_t { kConnecting, kHandshaking, kOpen };

  ServerLink(LinkOptions options, SessionListener& listener);
  absl::Status Flush();

  const LinkOptions options_;
  ServerSocket socket_;
  IngestSession session_;
  ReceiveBuffer buffer_{limits::kNatsReceiveBytes};
  State state_ = State::kConnecting;
  size_t sent_ = 0;  // of the session's output
  size_t wanted_ = 0;
  uint64_t received_ = 0;
  int steps_ = 0;
};

}  // namespace bascule::nats
