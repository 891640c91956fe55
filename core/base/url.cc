#include "core/base/url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "core/base/text.h"

namespace bascule {

size_t SchemeEnd(std::string_view url) {
  const size_t end = url.find("://");
  if (end == std::string_view::npos) return end;
  const std::string_view scheme = url.substr(0, end);
  const bool letters = std::all_of(scheme.begin(), scheme.end(), absl::ascii_isalpha);
  return letters ? end : std::string_view::npos;
}

std::string WithoutUserInfo(std::string_view url, std::string_view shown) {
  const size_t scheme = SchemeEnd(url);
  const size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const size_t at = url.rfind('@');
  if (at == std::string_view::npos || at < begin) return std::string(url);
  return Concat(url.substr(0, begin), shown, url.substr(at + 1));
}

}  // namespace bascule
