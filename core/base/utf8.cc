// By Unicode's table 3-7, well-formed byte sequences.
#include "core/base/utf8.h"

#include <cstdint>
#include <cstring>

namespace bascule {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Bytes of the well-formed sequence at the front of `text` (not empty), 0 when there is none.
size_t SequenceSize(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;  // a continuation, or an overlong pair
  if (lead < 0xe0) return text.size() >= 2 && IsContinuation(p[1]) ? 2 : 0;
  if (lead < 0xf0) {
    if (text.size() < 3 || !IsContinuation(p[1]) || !IsContinuation(p[2])) return 0;
    if (lead == 0xe0 && p[1] < 0xa0) return 0;   // overlong
    if (lead == 0xed && p[1] >= 0xa0) return 0;  // surrogate
    return 3;
  }
  if (lead > 0xf4 || text.size() < 4) return 0;
  if (!IsContinuation(p[1]) || !IsContinuation(p[2]) || !IsContinuation(p[3])) return 0;
  if (lead == 0xf0 && p[1] < 0x90) return 0;   // overlong
  if (lead == 0xf4 && p[1] >= 0x90) return 0;  // past U+10FFFF
  return 4;
}

bool EightAreAscii(const char* p) {
  uint64_t eight;
  std::memcpy(&eight, p, sizeof(eight));
  return (eight & 0x8080808080808080u) == 0;
}

// Leading bytes that are surely ASCII, found eight at a time; the last eight may overlap the ones
// before.
size_t AsciiRun(std::string_view text) {
  if (text.size() < 8) return 0;
  size_t run = 0;
  while (text.size() - run >= 8) {
    if (!EightAreAscii(text.data() + run)) return run;
    run += 8;
  }
  return EightAreAscii(text.data() + text.size() - 8) ? text.size() : run;
}

// Length of the valid text at the front.
size_t ValidPrefix(std::string_view text) {
  size_t done = 0;
  while (done < text.size()) {
    done += AsciiRun(text.substr(done));
    // Up to eight characters one by one: in mixed text the next run of eight may be right behind.
    for (int i = 0; i < 8 && done < text.size(); ++i) {
      const size_t size = SequenceSize(text.substr(done));
      if (size == 0) return done;
      done += size;
    }
  }
  return done;
}

}  // namespace

bool IsValidUtf8(std::string_view text) { return ValidPrefix(text) == text.size(); }

std::string EscapeInvalidUtf8(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  while (true) {
    const size_t valid = ValidPrefix(text);
    out.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) return out;
    const auto byte = static_cast<unsigned char>(text.front());
    const char escaped[] = {'%', kHex[byte >> 4], kHex[byte & 15]};
    out.append(escaped, sizeof(escaped));
    text.remove_prefix(1);
  }
}

std::optional<char32_t> TakeCharacter(std::string_view& text) {
  const size_t size = SequenceSize(text);
  if (size == 0) return std::nullopt;
  const auto lead = static_cast<unsigned char>(text.front());
  char32_t character = size == 1 ? lead : lead & (0x7f >> size);
  for (size_t i = 1; i < size; ++i)
    character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  text.remove_prefix(size);
  return character;
}

}  // namespace bascule
