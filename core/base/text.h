// Joining text. Debian's abseil is built with a string_view of its own, which std::string_view does
// not convert to; `Concat` is absl::StrCat that takes both, and the system's numbers as they are.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/types.h"

namespace bascule {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view FromAbsl(absl::string_view text) { return {text.data(), text.size()}; }

namespace internal {
template <typename T>
decltype(auto) ForConcat(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}
template <typename Tag, typename Rep>
Rep ForConcat(const Number<Tag, Rep>& value) {
  return value.value();
}
}  // namespace internal

template <typename... Args>
std::string Concat(const Args&... args) {
  return absl::StrCat(internal::ForConcat(args)...);
}

}  // namespace bascule
