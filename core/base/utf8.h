// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bascule {

// Protobuf demands it of strings.
bool IsValidUtf8(std::string_view text);
// `text` with every byte that is not part of a valid sequence written as %XX.
std::string EscapeInvalidUtf8(std::string_view text);
// Removes one character from the front of `text` (not empty); nullopt, and nothing removed, when
// what stands there is no valid sequence.
std::optional<char32_t> TakeCharacter(std::string_view& text);

}  // namespace bascule
