#include "core/base/spelling.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "core/base/text.h"

namespace bascule {
namespace {

// Longer names are no typing mistake; the bound keeps hostile input cheap.
constexpr size_t kMaxNameBytes = 96;

std::string Plain(std::string_view name) {
  std::string plain = absl::AsciiStrToLower(ToAbsl(name));
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c == '_' || c == '-'; }, '.');
  return plain;
}

// Edits (insert, remove, replace, swap neighbours) from `a` to `b`: optimal string alignment,
// Damerau 1964.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string NearestName(std::string_view written, const std::vector<std::string>& known) {
  if (written.empty() || written.size() > kMaxNameBytes) return "";
  const std::string wanted = Plain(written);
  size_t least = std::max<size_t>(1, wanted.size() / 4) + 1;
  const std::string* nearest = nullptr;
  for (const std::string& name : known) {
    const std::string plain = Plain(name);
    const bool tail = wanted.size() >= 4 && plain.ends_with(Concat(".", wanted));
    const size_t distance = tail ? 1 : Distance(wanted, plain);
    if (distance >= least) continue;
    least = distance;
    nearest = &name;
  }
  return nearest ? *nearest : "";
}

std::string DidYouMean(std::string_view written, const std::vector<std::string>& known) {
  const std::string nearest = NearestName(written, known);
  return nearest.empty() ? "" : Concat("; did you mean \"", nearest, "\"?");
}

}  // namespace bascule
