#include "replication/peer/refusals.h"

#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::peer {
namespace {

// At most so many lines of one kind in this time.
constexpr int kLines = 10;
constexpr std::chrono::seconds kPeriod{60};

}  // namespace

void Refusals::Note(const Refused& refused, std::string_view remote) {
  Kind& kind = kinds_[static_cast<size_t>(refused.reason)];
  kind.count.fetch_add(1, std::memory_order_relaxed);
  uint64_t unsaid = 0;
  {
    const std::lock_guard lock(mutex_);
    const MonotonicTime now = clock_.Monotonic();
    if (Between(kind.since, now) > kPeriod) {
      kind.since = now;
      kind.lines = 0;
    }
    if (kind.lines == kLines) {
      ++kind.unsaid;
      return;
    }
    ++kind.lines;
    std::swap(unsaid, kind.unsaid);
  }
  const std::string text =
      Concat("peer: ", Quoted(remote), " was refused (", NameOf(refused.reason),
             "): ", FromAbsl(refused.status.message()),
             unsaid > 0 ? Concat(" (and ", unsaid, " more of the kind before)") : "");
  if (refused.reason == Refusal::kReplaced) {
    LogDebug(text);
  } else {
    LogWarning(text);
  }
}

}  // namespace bascule::peer
