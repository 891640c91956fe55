#include "core/stream/overlap.h"

#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/text.h"

namespace bascule {
namespace {

// A token of a subject, or (most > 0) any of the numbers 1 to `most`.
struct SubjectToken {
  std::string_view text;
  int32_t most = 0;
};

// The subject of partition 0, or (most > 0) those of the partitions 1 to `most`: the same with one
// more token.
class SubjectPattern {
 public:
  SubjectPattern(std::string_view base, int32_t most) : rest_(base), most_(most) {}
  bool Next(SubjectToken& token) {
    if (in_base_) {
      const size_t dot = rest_.find('.');
      token = {rest_.substr(0, dot), 0};
      in_base_ = dot != std::string_view::npos;
      if (in_base_) rest_.remove_prefix(dot + 1);
      return true;
    }
    token = {{}, std::exchange(most_, 0)};
    return token.most > 0;
  }

 private:
  std::string_view rest_;
  int32_t most_;
  bool in_base_ = true;
};

bool IsNumberUpTo(std::string_view text, int32_t most) {
  int32_t number = 0;
  return !text.empty() && text[0] >= '1' && text[0] <= '9' &&
         absl::SimpleAtoi(ToAbsl(text), &number) && number <= most;
}

bool Meet(const SubjectToken& one, const SubjectToken& other) {
  if (one.text == "*" || other.text == "*") return true;
  if (one.most > 0 && other.most > 0) return true;
  if (one.most > 0) return IsNumberUpTo(other.text, one.most);
  if (other.most > 0) return IsNumberUpTo(one.text, other.most);
  return one.text == other.text;
}

bool Meet(SubjectPattern one, SubjectPattern other) {
  SubjectToken here, there;
  while (true) {
    const bool more = one.Next(here);
    if (more != other.Next(there)) return false;
    if (!more || here.text == ">" || there.text == ">") return true;
    if (!Meet(here, there)) return false;
  }
}

}  // namespace

bool HearSameMessages(const StreamDescription& one, const StreamDescription& other) {
  if (!one.group.empty() && one.group == other.group) return false;
  const auto last = [](const StreamDescription& s) {
    return static_cast<int32_t>(s.partitions.size()) - 1;
  };
  for (const int32_t here : {0, last(one)}) {
    for (const int32_t there : {0, last(other)}) {
      if (Meet(SubjectPattern(one.subject, here), SubjectPattern(other.subject, there)))
        return true;
    }
  }
  return false;
}

}  // namespace bascule
