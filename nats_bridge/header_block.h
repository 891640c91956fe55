// NATS headers as they are on the wire: "NATS/1.0[ status]\r\n", then "Name: value\r\n" for each,
// then "\r\n". Read here and not by nats.c, whose parser (to 3.10) takes the next line for an empty
// value and drops all headers when one is odd; this one also keeps their order and allocates
// nothing. Pure; any thread.
#pragma once

#include <string_view>

#include "core/wire/record.h"

namespace bascule::nats {

// Appends the headers in `block` to `out`, as views into it, up to limits::kMaxHeaders. White space
// around a value is not part of it; a folded value (next line begins with white space) keeps its
// line ends. Lines that are no header are skipped. False when `block` does not begin as one.
bool ReadHeaderBlock(std::string_view block, wire::HeaderList& out);

}  // namespace bascule::nats
