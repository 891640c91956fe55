// Text for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bascule {

// Lines of at most `width` columns, broken at blanks; a word that is longer stands alone. The rest of
// a line goes on below its beginning, or, where the line has a second column at `column` (what a flag
// means, or what stands there behind two blanks), below that one. A shell command (a line that is set
// in and begins with `command`) goes on behind a backslash. For ASCII.
std::string WrapLines(std::string_view text, size_t width, size_t column, std::string_view command);

}  // namespace bascule
