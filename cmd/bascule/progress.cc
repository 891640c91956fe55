#include "cmd/bascule/progress.h"

#include <algorithm>

#include "cmd/bascule/format.h"

namespace bascule::cli {
namespace {

constexpr Duration kRedraw = std::chrono::milliseconds(100);
constexpr uint64_t kBarWidth = 24;

}  // namespace

Progress::Progress(Console& console, Clock& clock, bool wanted)
    : console_(console),
      clock_(clock),
      active_(wanted && console.err_is_terminal),
      drawn_at_(clock.Monotonic()) {}

void Progress::Show(uint64_t done, uint64_t total, const std::string& unit,
                    const std::string& extra) {
  if (!active_) return;
  const MonotonicTime now = clock_.Monotonic();
  const Duration since = Between(drawn_at_, now);
  if (since < kRedraw) return;
  const double fresh = static_cast<double>(done - std::min(done, drawn_done_)) * 1e9 /
                       static_cast<double>(since.count());
  // Smoothed, or the number would flicker.
  rate_ = drawn_ ? 0.8 * rate_ + 0.2 * fresh : fresh;
  drawn_at_ = now;
  drawn_done_ = done;
  drawn_ = true;
  std::string line;
  if (total > 0) {
    const uint64_t filled = std::min(done, total) * kBarWidth / total;
    line = "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " +
           std::to_string(std::min(done, total) * 100 / total) + "%  ";
  }
  line += GroupDigits(done) + (total > 0 ? " of " + GroupDigits(total) : "") + " " + unit + "  " +
          GroupDigits(static_cast<uint64_t>(rate_)) + "/s";
  if (!extra.empty()) line += "  " + extra;
  console_.err << "\r\033[K" << line << std::flush;
}

void Progress::Clear() {
  if (!drawn_) return;
  console_.err << "\r\033[K" << std::flush;
  drawn_ = false;
}

}  // namespace bascule::cli
