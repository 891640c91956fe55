// Includes its header by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "text.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/base/utf8.h"

namespace bascule::cli {
namespace {

// Controls (C0, DEL, C1), line and paragraph separators, direction overrides and isolates,
// zero-width marks.
bool Steers(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

void AppendEscaped(std::string& out, uint8_t byte) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (byte) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  }
}

}  // namespace

bool IsPrintable(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::optional<char32_t> character = TakeCharacter(bytes);
    if (!character || Steers(*character)) return false;
  }
  return true;
}

std::string EscapeText(std::string_view bytes) {
  if (IsPrintable(bytes)) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size() * 2);
  while (!bytes.empty()) {
    std::string_view rest = bytes;
    const std::optional<char32_t> character = TakeCharacter(rest);
    if (!character) rest.remove_prefix(1);
    const std::string_view taken = bytes.substr(0, bytes.size() - rest.size());
    bytes = rest;
    if (!character || Steers(*character)) {
      for (const char byte : taken) AppendEscaped(out, static_cast<uint8_t>(byte));
    } else if (*character == '\\') {
      out += "\\\\";
    } else {
      out += taken;
    }
  }
  return out;
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace bascule::cli
