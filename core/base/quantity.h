// Text -> numbers, times and sizes, and back: one grammar for the configuration and the command
// line. Errors complete the sentence "<name> ...": they say what is allowed and show the text, so
// secrets are not parsed here.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

// "true"/"yes"/"on"/"1" and their opposites, any case.
absl::StatusOr<bool> ParseSwitch(std::string_view text);
absl::StatusOr<int64_t> ParseWhole(std::string_view text, int64_t min, int64_t max);
// "250ms", "1h30m", "1.5h", "30d", "0"; units ns, us, ms, s, m, h, d, w. Never negative.
absl::StatusOr<Duration> ParsePeriod(std::string_view text);
// Bytes: "65536", "64K" = "64KiB" (of 1024), "64KB" (of 1000), up to T; "1.5GiB"; any case, and a
// blank may stand before the unit. Never negative.
absl::StatusOr<int64_t> ParseSize(std::string_view text);

// Bytes in [min, max], and 0 too when `zero` says what it means ("no limit").
absl::StatusOr<int64_t> ParseSizeBetween(std::string_view text, int64_t min, int64_t max,
                                         std::string_view zero);
// Whole milliseconds, at least one, and 0 too when `zero` says what it means.
absl::StatusOr<std::chrono::milliseconds> ParseMillis(std::string_view text, std::string_view zero);
// The same check of a period that is known.
absl::StatusOr<std::chrono::milliseconds> CheckMillis(Duration period, std::string_view text,
                                                      std::string_view zero);

// Texts that parse back to the same value: "168h", "1h30m", "250ms", "0s". Not negative.
std::string PeriodText(Duration period);
// "256MiB", "1500".
std::string SizeText(int64_t bytes);

// `text` in double quotes, cut to a readable length, control characters escaped.
std::string Quoted(std::string_view text);

}  // namespace bascule
