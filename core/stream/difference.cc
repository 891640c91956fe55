#include "core/stream/difference.h"

#include <chrono>
#include <optional>
#include <utility>

#include "core/base/text.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

std::string Show(const std::string& value) { return Concat("\"", value, "\""); }
std::string Show(bool value) { return value ? "true" : "false"; }
std::string Show(int32_t value) { return Concat(value); }
std::string Show(int64_t value) { return Concat(value); }
std::string Show(milliseconds value) { return Concat(value.count(), " ms"); }
std::string Show(Durability value) { return std::string(ToText(value)); }
std::string Show(ReplyAcks value) { return std::string(ToText(value)); }
std::string Show(LeaderAcks value) { return std::string(ToText(value)); }

// Collects what differs.
class Comparison {
 public:
  template <typename T>
  void Value(std::string_view name, const T& here, const T& asked) {
    if (!(here == asked))
      found.push_back(Concat(name, ": ", Show(here), " here, ", Show(asked), " asked"));
  }
  // A setting of the stream: what its creator asked for, or else what it came to.
  template <typename T>
  void Setting(std::string_view name, const std::optional<T>& created_with, const T& resolved,
               const std::optional<T>& asked) {
    if (asked) Value(name, created_with.value_or(resolved), *asked);
  }
  std::vector<std::string> found;
};

}  // namespace
std::vector<std::string> Differences(const StreamDescription& stream, const StreamSettings& now,
                                     const StreamSpec& asked, int brokers) {
  Comparison compare;
  compare.Value("subject", stream.subject, asked.subject);
  compare.Value("group", stream.group, asked.group);
  const int32_t partitions = asked.partitions == 0 ? 1 : asked.partitions;
  compare.Value("partitions", static_cast<int32_t>(stream.partitions.size()), partitions);
  int32_t factor = asked.replication_factor == 0 ? 1 : asked.replication_factor;
  if (factor == -1) factor = brokers;
  const size_t replicas = stream.partitions.empty() ? 0 : stream.partitions.front().replicas.size();
  compare.Value("replication_factor", static_cast<int32_t>(replicas), factor);

  const StreamOverrides& created = stream.overrides;
  const StreamOverrides& want = asked.overrides;
  compare.Setting("retention_max_bytes", created.retention_max_bytes, now.retention_max_bytes,
                  want.retention_max_bytes);
  compare.Setting("retention_max_messages", created.retention_max_messages,
                  now.retention_max_messages, want.retention_max_messages);
  compare.Setting("retention_max_age", created.retention_max_age, now.retention_max_age,
                  want.retention_max_age);
  compare.Setting("cleaner_interval", created.cleaner_interval, now.cleaner_interval,
                  want.cleaner_interval);
  compare.Setting("segment_max_bytes", created.segment_max_bytes, now.segment_max_bytes,
                  want.segment_max_bytes);
  compare.Setting("segment_max_age", created.segment_max_age, now.segment_max_age,
                  want.segment_max_age);
  compare.Setting("min_isr", created.min_isr, now.min_isr, want.min_isr);
  compare.Setting("optimistic_concurrency_control", created.optimistic_concurrency_control,
                  now.optimistic_concurrency_control, want.optimistic_concurrency_control);
  compare.Setting("durability", created.durability, now.durability, want.durability);
  compare.Setting("reply_acks", created.reply_acks, now.reply_acks, want.reply_acks);
  compare.Setting("leader_acks", created.leader_acks, now.leader_acks, want.leader_acks);
  compare.Setting("record_internal_subjects", created.record_internal_subjects,
                  now.record_internal_subjects, want.record_internal_subjects);
  return std::move(compare.found);
}

}  // namespace bascule
