#include "core/stream/settings.h"

#include <algorithm>

#include "core/base/text.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCentury = std::chrono::hours(24 * 36525);

template <typename T>
absl::Status NotNegative(std::string_view field, const std::optional<T>& value,
                         std::string_view meaning) {
  if (!value || *value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Concat("Invalid ", field, " ", *value, ": it must be ", meaning, " and not negative"));
}

absl::Status NotNegative(std::string_view field, const std::optional<milliseconds>& value,
                         std::string_view meaning) {
  std::optional<int64_t> count;
  if (value) count = value->count();
  return NotNegative(field, count, meaning);
}

template <typename Choice>
absl::Status Known(std::string_view field, const std::optional<Choice>& value,
                   std::string_view choices) {
  if (!value || !ToText(*value).empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Concat("Invalid ", field, " number ", static_cast<int>(*value), ": it must be ", choices));
}

template <typename Choice>
absl::StatusOr<Choice> ParseChoice(std::string_view field, std::string_view text,
                                   std::initializer_list<Choice> choices) {
  std::string allowed;
  for (Choice choice : choices) {
    if (text == ToText(choice)) return choice;
    allowed += Concat(allowed.empty() ? "" : " or ", "\"", ToText(choice), "\"");
  }
  return absl::InvalidArgumentError(
      Concat("Invalid ", field, " \"", text, "\": it must be ", allowed));
}

template <typename T>
void Override(T& setting, const std::optional<T>& value) {
  if (value) setting = *value;
}

milliseconds SegmentAge(milliseconds segment_age, milliseconds retention_age) {
  if (retention_age.count() == 0) return segment_age;
  return segment_age.count() == 0 ? retention_age : std::min(segment_age, retention_age);
}

int64_t SegmentBytes(int64_t asked, int64_t by_default) {
  if (asked == 0) asked = by_default;
  if (asked == 0) asked = limits::kDefaultSegmentBytes;
  return std::clamp(asked, static_cast<int64_t>(limits::kMinSegmentBytes),
                    static_cast<int64_t>(limits::kMaxSegmentBytes));
}

}  // namespace

absl::Status ValidateOverrides(const StreamOverrides& o) {
  constexpr std::string_view kBytes = "a number of bytes (0 = no limit)";
  constexpr std::string_view kAge = "milliseconds (0 = no limit)";
  RETURN_IF_ERROR(NotNegative("retentionMaxBytes", o.retention_max_bytes, kBytes));
  RETURN_IF_ERROR(NotNegative("retentionMaxMessages", o.retention_max_messages,
                              "a number of messages (0 = no limit)"));
  RETURN_IF_ERROR(NotNegative("retentionMaxAge", o.retention_max_age, kAge));
  RETURN_IF_ERROR(
      NotNegative("cleanerInterval", o.cleaner_interval, "milliseconds (0 = the default)"));
  RETURN_IF_ERROR(
      NotNegative("segmentMaxBytes", o.segment_max_bytes, "a number of bytes (0 = the default)"));
  RETURN_IF_ERROR(NotNegative("segmentMaxAge", o.segment_max_age, kAge));
  RETURN_IF_ERROR(NotNegative("minIsr", o.min_isr, "a number of replicas (0 = a majority)"));
  RETURN_IF_ERROR(Known("durability", o.durability, "0 (fsync) or 1 (os)"));
  RETURN_IF_ERROR(Known("reply_acks", o.reply_acks, "0 (off) or 1 (jetstream)"));
  return Known("acks.leader", o.leader_acks, "0 (local) or 1 (committed)");
}

StreamSettings Resolve(const StreamOverrides& overrides, const StreamSettings& defaults) {
  StreamSettings s = defaults;
  Override(s.retention_max_bytes, overrides.retention_max_bytes);
  Override(s.retention_max_messages, overrides.retention_max_messages);
  Override(s.retention_max_age, overrides.retention_max_age);
  Override(s.cleaner_interval, overrides.cleaner_interval);
  Override(s.segment_max_bytes, overrides.segment_max_bytes);
  Override(s.segment_max_age, overrides.segment_max_age);
  Override(s.min_isr, overrides.min_isr);
  Override(s.optimistic_concurrency_control, overrides.optimistic_concurrency_control);
  Override(s.durability, overrides.durability);
  Override(s.reply_acks, overrides.reply_acks);
  Override(s.leader_acks, overrides.leader_acks);
  Override(s.record_internal_subjects, overrides.record_internal_subjects);

  if (s.cleaner_interval.count() == 0) s.cleaner_interval = defaults.cleaner_interval;
  if (s.cleaner_interval.count() == 0) s.cleaner_interval = StreamSettings().cleaner_interval;
  s.cleaner_interval = std::min(s.cleaner_interval, kCentury);
  s.retention_max_age = std::min(s.retention_max_age, kCentury);
  s.segment_max_age = std::min(SegmentAge(s.segment_max_age, s.retention_max_age), kCentury);
  s.segment_max_bytes = SegmentBytes(s.segment_max_bytes, defaults.segment_max_bytes);
  return s;
}

std::string_view ToText(Durability value) {
  switch (value) {
    case Durability::kFsync:
      return "fsync";
    case Durability::kOs:
      return "os";
  }
  return {};
}

std::string_view ToText(ReplyAcks value) {
  switch (value) {
    case ReplyAcks::kOff:
      return "off";
    case ReplyAcks::kJetStream:
      return "jetstream";
  }
  return {};
}

std::string_view ToText(LeaderAcks value) {
  switch (value) {
    case LeaderAcks::kLocal:
      return "local";
    case LeaderAcks::kCommitted:
      return "committed";
  }
  return {};
}

absl::StatusOr<Durability> ParseDurability(std::string_view text) {
  return ParseChoice("durability", text, {Durability::kFsync, Durability::kOs});
}

absl::StatusOr<ReplyAcks> ParseReplyAcks(std::string_view text) {
  return ParseChoice("reply_acks", text, {ReplyAcks::kOff, ReplyAcks::kJetStream});
}

absl::StatusOr<LeaderAcks> ParseLeaderAcks(std::string_view text) {
  return ParseChoice("acks.leader", text, {LeaderAcks::kLocal, LeaderAcks::kCommitted});
}

}  // namespace bascule
