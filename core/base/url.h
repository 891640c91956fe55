// What of a URL may be shown. Pure.
#pragma once

#include <string>
#include <string_view>

namespace bascule {

// Where a scheme in front of "://" ends; npos: there is none, or what stands there is no scheme but,
// say, part of a password.
size_t SchemeEnd(std::string_view url);

// `url` with `shown` in the place of the user, password or token that may stand before its last '@',
// whatever else stands there.
std::string WithoutUserInfo(std::string_view url, std::string_view shown = "");

}  // namespace bascule
