// Bytes as people and terminals can stand them: escaping, UTF-8, base64, spelling. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bascule::cli {

// Well-formed UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF.
bool IsUtf8(std::string_view bytes);

// UTF-8 without control characters and without the code points that reorder or hide text on a
// terminal.
bool IsPrintable(std::string_view bytes);

// `bytes` itself when printable; otherwise with every offending byte as \n, \t, \r or \xNN and
// backslashes doubled, so that a recorded message can never steer the reader's terminal.
std::string EscapeText(std::string_view bytes);

// RFC 4648 section 4, padded.
std::string Base64(std::string_view bytes);

// Columns `text` takes on a terminal, counting one for each code point.
size_t DisplayWidth(std::string_view text);

// The candidate that `wanted` was probably meant to be, or empty when none is near (at most a third
// of its letters, by insertions, deletions, changes and swaps of neighbours; case does not count).
std::string NearestName(std::string_view wanted, const std::vector<std::string>& candidates);

}  // namespace bascule::cli
