// Text that names things: what this layer allows in names, subjects and queue groups. The rules for
// subjects themselves are declared in description.h.
#pragma once

#include <string_view>

namespace bascule {

// UTF-8 (RFC 3629) without control characters (U+0000..001F, U+007F..009F).
bool IsPlainText(std::string_view text);

}  // namespace bascule
