// Settings of a stream: what its creator asked for (overrides), what the broker assumes (defaults),
// and the two put together. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

enum class ReplyAcks : uint8_t { kOff = 0, kJetStream = 1 };
// What a LEADER ack waits for: the leader's disk, or the commit (as ALL does).
enum class LeaderAcks : uint8_t { kLocal = 0, kCommitted = 1 };

// The whole truth about how a stream behaves. 0 in a retention limit or an age means "no limit".
struct StreamSettings {
  int64_t retention_max_bytes = 0;     // per partition
  int64_t retention_max_messages = 0;  // per partition
  std::chrono::milliseconds retention_max_age{std::chrono::hours(168)};
  std::chrono::milliseconds cleaner_interval{std::chrono::minutes(5)};
  int64_t segment_max_bytes = limits::kDefaultSegmentBytes;
  std::chrono::milliseconds segment_max_age{std::chrono::hours(168)};
  int32_t min_isr = 0;  // 0 = a majority of the replication factor
  bool optimistic_concurrency_control = false;
  Durability durability = Durability::kFsync;
  ReplyAcks reply_acks = ReplyAcks::kOff;
  LeaderAcks leader_acks = LeaderAcks::kLocal;
  // Whether a wildcard subject also records inboxes and system subjects (<ns>.ack.>, _INBOX.>,
  // $SYS.>, $JS.>).
  bool record_internal_subjects = false;
  bool operator==(const StreamSettings&) const = default;
};

// What the creator set; absent = the broker's default. Kept in metadata as given.
struct StreamOverrides {
  std::optional<int64_t> retention_max_bytes;
  std::optional<int64_t> retention_max_messages;
  std::optional<std::chrono::milliseconds> retention_max_age;
  std::optional<std::chrono::milliseconds> cleaner_interval;
  std::optional<int64_t> segment_max_bytes;
  std::optional<std::chrono::milliseconds> segment_max_age;
  std::optional<int32_t> min_isr;
  std::optional<bool> optimistic_concurrency_control;
  std::optional<Durability> durability;
  std::optional<ReplyAcks> reply_acks;
  std::optional<LeaderAcks> leader_acks;
  std::optional<bool> record_internal_subjects;
  bool operator==(const StreamOverrides&) const = default;
};

// InvalidArgument naming the field, its value and what is allowed: no negative number, no unknown
// choice.
absl::Status ValidateOverrides(const StreamOverrides& overrides);

// `defaults` with every set override put over it, and the derived rules applied: a segment's age
// limit is never longer than the retention age (otherwise quiet streams would keep data past it);
// segment bytes and cleaner interval 0 mean the default; segment bytes are brought into
// limits::kMinSegmentBytes..kMaxSegmentBytes (existing clients ask for a few bytes, and a file per
// message helps nobody), ages of more than a century to a century (so that they can be counted in
// nanoseconds).
StreamSettings Resolve(const StreamOverrides& overrides, const StreamSettings& defaults);

// Text forms used by the configuration, the CLI and metadata: "fsync"/"os", "off"/"jetstream",
// "local"/"committed". A number that is none of them (from a file or a peer) has the empty text.
std::string_view ToText(Durability value);
std::string_view ToText(ReplyAcks value);
std::string_view ToText(LeaderAcks value);
absl::StatusOr<Durability> ParseDurability(std::string_view text);
absl::StatusOr<ReplyAcks> ParseReplyAcks(std::string_view text);
absl::StatusOr<LeaderAcks> ParseLeaderAcks(std::string_view text);

}  // namespace bascule
