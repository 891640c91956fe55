#include "replication/isr/leader_replica.h"

#include <algorithm>

#include "core/base/check.h"

namespace bascule::isr {

LeaderReplica::LeaderReplica(std::string self, LeaderEpoch epoch,
                             const std::vector<std::string>& isr, int min_isr,
                             Durability durability, Offset log_end, Offset flushed_end,
                             Offset high_watermark)
    : self_(std::move(self)),
      epoch_(epoch),
      min_isr_(min_isr),
      durability_(durability),
      log_end_(log_end),
      flushed_end_(flushed_end),
      high_watermark_(high_watermark) {
  BASCULE_CHECK_GE(min_isr_, 1);
  BASCULE_CHECK(std::find(isr.begin(), isr.end(), self_) != isr.end());
  for (const std::string& broker : isr) {
    if (broker != self_) members_.push_back({broker, std::nullopt, true});
  }
  BASCULE_CHECK_EQ(members_.size() + 1, isr.size());  // each once
  CheckInvariants();
}

void LeaderReplica::CheckInvariants() const {
  BASCULE_CHECK_GE(high_watermark_, Offset(0));
  BASCULE_CHECK_LE(high_watermark_, log_end_);
  BASCULE_CHECK_LE(flushed_end_, log_end_);
  for (const Member& member : members_) BASCULE_CHECK(member.broker != self_);
}

std::optional<Offset> LeaderReplica::SetMinIsr(int min_isr) {
  BASCULE_CHECK_GE(min_isr, 1);
  min_isr_ = min_isr;
  return Advance();
}

std::optional<Offset> LeaderReplica::OnAppended(Offset log_end) {
  BASCULE_CHECK_GE(log_end, log_end_);
  log_end_ = log_end;
  return Advance();
}

std::optional<Offset> LeaderReplica::OnFlushed(Offset flushed_end) {
  BASCULE_CHECK_GE(flushed_end, flushed_end_);
  BASCULE_CHECK_LE(flushed_end, log_end_);
  flushed_end_ = flushed_end;
  return Advance();
}

std::optional<Offset> LeaderReplica::OnAcknowledged(const std::string& broker, LeaderEpoch epoch,
                                                    Offset position) {
  if (epoch != epoch_) return std::nullopt;
  for (Member& member : members_) {
    if (member.broker != broker) continue;
    member.acknowledged = std::max(member.acknowledged.value_or(position), position);
    return Advance();
  }
  return std::nullopt;
}

std::optional<Offset> LeaderReplica::Advance() {
  int committed_members = 1;
  Offset least = OwnPosition();
  for (const Member& member : members_) {
    if (!member.acknowledged) return std::nullopt;
    least = std::min(least, *member.acknowledged);
    if (member.in_committed_isr) ++committed_members;
  }
  if (committed_members < min_isr_ || least <= high_watermark_) return std::nullopt;
  BASCULE_CHECK_LE(least, log_end_);
  high_watermark_ = least;
  return high_watermark_;
}

}  // namespace bascule::isr
