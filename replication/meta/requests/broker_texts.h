// The texts that the cluster keeps of its brokers. Whoever takes one in, asks here: a member whose registration
// can only be refused would be missed as a voter.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace bascule::metadata {

// InvalidArgument when it is too long; names `setting`, which it is given with.
absl::Status CheckBrokerText(std::string_view what, std::string_view setting,
                             const std::string& text);
absl::Status CheckBrokerId(const std::string& server_id);
absl::Status CheckPeerAddress(const std::string& address);

}  // namespace bascule::metadata
