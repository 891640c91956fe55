// What people write for times, spans, sizes and places in a log. Pure: the present is a parameter.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule::cli {

// "90s", "1h30m", "7d", "1.5h", "250ms", "0"; units ns us ms s m h d w. InvalidArgument names what
// is wrong.
absl::StatusOr<Duration> ParseDuration(std::string_view text);

// RFC 3339 ("2026-11-23T04:41:50.5+01:00"), its shorter forms ("2026-11-23", "2026-11-23 04:41";
// UTC unless a zone is given), Unix seconds as "@1700000000[.25]", "now", or a span before now as
// "-10m".
absl::StatusOr<Timestamp> ParseTime(std::string_view text, Timestamp now);

// "65536", "64K" = "64KiB" (1024), "64kB" (1000), up to T; bytes.
absl::StatusOr<int64_t> ParseSize(std::string_view text);

// A whole number that fits.
absl::StatusOr<int64_t> ParseInteger(std::string_view text);

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
