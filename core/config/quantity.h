// Text -> numbers, times and sizes, and back. Errors complete the sentence "<key> ..." and say what
// is allowed; they show the text, so secrets are not parsed here.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

// "true"/"yes"/"on"/"1" and their opposites, any case.
absl::StatusOr<bool> ParseSwitch(absl::string_view text);
absl::StatusOr<int64_t> ParseWhole(absl::string_view text, int64_t min, int64_t max);
// Go's syntax: "1h30m", "250ms", "-1.5s"; a bare number counts nanoseconds, as Liftbridge's
// configuration has it.
absl::StatusOr<Duration> ParsePeriod(absl::string_view text);
// Bytes: a whole number, or with a unit of 1024 (KiB, MiB, GiB, TiB) or 1000 (KB, MB, GB, TB):
// "64MiB", "1.5GiB".
absl::StatusOr<int64_t> ParseSize(absl::string_view text);

// The shortest text that parses back to the same value: "168h", "1h30m", "250ms", "0s".
std::string PeriodText(Duration period);
// "256MiB", "1500".
std::string SizeText(int64_t bytes);

}  // namespace bascule
