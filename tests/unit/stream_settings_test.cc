#include "core/stream/settings.h"

#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <string_view>

namespace bascule {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

TEST_CASE("negative overrides are refused by name") {
  struct Case {
    const char* field;
    std::function<void(StreamOverrides&, int)> set;
  };
  const Case cases[] = {
      {"retentionMaxBytes", [](StreamOverrides& o, int n) { o.retention_max_bytes = n; }},
      {"retentionMaxMessages", [](StreamOverrides& o, int n) { o.retention_max_messages = n; }},
      {"retentionMaxAge", [](StreamOverrides& o, int n) { o.retention_max_age = milliseconds(n); }},
      {"cleanerInterval", [](StreamOverrides& o, int n) { o.cleaner_interval = milliseconds(n); }},
      {"segmentMaxBytes", [](StreamOverrides& o, int n) { o.segment_max_bytes = n; }},
      {"segmentMaxAge", [](StreamOverrides& o, int n) { o.segment_max_age = milliseconds(n); }},
      {"minIsr", [](StreamOverrides& o, int n) { o.min_isr = n; }},
  };
  for (const Case& c : cases) {
    StreamOverrides overrides;
    c.set(overrides, 0);
    CHECK(ValidateOverrides(overrides).ok());
    c.set(overrides, -3);
    const absl::Status status = ValidateOverrides(overrides);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    const std::string text(status.message());
    CAPTURE(text);
    CHECK(text.starts_with(std::string("Invalid ") + c.field + " -3: it must be "));
    CHECK(text.ends_with("not negative"));
  }
}

TEST_CASE("choices that are none are refused by name") {
  StreamOverrides overrides;
  overrides.durability = static_cast<Durability>(2);
  CHECK(ValidateOverrides(overrides).message() ==
        "Invalid durability number 2: it must be 0 (fsync) or 1 (os)");
  overrides = {};
  overrides.reply_acks = static_cast<ReplyAcks>(9);
  CHECK_FALSE(ValidateOverrides(overrides).ok());
  overrides = {};
  overrides.leader_acks = static_cast<LeaderAcks>(9);
  CHECK_FALSE(ValidateOverrides(overrides).ok());
}

TEST_CASE("without overrides the defaults stand") {
  StreamSettings defaults;
  defaults.retention_max_bytes = 7;
  defaults.min_isr = 2;
  defaults.reply_acks = ReplyAcks::kJetStream;
  CHECK(Resolve({}, defaults) == defaults);
}

TEST_CASE("every override is put over its default") {
  StreamOverrides o;
  o.retention_max_bytes = 1;
  o.retention_max_messages = 2;
  o.retention_max_age = hours(300);
  o.cleaner_interval = milliseconds(4);
  o.segment_max_bytes = 1 << 20;
  o.segment_max_age = milliseconds(6);
  o.min_isr = 7;
  o.optimistic_concurrency_control = true;
  o.durability = Durability::kOs;
  o.reply_acks = ReplyAcks::kJetStream;
  o.leader_acks = LeaderAcks::kCommitted;
  o.record_internal_subjects = true;
  const StreamSettings s = Resolve(o, StreamSettings());
  CHECK(s.retention_max_bytes == 1);
  CHECK(s.retention_max_messages == 2);
  CHECK(s.retention_max_age == hours(300));
  CHECK(s.cleaner_interval == milliseconds(4));
  CHECK(s.segment_max_bytes == 1 << 20);
  CHECK(s.segment_max_age == milliseconds(6));
  CHECK(s.min_isr == 7);
  CHECK(s.optimistic_concurrency_control);
  CHECK(s.durability == Durability::kOs);
  CHECK(s.reply_acks == ReplyAcks::kJetStream);
  CHECK(s.leader_acks == LeaderAcks::kCommitted);
  CHECK(s.record_internal_subjects);
}

TEST_CASE("a segment never outlives the retention age") {
  StreamOverrides o;
  o.retention_max_age = minutes(1);
  CHECK(Resolve(o, StreamSettings()).segment_max_age == minutes(1));
  o.segment_max_age = milliseconds(0);  // "never" is longer than any age
  CHECK(Resolve(o, StreamSettings()).segment_max_age == minutes(1));
  o.segment_max_age = milliseconds(5);
  CHECK(Resolve(o, StreamSettings()).segment_max_age == milliseconds(5));
  o.retention_max_age = milliseconds(0);  // no limit
  CHECK(Resolve(o, StreamSettings()).segment_max_age == milliseconds(5));
  o.segment_max_age = milliseconds(0);
  CHECK(Resolve(o, StreamSettings()).segment_max_age == milliseconds(0));
}

TEST_CASE("times that no clock can count are brought to a century") {
  StreamOverrides o;
  o.retention_max_age = o.segment_max_age = o.cleaner_interval = milliseconds::max();
  const StreamSettings s = Resolve(o, StreamSettings());
  for (const milliseconds time : {s.retention_max_age, s.segment_max_age, s.cleaner_interval}) {
    CHECK(time == hours(24 * 36525));
    CHECK(Duration(time).count() == time.count() * 1'000'000);
  }
}

TEST_CASE("zero takes the default where it cannot mean anything, extremes are brought in") {
  StreamSettings defaults;
  defaults.segment_max_bytes = 1 << 20;
  defaults.cleaner_interval = minutes(2);
  StreamOverrides o;
  o.segment_max_bytes = 0;
  o.cleaner_interval = milliseconds(0);
  CHECK(Resolve(o, defaults).segment_max_bytes == 1 << 20);
  CHECK(Resolve(o, defaults).cleaner_interval == minutes(2));
  defaults.segment_max_bytes = 0;
  defaults.cleaner_interval = milliseconds(0);
  CHECK(Resolve(o, defaults).segment_max_bytes ==
        static_cast<int64_t>(limits::kDefaultSegmentBytes));
  CHECK(Resolve(o, defaults).cleaner_interval == minutes(5));
  o.segment_max_bytes = 1;
  CHECK(Resolve(o, defaults).segment_max_bytes == static_cast<int64_t>(limits::kMinSegmentBytes));
  o.segment_max_bytes = INT64_MAX;
  CHECK(Resolve(o, defaults).segment_max_bytes == static_cast<int64_t>(limits::kMaxSegmentBytes));
  o.retention_max_age = o.segment_max_age = o.cleaner_interval = milliseconds::max();
  const StreamSettings s = Resolve(o, defaults);
  for (const milliseconds age : {s.retention_max_age, s.segment_max_age, s.cleaner_interval}) {
    CHECK(age > hours(24 * 365 * 99));
    CHECK(std::chrono::duration_cast<hours>(std::chrono::nanoseconds(age)) == age);  // no overflow
  }
}

const StreamSetting& RowOf(std::string_view name) {
  for (const StreamSetting& row : kStreamSettings)
    if (row.name == name) return row;
  FAIL(name);
  return kStreamSettings.front();
}

TEST_CASE("every row is whole, and reaches its own field") {
  std::set<int> numbers;
  std::set<std::string_view> names;
  StreamSettings all;
  StreamOverrides asked;
  for (const StreamSetting& row : kStreamSettings) {
    CAPTURE(row.name);
    CHECK(numbers.insert(row.number).second);
    for (const std::string_view name : {row.name, row.key, row.flag}) CHECK_FALSE(name.empty());
    CHECK(names.insert(row.name).second);
    CHECK_FALSE(row.doc.empty());
    CHECK((row.unit == SettingUnit::kChoice) == !row.words[0].empty());
    CHECK(row.get(StreamSettings()) == row.initial);
    const int64_t other = row.initial == 0 ? 1 : 0;
    row.set(all, other);
    CHECK(row.get(all) == other);
    CHECK_FALSE(row.asked(asked).has_value());
    row.ask(asked, other);
    CHECK(row.asked(asked) == other);
  }
  // Twice the same field would have left another one as it was.
  for (const StreamSetting& row : kStreamSettings) CHECK(row.get(all) != row.initial);
  CHECK(FindSetting(3)->name == "retention_max_age");
  CHECK(FindSetting(99) == nullptr);
}

TEST_CASE("values as text, there and back") {
  for (const StreamSetting& row : kStreamSettings) {
    CAPTURE(row.name);
    for (const int64_t value : {row.initial, int64_t{1}, int64_t{0}}) {
      const bool out_of_range = value < row.least || value > row.most;
      const bool bytes = row.unit == SettingUnit::kBytes || row.unit == SettingUnit::kMilliseconds;
      if (bytes && (out_of_range || (value == 0 && row.zero.empty()))) continue;
      CHECK(ParseSetting(row, SettingText(row, value)).value() == value);
    }
  }
  const StreamSetting& acks = RowOf("reply_acks");
  CHECK(SettingText(acks, 1) == "jetstream");
  CHECK(SettingText(acks, 9).empty());
  CHECK(SettingText(acks, -1).empty());
  CHECK(ParseSetting(acks, "JetStream").value() == 1);
  CHECK(ParseSetting(acks, "kafka").status().message() ==
        "must be \"off\" or \"jetstream\", not \"kafka\"");
  CHECK(ParseSetting(RowOf("retention_max_age"), "30d").value() == 30LL * 24 * 3600 * 1000);
  CHECK(ParseSetting(RowOf("retention_max_age"), "1500us").status().message() ==
        "must be whole milliseconds, not \"1500us\"");
  CHECK(ParseSetting(RowOf("segment_max_bytes"), "64K").value() == 65536);
  CHECK(ParseSetting(RowOf("segment_max_bytes"), "1").status().message() ==
        "must be from 64KiB to 16GiB, or 0 for the default, not \"1\"");
}

TEST_CASE("a number that a choice does not hold is none, whatever its low bits say") {
  StreamOverrides o;
  for (const int64_t number : {int64_t{256}, int64_t{-1}, INT64_MAX}) {
    RowOf("durability").ask(o, number);
    CHECK_FALSE(ValidateOverrides(o).ok());
  }
  RowOf("min_isr").ask(o, INT64_MAX);
  CHECK(o.min_isr == INT32_MAX);
}

TEST_CASE("what binds is filled in where it was left open, and nothing else") {
  StreamSettings defaults;
  defaults.durability = Durability::kOs;
  defaults.leader_acks = LeaderAcks::kCommitted;
  defaults.retention_max_bytes = 77;
  StreamOverrides asked;
  asked.leader_acks = LeaderAcks::kLocal;
  StreamOverrides open = OpenBindings(asked, defaults, 1);
  CHECK(open.durability == Durability::kOs);
  CHECK_FALSE(open.leader_acks.has_value());
  CHECK_FALSE(open.retention_max_bytes.has_value());
  Merge(open, asked);
  CHECK(asked.leader_acks == LeaderAcks::kLocal);
  CHECK(OpenBindings(asked, defaults, 1) == StreamOverrides());
  // Another broker's defaults do not change what is bound.
  const StreamSettings elsewhere = Resolve(asked, StreamSettings());
  for (const StreamSetting& row : kStreamSettings) {
    if (row.scope == SettingScope::kBinding)
      CHECK(row.get(elsewhere) == row.get(Resolve(asked, defaults)));
  }
  CHECK(elsewhere.retention_max_bytes == 0);
}

TEST_CASE("a setting that not every broker knows is neither filled in nor asked for in silence") {
  StreamOverrides o;
  CHECK_FALSE(OpenBindings(o, StreamSettings(), 1).max_message_bytes.has_value());
  CHECK(OpenBindings(o, StreamSettings(), 2).max_message_bytes == 0);
  CHECK(FindNewer(o, 1) == nullptr);
  o.max_message_bytes = 7;
  CHECK(FindNewer(o, 1)->name == "max_message_bytes");
  CHECK(FindNewer(o, 2) == nullptr);
}

TEST_CASE("a min ISR is a majority unless set, and never more than the replicas") {
  CHECK(MinIsr(0, 1) == 1);
  CHECK(MinIsr(0, 3) == 2);
  CHECK(MinIsr(0, 4) == 3);
  CHECK(MinIsr(1, 3) == 1);
  StreamOverrides o;
  CHECK(CheckMinIsr(o, 1).ok());
  o.min_isr = 2;
  CHECK(CheckMinIsr(o, 2).ok());
  CHECK(CheckMinIsr(o, 1).message() ==
        "Invalid minIsr 2, replicationFactor 1: nothing would ever be committed");
}

}  // namespace
}  // namespace bascule
