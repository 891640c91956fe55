// What a NATS server sends to a client, taken apart in place: one operation at a time off the front of the bytes
// that were received, as views into them. Pure; any thread.
//
//   INFO {json}\r\n                                          +OK\r\n      PING\r\n
//   MSG  subject sid [reply] bytes\r\n payload\r\n           -ERR 'text'\r\n      PONG\r\n
//   HMSG subject sid [reply] header-bytes bytes\r\n headers payload\r\n
//
// The grammar is that of the client protocol (docs.nats.io, "Client Protocol"): names of operations in any case,
// blanks and tabs between words. Stricter than nats.c: every line ends with both bytes, as a server's does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/status.h"

namespace bascule::nats {

enum class OperationKind : uint8_t { kInfo, kMessage, kPing, kPong, kOk, kError };

// Views live as long as the bytes do.
struct ServerOperation {
  OperationKind kind = OperationKind::kOk;
  // kMessage
  uint64_t sid = 0;  // of the subscription that it is for
  std::string_view subject;
  std::string_view reply;    // empty: none
  std::string_view headers;  // the block, from "NATS/1.0" to its empty line; empty: none
  std::string_view payload;
  // kInfo: the JSON; kError: what the server says, without its quotes
  std::string_view text;
};

// A server that sends more is none: nothing is kept for it.
struct OperationBounds {
  size_t line = 0;     // bytes of a line before its end, but for INFO's
  size_t info = 0;     // of an INFO line, which is searched anew each time that more of it has come
  size_t message = 0;  // headers and payload of a message
};

struct TakenOperation {
  size_t bytes = 0;   // of the operation; 0: it is not whole yet
  size_t wanted = 0;  // then: how many have to be there at least, from the front on
};

// Fills `out` when a whole operation stands at the front of `bytes`. InvalidArgument: it is none, or past a
// bound, and no more can be read from this server; the text says what it sent.
absl::StatusOr<TakenOperation> TakeOperation(std::string_view bytes, const OperationBounds& bounds,
                                             ServerOperation& out);

}  // namespace bascule::nats
