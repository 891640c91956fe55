// NATS user keys: Ed25519 seeds in their printable form (base32, with a type byte and a CRC-16).
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace bascule::nats {

// The public key ("U...") that belongs to a user seed ("SU..."). InvalidArgument when the text is
// not one.
absl::StatusOr<std::string> NkeyPublicFromSeed(std::string_view seed);

// The Ed25519 signature (64 bytes) of `message` by a user seed. InvalidArgument as above.
absl::StatusOr<std::string> SignWithNkey(std::string_view seed, std::string_view message);

// The first user seed in the text of a seed or credentials file; empty when there is none.
std::string_view FindNkeySeed(std::string_view text);

}  // namespace bascule::nats
