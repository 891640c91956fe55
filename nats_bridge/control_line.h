// What our commands take of NATS's max_control_line. A server ends the connection over a line that
// is longer, with all that goes through it, and does not say beforehand what it takes. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bascule::nats {

// As a server counts them: what stands behind the command's name, at most.
size_t PubLineBytes(std::string_view subject, std::string_view reply);
size_t SubLineBytes(std::string_view subject, std::string_view group);

// "the line that names it has 5000 bytes, the server takes 4096 (max_control_line)"
std::string LineTooLongText(size_t line, size_t limit);

// The limit to go by after a server refused a line and `longest` was the longest that it was sent:
// the next lower power of two, since that is what operators set, so that few refusals find it.
size_t LowerLineLimit(size_t longest);

}  // namespace bascule::nats
