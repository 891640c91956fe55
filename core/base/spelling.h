// "Did you mean ...?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bascule {

// The name out of `known` that `written` most likely stands for; empty when none is near. Dots,
// dashes and underscores count as the same; a known name whose tail was written in full is near
// ("retention.max.age").
std::string NearestName(std::string_view written, const std::vector<std::string>& known);

// "; did you mean \"x\"?", or nothing without a near name.
std::string DidYouMean(std::string_view written, const std::vector<std::string>& known);

}  // namespace bascule
