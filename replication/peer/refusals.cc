#include "replication/peer/refusals.h"

#include "absl/synchronization/mutex.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::peer {
namespace {

// At most so many lines of one kind in this time.
constexpr int kLines = 10;
constexpr std::chrono::seconds kPeriod{60};

}  // namespace

void Refusals::Note(const Refused& refused, std::string_view remote) {
  const auto kind = static_cast<size_t>(refused.reason);
  counts_[kind].fetch_add(1, std::memory_order_relaxed);
  uint64_t unsaid = 0;
  {
    const absl::MutexLock lock(&mutex_);
    const MonotonicTime now = clock_.Monotonic();
    Said& said = said_[kind];
    if (Between(said.since, now) > kPeriod) {
      said.since = now;
      said.lines = 0;
    }
    if (said.lines == kLines) {
      ++said.unsaid;
      return;
    }
    ++said.lines;
    std::swap(unsaid, said.unsaid);
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
