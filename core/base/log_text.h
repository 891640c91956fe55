// What may stand in a log line.
#pragma once

#include <string>
#include <string_view>

namespace bascule {

// `text` as one line that does nothing to a terminal: control characters, which subjects, names,
// files and peers may bring along, become \n, \t, \r or \x1b, those of Unicode (U+0080 to U+009F,
// U+2028, U+2029) their bytes. Everything else stays, bytes that are no UTF-8 too.
std::string OneLine(std::string_view text);

}  // namespace bascule
