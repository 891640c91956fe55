// What people write for times and places in a log. Pure: the present is a parameter.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule::cli {

// RFC 3339 ("2026-11-23T04:41:50.5+01:00"), its shorter forms ("2026-11-23", "2026-11-23 04:41";
// UTC unless a zone is given), Unix seconds as "@1700000000[.25]", "now", or a span before now as
// "-10m" (core/base/quantity.h has spans).
absl::StatusOr<Timestamp> ParseTime(std::string_view text, Timestamp now);

// Where a subscription begins or ends.
struct Place {
  enum class Kind { kNew, kEarliest, kLatest, kOffset, kTime };
  Kind kind = Kind::kEarliest;
  int64_t value = 0;  // offset, or Unix nanoseconds
  bool operator==(const Place&) const = default;
};

// "new", "earliest", "latest", an offset, or a time as above. A bare number is an offset, never a
// time.
absl::StatusOr<Place> ParsePlace(std::string_view text, Timestamp now);

}  // namespace bascule::cli
