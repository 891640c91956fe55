// Settings of a stream: what its creator asked for (overrides), what the broker assumes (defaults),
// and the two put together. Plain values.
//
// A setting is a field of StreamFields and a row of kStreamSettings. The row drives its keys in the
// configuration, its flag, the codec of metadata, bascule.v1 (which has a field of its number and
// name), JSON, differences, what `stream info` says and `--help` explains.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

enum class ReplyAcks : uint8_t { kOff = 0, kJetStream = 1 };
// What a LEADER ack waits for: the leader's disk, or the commit (as ALL does).
enum class LeaderAcks : uint8_t { kLocal = 0, kCommitted = 1 };

// 0 in a retention limit or an age means "no limit". `Kept` is the type itself, or an optional one.
template <template <typename> typename Kept>
struct StreamFields {
  Kept<int64_t> retention_max_bytes;     // per partition
  Kept<int64_t> retention_max_messages;  // per partition
  Kept<std::chrono::milliseconds> retention_max_age;
  Kept<std::chrono::milliseconds> cleaner_interval;
  Kept<int64_t> segment_max_bytes;
  Kept<std::chrono::milliseconds> segment_max_age;
  Kept<int32_t> min_isr;  // 0 = a majority of the replication factor
  Kept<bool> optimistic_concurrency_control;
  Kept<Durability> durability;
  Kept<ReplyAcks> reply_acks;
  Kept<LeaderAcks> leader_acks;
  // Whether a wildcard subject also records inboxes and system subjects (<ns>.ack.>, _INBOX.>,
  // $SYS.>, $JS.>).
  Kept<bool> record_internal_subjects;
  Kept<int64_t> max_message_bytes;  // 0 = the broker's limit
  bool operator==(const StreamFields&) const = default;
};

namespace internal {
template <typename T>
using Plain = T;
}  // namespace internal

// The whole truth about how a stream behaves; each row's default unless set.
struct StreamSettings : StreamFields<internal::Plain> {
  StreamSettings();
};

// What the creator set; absent = a default. Kept in metadata as given, with what binds added.
struct StreamOverrides : StreamFields<std::optional> {};

enum class SettingUnit : uint8_t { kBytes, kCount, kMilliseconds, kSwitch, kChoice };

// Whose default holds for a stream that was created without its own value.
enum class SettingScope : uint8_t {
  // The metadata leader's at that time, written into the stream: it is part of what an ack means or
  // of what is recorded, so every replica must hold to the same, whoever leads later.
  kBinding,
  // Each broker's own, whenever it looks: how much is kept and in what pieces may differ between
  // replicas, and follows the operator's configuration.
  kLocal,
};

struct StreamSetting {
  // Field of bascule.v1's StreamSettings (where choices count from 1) and of the metadata's
  // StreamOverrides. Never given to another setting.
  int number = 0;
  std::string_view name{};        // its field; in bascule.v1 and JSON periods end in _ms
  std::string_view liftbridge{};  // field of Liftbridge's CreateStreamRequest; empty: none
  std::string_view key{};         // of streams.declare; the broker's default is "streams." and this
  std::string_view broker_key{};  // unless this says otherwise
  std::string_view flag{};        // of the command line, without dashes
  SettingUnit unit = SettingUnit::kCount;
  SettingScope scope = SettingScope::kLocal;
  bool fixed = false;   // cannot change once the stream is there
  uint32_t level = 0;   // feature level from which on every broker of the cluster knows it
  int64_t initial = 0;  // without any configuration
  int64_t least = 0;    // of what people write; 0 besides, when `zero` says what it means
  int64_t most = std::numeric_limits<int64_t>::max();
  std::string_view zero{};
  std::array<std::string_view, 2> words{};  // kChoice: texts of 0 and 1
  std::string_view title{};  // of its line in `stream info`; empty: it is part of another
  std::string_view doc{};

  int64_t (*get)(const StreamSettings&) = nullptr;
  void (*set)(StreamSettings&, int64_t) = nullptr;
  std::optional<int64_t> (*asked)(const StreamOverrides&) = nullptr;
  void (*ask)(StreamOverrides&, int64_t) = nullptr;
};

namespace internal {

inline int64_t ToNumber(std::chrono::milliseconds value) { return value.count(); }
template <typename T>
constexpr int64_t ToNumber(T value) {
  return static_cast<int64_t>(value);
}

// A number that the type does not hold (from a file or a peer) becomes its least or greatest; of
// choices the greatest, which is none that anybody knows.
template <typename T>
constexpr T FromNumber(int64_t number) {
  if constexpr (std::is_same_v<T, std::chrono::milliseconds>) {
    return T(number);
  } else if constexpr (std::is_same_v<T, bool>) {
    return number != 0;
  } else if constexpr (std::is_enum_v<T>) {
    constexpr int64_t kMost = std::numeric_limits<std::underlying_type_t<T>>::max();
    return static_cast<T>(number < 0 || number > kMost ? kMost : number);
  } else {
    using Limits = std::numeric_limits<T>;
    if (number < int64_t{Limits::min()}) return Limits::min();
    return number > int64_t{Limits::max()} ? Limits::max() : static_cast<T>(number);
  }
}

template <auto Setting, auto Override>
constexpr StreamSetting Row(StreamSetting row) {
  using T = std::remove_cvref_t<decltype(std::declval<StreamSettings>().*Setting)>;
  row.get = [](const StreamSettings& s) { return ToNumber(s.*Setting); };
  row.set = [](StreamSettings& s, int64_t number) { s.*Setting = FromNumber<T>(number); };
  row.asked = [](const StreamOverrides& o) -> std::optional<int64_t> {
    if (!(o.*Override)) return std::nullopt;
    return ToNumber(*(o.*Override));
  };
  row.ask = [](StreamOverrides& o, int64_t number) { o.*Override = FromNumber<T>(number); };
  return row;
}

inline constexpr int64_t kFiveMinutes = 5 * 60 * 1000;
inline constexpr int64_t kWeek = 7 * 24 * 3600 * int64_t{1000};

}  // namespace internal

#define BASCULE_ROW(field) internal::Row<&StreamSettings::field, &StreamOverrides::field>

// By number.
inline constexpr std::array kStreamSettings{
    BASCULE_ROW(retention_max_bytes)({
        .number = 1,
        .name = "retention_max_bytes",
        .liftbridge = "retentionMaxBytes",
        .key = "retention.max.bytes",
        .flag = "retention-max-bytes",
        .unit = SettingUnit::kBytes,
        .least = 1,
        .zero = "no limit",
        .doc = "Bytes kept per partition; the oldest whole segments go first. 0 = no limit.",
    }),
    BASCULE_ROW(retention_max_messages)({
        .number = 2,
        .name = "retention_max_messages",
        .liftbridge = "retentionMaxMessages",
        .key = "retention.max.messages",
        .flag = "retention-max-messages",
        .zero = "no limit",
        .doc = "Messages kept per partition; the oldest whole segments go first. 0 = no limit.",
    }),
    BASCULE_ROW(retention_max_age)({
        .number = 3,
        .name = "retention_max_age",
        .liftbridge = "retentionMaxAge",
        .key = "retention.max.age",
        .flag = "retention-max-age",
        .unit = SettingUnit::kMilliseconds,
        .initial = internal::kWeek,
        .zero = "no limit",
        .doc = "How long messages are kept. 0 = no limit.",
    }),
    BASCULE_ROW(cleaner_interval)({
        .number = 4,
        .name = "cleaner_interval",
        .liftbridge = "cleanerInterval",
        .key = "cleaner.interval",
        .flag = "cleaner-interval",
        .unit = SettingUnit::kMilliseconds,
        .initial = internal::kFiveMinutes,
        .zero = "the default",
        .doc = "How often the limits above are enforced.",
    }),
    BASCULE_ROW(segment_max_bytes)({
        .number = 5,
        .name = "segment_max_bytes",
        .liftbridge = "segmentMaxBytes",
        .key = "segment.max.bytes",
        .flag = "segment-max-bytes",
        .unit = SettingUnit::kBytes,
        .initial = limits::kDefaultSegmentBytes,
        .least = limits::kMinSegmentBytes,
        .most = limits::kMaxSegmentBytes,
        .zero = "the default",
        .doc = "Size at which a partition starts a new segment file.",
    }),
    BASCULE_ROW(segment_max_age)({
        .number = 6,
        .name = "segment_max_age",
        .liftbridge = "segmentMaxAge",
        .key = "segment.max.age",
        .flag = "segment-max-age",
        .unit = SettingUnit::kMilliseconds,
        .initial = internal::kWeek,
        .zero = "the retention age",
        .doc = "Age at which a partition starts a new segment file; never more than the retention "
               "age. 0 = the retention age.",
    }),
    BASCULE_ROW(min_isr)({
        .number = 7,
        .name = "min_isr",
        .liftbridge = "minIsr",
        .key = "min.insync.replicas",
        .broker_key = "clustering.min.insync.replicas",
        .flag = "min-isr",
        .scope = SettingScope::kBinding,
        .most = std::numeric_limits<int32_t>::max(),
        .zero = "a majority",
        .doc = "In-sync replicas that must have a record before it is committed. 0 = a majority of "
               "the replication factor.",
    }),
    BASCULE_ROW(optimistic_concurrency_control)({
        .number = 8,
        .name = "optimistic_concurrency_control",
        .liftbridge = "optimisticConcurrencyControl",
        .key = "concurrency.control",
        .flag = "optimistic-concurrency",
        .unit = SettingUnit::kSwitch,
        .scope = SettingScope::kBinding,
        .fixed = true,
        .title = "concurrency",
        .doc = "Refuse a publish whose expected offset is not the next one.",
    }),
    BASCULE_ROW(durability)({
        .number = 9,
        .name = "durability",
        .key = "durability",
        .flag = "durability",
        .unit = SettingUnit::kChoice,
        .scope = SettingScope::kBinding,
        .fixed = true,
        .words = {"fsync", "os"},
        .doc = "What an ack stands on: \"fsync\", the disk (survives a power cut), or \"os\", the "
               "page cache (survives a crash of the broker only).",
    }),
    BASCULE_ROW(reply_acks)({
        .number = 10,
        .name = "reply_acks",
        .key = "reply.acks",
        .flag = "reply-acks",
        .unit = SettingUnit::kChoice,
        .scope = SettingScope::kBinding,
        .fixed = true,
        .words = {"off", "jetstream"},
        .doc = "\"jetstream\" answers plain NATS messages that have a reply subject as JetStream "
               "would. Leave it off where others reply to the recorded requests.",
    }),
    BASCULE_ROW(leader_acks)({
        .number = 11,
        .name = "leader_acks",
        .key = "acks.leader",
        .flag = "leader-acks",
        .unit = SettingUnit::kChoice,
        .scope = SettingScope::kBinding,
        .words = {"local", "committed"},
        .doc = "What acks of policy LEADER wait for: \"local\", the leader's disk, or "
               "\"committed\", all in-sync replicas.",
    }),
    BASCULE_ROW(record_internal_subjects)({
        .number = 12,
        .name = "record_internal_subjects",
        .key = "subjects.internal",
        .flag = "record-internal-subjects",
        .unit = SettingUnit::kSwitch,
        .scope = SettingScope::kBinding,
        .fixed = true,
        .title = "internal",
        .doc = "Let wildcards record inboxes and system subjects too (_INBOX.>, $SYS.>, $JS.>, "
               "acks).",
    }),
    BASCULE_ROW(max_message_bytes)({
        .number = 13,
        .name = "max_message_bytes",
        .key = "message.max.bytes",
        .flag = "max-message-bytes",
        .unit = SettingUnit::kBytes,
        .scope = SettingScope::kBinding,
        .level = 2,
        .least = 1,
        .most = limits::kMaxMessageBytes,
        .zero = "the broker's limit",
        .title = "max message",
        .doc = "Largest message that a stream stores; the broker's own limit "
               "(clustering.replication.max.bytes) holds too. 0 = only that one.",
    }),
};

#undef BASCULE_ROW

namespace internal {
template <typename>
using OneByte = char;
static_assert(sizeof(StreamFields<OneByte>) == kStreamSettings.size(), "a field without a row");
}  // namespace internal

// Null: no setting has this number.
const StreamSetting* FindSetting(int number);

// --- one value ---
// What `text` says; an error completes the sentence "<key> ...".
absl::StatusOr<int64_t> ParseSetting(const StreamSetting& row, std::string_view text);
// Parses back to the same value: "256MiB", "168h", "fsync". A number that is no choice: empty.
std::string SettingText(const StreamSetting& row, int64_t value);
// "size", "number", "duration", "bool", "fsync|os".
std::string SettingType(const StreamSetting& row);
// "a number of bytes", "true or false".
std::string SettingForm(const StreamSetting& row);

// --- all of a stream's ---
// InvalidArgument naming the field, its value and what is allowed: no negative number, no unknown
// choice.
absl::Status ValidateOverrides(const StreamOverrides& overrides);

// InvalidArgument where the overrides' min ISR is more than `replicas`: nothing would ever be
// committed.
absl::Status CheckMinIsr(const StreamOverrides& overrides, int32_t replicas);

// Replicas that must have a record before it is committed. `setting`: min_isr.
int32_t MinIsr(int32_t setting, size_t replicas);

// Puts everything that is set in `from` over `into`.
void Merge(const StreamOverrides& from, StreamOverrides& into);

// What binds and `overrides` leave open, as `defaults` have it; at the cluster's feature `level`.
// Nothing is set in it: the stream is bound.
StreamOverrides OpenBindings(const StreamOverrides& overrides, const StreamSettings& defaults,
                             uint32_t level);

// Null, or a setting in `overrides` that not every broker of a cluster at feature `level` knows.
const StreamSetting* FindNewer(const StreamOverrides& overrides, uint32_t level);
// Null, or one that cannot change once the stream is there.
const StreamSetting* FindFixed(const StreamOverrides& overrides);

// `defaults` with every set override put over it, and the derived rules applied: a segment's age
// limit is never longer than the retention age (otherwise quiet streams would keep data past it);
// segment bytes and cleaner interval 0 mean the default; segment bytes are brought into
// limits::kMinSegmentBytes..kMaxSegmentBytes (existing clients ask for a few bytes, and a file per
// message helps nobody), ages of more than a century to a century (so that they can be counted in
// nanoseconds).
StreamSettings Resolve(const StreamOverrides& overrides, const StreamSettings& defaults);

}  // namespace bascule
