// What a JetStream client expects in answer to a publish: PubAck JSON, and the request headers that
// ask for checks. Codes and texts are JetStream's, because clients compare them. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ports/ack_sink.h"
#include "core/wire/record.h"

namespace bascule::nats {

struct JetStreamError {
  int code = 0;      // like HTTP's
  int err_code = 0;  // JetStream's own number
  std::string description;
};

// Appends {"stream":"S","seq":N}.
void AppendPubAck(std::string& out, std::string_view stream, uint64_t sequence);
// Appends the error object; `stream` may be empty (not known yet).
void AppendPubAckError(std::string& out, std::string_view stream, const JetStreamError& error);

// The answer for `ack`, whose format is kJetStream: success or the error it carries.
void AppendPubAckFor(std::string& out, const Ack& ack);

// What the headers of a publish ask for.
struct JetStreamExpectations {
  std::string_view stream;  // Nats-Expected-Stream; empty = not asked
  int64_t expected_offset =
      -1;  // from Nats-Expected-Last-Sequence: the offset the message must get
};
// Reads them. An error when the headers ask for something that is not done here: refused, never
// ignored.
std::optional<JetStreamError> ReadExpectations(const wire::HeaderList* headers,
                                               JetStreamExpectations& out);

}  // namespace bascule::nats
