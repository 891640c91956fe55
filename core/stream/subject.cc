#include "core/stream/subject.h"

#include <optional>

#include "core/base/limits.h"
#include "core/base/utf8.h"
#include "core/stream/description.h"

namespace bascule {
namespace {

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
    const std::optional<char32_t> c = TakeCharacter(text);
    if (!c || *c < 0x20 || (*c >= 0x7f && *c < 0xa0)) return false;
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
