// Bytes as people and terminals can stand them. Pure.
#pragma once

#include <string>
#include <string_view>

namespace bascule::cli {

// UTF-8 without control characters and without the code points that reorder or hide text on a
// terminal.
bool IsPrintable(std::string_view bytes);

// `bytes` itself when printable; otherwise with every offending byte as \n, \t, \r or \xNN and
// backslashes doubled, so that a recorded message can never steer the reader's terminal.
std::string EscapeText(std::string_view bytes);

// Columns `text` takes on a terminal, counting one for each code point.
size_t DisplayWidth(std::string_view text);

}  // namespace bascule::cli
