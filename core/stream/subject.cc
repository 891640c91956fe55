#include "core/stream/subject.h"

#include <cstdint>

#include "core/base/limits.h"
#include "core/stream/description.h"

namespace bascule {
namespace {

constexpr char32_t kNoCharacter = 0xffffffff;

// Removes one character from the front of `text` (not empty); kNoCharacter when it is not UTF-8.
char32_t TakeCharacter(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (size > text.size() || (lead >= 0x80 && lead < 0xc0) || lead >= 0xf8) return kNoCharacter;
  char32_t character = size == 1 ? lead : lead & (0x7f >> size);
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) != 0x80) return kNoCharacter;
    character = character << 6 | (byte & 0x3f);
  }
  text.remove_prefix(size);
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};  // by size; less is overlong
  const bool surrogate = character >= 0xd800 && character < 0xe000;
  return character < kLeast[size] || surrogate || character > 0x10ffff ? kNoCharacter : character;
}

// Walks the tokens of a subject. "a." has two, the second one empty; "" has one.
class Tokens {
 public:
  explicit Tokens(std::string_view subject) : rest_(subject) {}
  bool Next(std::string_view& token) {
    if (done_) return false;
    const size_t dot = rest_.find('.');
    token = rest_.substr(0, dot);
    done_ = dot == std::string_view::npos;
    if (!done_) rest_.remove_prefix(dot + 1);
    return true;
  }
  bool last() const { return done_; }

 private:
  std::string_view rest_;
  bool done_ = false;
};

bool IsBelow(std::string_view subject, std::string_view prefix) {
  if (!prefix.empty() && prefix.back() == '.') prefix.remove_suffix(1);
  return !prefix.empty() && subject.size() > prefix.size() && subject.starts_with(prefix) &&
         subject[prefix.size()] == '.';
}

}  // namespace

bool IsPlainText(std::string_view text) {
  while (!text.empty()) {
    const char32_t c = TakeCharacter(text);
    if (c == kNoCharacter || c < 0x20 || (c >= 0x7f && c < 0xa0)) return false;
  }
  return true;
}

bool IsValidSubject(std::string_view subject) {
  if (subject.size() > limits::kMaxSubjectBytes || !IsPlainText(subject)) return false;
  if (subject.find(' ') != std::string_view::npos) return false;
  Tokens tokens(subject);
  std::string_view token;
  while (tokens.Next(token)) {
    if (token.empty()) return false;
    if (token == ">" && !tokens.last()) return false;
    if (token.size() > 1 && token.find_first_of("*>") != std::string_view::npos) return false;
  }
  return true;
}

bool HasWildcard(std::string_view subject) {
  return subject.find_first_of("*>") != std::string_view::npos;
}

bool SubjectMatches(std::string_view pattern, std::string_view subject) {
  Tokens wanted(pattern);
  Tokens given(subject);
  std::string_view want, have;
  while (wanted.Next(want)) {
    if (!given.Next(have)) return false;
    if (want == ">") return true;
    if (want != "*" && want != have) return false;
  }
  return given.last();
}

bool IsInternalSubject(std::string_view subject, std::string_view ack_prefix) {
  return IsBelow(subject, ack_prefix) || IsBelow(subject, "_INBOX") || IsBelow(subject, "$SYS") ||
         IsBelow(subject, "$JS");
}

}  // namespace bascule
