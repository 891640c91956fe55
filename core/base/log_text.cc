#include "core/base/log_text.h"

namespace bascule {
namespace {

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// Length of the Unicode control or line separator that begins here; 0 when there is none.
size_t UnicodeControl(std::string_view text) {
  if (text.size() >= 2 && text[0] == '\xc2' && (text[1] & '\xe0') == '\x80') return 2;
  if (text.starts_with("\xe2\x80\xa8") || text.starts_with("\xe2\x80\xa9")) return 3;
  return 0;
}

void AppendHex(std::string& out, char c) {
  constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsControl(c)) {
      AppendHex(out, c);
    } else if (const size_t bytes = UnicodeControl(text.substr(at)); bytes > 0) {
      for (size_t i = 0; i < bytes; ++i) AppendHex(out, text[at + i]);
      at += bytes - 1;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace bascule
