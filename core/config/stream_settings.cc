#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/base/limits.h"
#include "core/config/kind.h"
#include "core/config/settings.h"

namespace bascule {
namespace {

constexpr int64_t kNoMaximum = std::numeric_limits<int64_t>::max();

// One row for each table: the broker's default and a stream's own value.
template <typename T>
void AddWorking(StreamRows& rows, const std::string& broker_key, const std::string& stream_key,
                const Kind<T>& kind, T StreamSettings::*setting,
                std::optional<T> StreamOverrides::*override, const std::string& doc) {
  rows.broker.push_back(Works<Config>(
      broker_key,
      kind, [setting](auto& config) -> auto& { return config.stream_defaults.*setting; }, doc));
  rows.stream.push_back(Works<StreamSpec>(
      stream_key, kind, [override](auto& spec) -> auto& { return spec.overrides.*override; }, doc));
}

template <typename T>
void Add(StreamRows& rows, const std::string& key, const Kind<T>& kind, T StreamSettings::*setting,
         std::optional<T> StreamOverrides::*override, const std::string& doc) {
  AddWorking(rows, "streams." + key, key, kind, setting, override, doc);
}

template <typename T>
void AddNotBuilt(StreamRows& rows, const std::string& key, const Kind<T>& kind,
                 const std::vector<std::string>& off, const std::string& feature) {
  rows.broker.push_back(NotBuilt<Config>("streams." + key, kind, off, feature));
  rows.stream.push_back(NotBuilt<StreamSpec>(key, kind, off, feature));
}

void AddRetention(StreamRows& rows) {
  using S = StreamSettings;
  using O = StreamOverrides;
  Add(rows, "retention.max.bytes", SizeKind(1, kNoMaximum, "no limit"), &S::retention_max_bytes,
      &O::retention_max_bytes,
      "Bytes kept per partition; the oldest whole segments go first. 0 = no limit.");
  Add(rows, "retention.max.messages", WholeKind(0), &S::retention_max_messages,
      &O::retention_max_messages,
      "Messages kept per partition; the oldest whole segments go first. 0 = no limit.");
  Add(rows, "retention.max.age", PeriodKind("no limit"), &S::retention_max_age,
      &O::retention_max_age, "How long messages are kept. 0 = no limit.");
  Add(rows, "cleaner.interval", PeriodKind(), &S::cleaner_interval, &O::cleaner_interval,
      "How often the limits above are enforced.");
  Add(rows, "segment.max.bytes",
      SizeKind(limits::kMinSegmentBytes, limits::kMaxSegmentBytes, "the default"),
      &S::segment_max_bytes, &O::segment_max_bytes,
      "Size at which a partition starts a new segment file.");
  Add(rows, "segment.max.age", PeriodKind("the retention age"), &S::segment_max_age,
      &O::segment_max_age,
      "Age at which a partition starts a new segment file; never more than the retention age. 0 = "
      "the retention age.");
}

void AddBehaviour(StreamRows& rows) {
  using S = StreamSettings;
  using O = StreamOverrides;
  Add(rows, "concurrency.control", SwitchKind(), &S::optimistic_concurrency_control,
      &O::optimistic_concurrency_control,
      "Refuse a publish whose expected offset is not the next one.");
  Add(rows, "durability", DurabilityKind(), &S::durability, &O::durability,
      "What an ack stands on: \"fsync\", the disk (survives a power cut), or \"os\", the page "
      "cache (survives a crash of the broker only).");
  Add(rows, "reply.acks", ReplyAcksKind(), &S::reply_acks, &O::reply_acks,
      "\"jetstream\" answers plain NATS messages that have a reply subject as JetStream would. "
      "Leave it off where others reply to the recorded requests.");
  Add(rows, "acks.leader", LeaderAcksKind(), &S::leader_acks, &O::leader_acks,
      "What acks of policy LEADER wait for: \"local\", the leader's disk, or \"committed\", all "
      "in-sync replicas.");
  Add(rows, "subjects.internal", SwitchKind(), &S::record_internal_subjects,
      &O::record_internal_subjects,
      "Let wildcards record inboxes and system subjects too (_INBOX.>, $SYS.>, $JS.>, acks).");
  AddWorking(rows, "clustering.min.insync.replicas", "min.insync.replicas", MinIsrKind(),
             &S::min_isr, &O::min_isr,
             "In-sync replicas that must have a record before it is committed. 0 = a majority of "
             "the replication factor.");
}

void AddFuture(StreamRows& rows) {
  AddNotBuilt(rows, "compact.enabled", SwitchKind(), {"false"}, "log compaction");
  AddNotBuilt(rows, "compact.max.goroutines", WholeKind(0), {"10", "0"}, "log compaction");
  AddNotBuilt(rows, "auto.pause.time", PeriodKind("never"), {"0"}, "pausing of idle streams");
  AddNotBuilt(rows, "auto.pause.disable.if.subscribers", SwitchKind(), {"false"},
              "pausing of idle streams");
  AddNotBuilt(rows, "encryption", SwitchKind(), {"false"}, "encryption at rest");
}

}  // namespace

StreamRows MakeStreamRows() {
  StreamRows rows;
  AddRetention(rows);
  AddBehaviour(rows);
  AddFuture(rows);
  return rows;
}

}  // namespace bascule
