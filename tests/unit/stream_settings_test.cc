#include "core/stream/settings.h"

#include <doctest/doctest.h>

#include <functional>

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

TEST_CASE("choices as text, there and back") {
  CHECK(ToText(Durability::kFsync) == "fsync");
  CHECK(ToText(Durability::kOs) == "os");
  CHECK(ToText(ReplyAcks::kOff) == "off");
  CHECK(ToText(ReplyAcks::kJetStream) == "jetstream");
  CHECK(ToText(LeaderAcks::kLocal) == "local");
  CHECK(ToText(LeaderAcks::kCommitted) == "committed");
  CHECK(ToText(static_cast<ReplyAcks>(9)).empty());
  for (Durability d : {Durability::kFsync, Durability::kOs})
    CHECK(*ParseDurability(ToText(d)) == d);
  for (ReplyAcks r : {ReplyAcks::kOff, ReplyAcks::kJetStream})
    CHECK(*ParseReplyAcks(ToText(r)) == r);
  for (LeaderAcks l : {LeaderAcks::kLocal, LeaderAcks::kCommitted})
    CHECK(*ParseLeaderAcks(ToText(l)) == l);
  const absl::Status status = ParseReplyAcks("JetStream").status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(status.message() ==
        "Invalid reply_acks \"JetStream\": it must be \"off\" or \"jetstream\"");
  CHECK_FALSE(ParseDurability("").ok());
  CHECK_FALSE(ParseLeaderAcks("os").ok());
}

}  // namespace
}  // namespace bascule
