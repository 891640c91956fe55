// Includes its header by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "text.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace bascule::cli {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t length = 0;  // 0: not UTF-8 here
};

CodePoint Decode(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return {lead, 1};
  size_t length = 0;
  uint32_t value = 0;
  uint32_t least = 0;
  if ((lead & 0xE0) == 0xC0) {
    length = 2, value = lead & 0x1F, least = 0x80;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3, value = lead & 0x0F, least = 0x800;
  } else if ((lead & 0xF8) == 0xF0) {
    length = 4, value = lead & 0x07, least = 0x10000;
  }
  if (length == 0 || bytes.size() < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return {};
    value = (value << 6) | (at(i) & 0x3F);
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < least || value > 0x10FFFF || surrogate) return {};
  return {value, length};
}

// Controls (C0, DEL, C1), line and paragraph separators, direction overrides and isolates,
// zero-width marks.
bool Steers(uint32_t c) {
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

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// Optimal string alignment distance over three rows.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const CodePoint point = Decode(bytes);
    if (point.length == 0) return false;
    bytes.remove_prefix(point.length);
  }
  return true;
}

bool IsPrintable(std::string_view bytes) {
  while (!bytes.empty()) {
    const CodePoint point = Decode(bytes);
    if (point.length == 0 || Steers(point.value)) return false;
    bytes.remove_prefix(point.length);
  }
  return true;
}

std::string EscapeText(std::string_view bytes) {
  if (IsPrintable(bytes)) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size() * 2);
  while (!bytes.empty()) {
    const CodePoint point = Decode(bytes);
    const size_t length = std::max<size_t>(point.length, 1);
    if (point.length == 0 || Steers(point.value)) {
      for (size_t i = 0; i < length; ++i) AppendEscaped(out, static_cast<uint8_t>(bytes[i]));
    } else if (point.value == '\\') {
      out += "\\\\";
    } else {
      out += bytes.substr(0, length);
    }
    bytes.remove_prefix(length);
  }
  return out;
}

std::string Base64(std::string_view bytes) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = (group << 8) | (j < have ? static_cast<uint8_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= have ? kAlphabet[(group >> (18 - 6 * j)) & 63] : '=';
    }
  }
  return out;
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

std::string NearestName(std::string_view wanted, const std::vector<std::string>& candidates) {
  const std::string target = Lower(wanted);
  // Names are a few dozen bytes; a longer text is not a slip of the fingers.
  if (target.size() > 256) return "";
  size_t best = std::max<size_t>(target.size() / 3, 1) + 1;
  std::string nearest;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > target.size() + best || candidate.size() + best < target.size())
      continue;
    const size_t distance = Distance(target, Lower(candidate));
    if (distance >= best) continue;
    best = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace bascule::cli
