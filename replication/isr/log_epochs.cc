#include "replication/isr/log_epochs.h"

#include <algorithm>

#include "core/base/check.h"

namespace bascule::isr {
namespace {

Offset EndOf(const LogEpochs& log, size_t i) {
  return i + 1 < log.epochs.size() ? log.epochs[i + 1].start : log.end;
}

}  // namespace

bool LogEpochs::Valid() const {
  if (start < Offset(0) || end < start) return false;
  if (epochs.empty()) return true;
  for (size_t i = 0; i < epochs.size(); ++i) {
    if (epochs[i].start < start || epochs[i].start >= end) return false;
    if (i == 0) continue;
    if (epochs[i].epoch <= epochs[i - 1].epoch || epochs[i].start <= epochs[i - 1].start)
      return false;
  }
  return true;
}

std::optional<Offset> CommonEnd(const LogEpochs& mine, const LogEpochs& theirs) {
  BASCULE_CHECK(mine.Valid() && theirs.Valid());
  size_t i = mine.epochs.size();
  size_t j = theirs.epochs.size();
  while (i > 0 && j > 0) {
    const LeaderEpoch ours = mine.epochs[i - 1].epoch;
    const LeaderEpoch other = theirs.epochs[j - 1].epoch;
    if (ours == other) return std::min(EndOf(mine, i - 1), EndOf(theirs, j - 1));
    (ours > other ? i : j) -= 1;
  }
  return std::nullopt;
}

}  // namespace bascule::isr
