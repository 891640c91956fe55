#include "replication/meta/cluster/partition_health.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/text.h"

namespace bascule::metadata {
namespace {

constexpr size_t kNamed = 3;

// Of one kind of trouble.
struct Affected {
  int64_t partitions = 0;
  int64_t streams = 0;
  std::vector<std::string> names;  // of the first streams

  void Add(const std::string& stream) {
    ++partitions;
    if (stream == last) return;
    last = stream;
    if (++streams <= static_cast<int64_t>(kNamed)) names.push_back(stream);
  }
  // "12 partitions of streams a, b, c and 4 more"
  std::string Text() const {
    std::string text = Concat(partitions, partitions == 1 ? " partition" : " partitions",
                              streams == 1 ? " of stream " : " of streams ");
    for (const std::string& name : names) text += Concat(name == names.front() ? "" : ", ", name);
    const int64_t more = streams - static_cast<int64_t>(names.size());
    return more > 0 ? Concat(text, " and ", more, " more") : text;
  }
  std::string last;
};

struct Health {
  PartitionCounts counts;
  int64_t lost = 0;  // nobody has the records any more
  Affected blocked;  // led, below min ISR
  Affected lagging;  // led, not all replicas in sync
  std::set<std::string> missing;
};

bool Holds(const std::vector<std::string>& brokers, const std::string& id) {
  return std::find(brokers.begin(), brokers.end(), id) != brokers.end();
}

void Count(const StreamDescription& stream, const PartitionDescription& partition, Health& health) {
  ++health.counts.all;
  if (partition.leader.empty()) {
    ++health.counts.leaderless;
    if (partition.isr.empty() && partition.elr.empty()) ++health.lost;
    return;
  }
  if (partition.isr.size() >= partition.replicas.size()) return;
  ++health.counts.under_replicated;
  health.lagging.Add(stream.name);
  for (const std::string& replica : partition.replicas)
    if (!Holds(partition.isr, replica)) health.missing.insert(replica);
  const int32_t min_isr = MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size());
  if (static_cast<int32_t>(partition.isr.size()) >= min_isr) return;
  ++health.counts.below_min_isr;
  health.blocked.Add(stream.name);
}

Health Look(const MetaTable& table) {
  Health health;
  for (const auto& [name, stream] : table.streams()) {
    for (const PartitionDescription& partition : stream.partitions)
      Count(stream, partition, health);
  }
  return health;
}

// "b2 (gone), b3 (behind)"
std::string Missing(const MetaTable& table, const std::set<std::string>& missing) {
  std::string text;
  size_t named = 0;
  for (const std::string& id : missing) {
    if (++named > kNamed) break;
    text += Concat(text.empty() ? "" : ", ", id, table.IsLive(id) ? " (behind)" : " (gone)");
  }
  return missing.size() > kNamed ? Concat(text, " and ", missing.size() - kNamed, " more") : text;
}

}  // namespace

PartitionCounts CountPartitions(const MetaTable& table) { return Look(table).counts; }

std::vector<std::string> PartitionTroubles(const MetaTable& table) {
  const Health health = Look(table);
  std::vector<std::string> troubles;
  if (const int64_t waiting = health.counts.leaderless - health.lost; waiting > 0)
    troubles.push_back(Concat(waiting, " partitions have no leader"));
  if (health.lost > 0) {
    troubles.push_back(Concat(
        health.lost,
        " partitions have no leader for good: every broker that kept them lost its data "
        "directory, came back with an older copy of it, or was removed; delete their streams and "
        "create them anew"));
  }
  if (health.blocked.partitions > 0) {
    troubles.push_back(Concat("nothing is committed in ", health.blocked.Text(),
                              ": fewer replicas are in sync than min ISR"));
  }
  if (health.lagging.partitions > 0) {
    troubles.push_back(Concat("not all replicas are in sync in ", health.lagging.Text(),
                              ": without ", Missing(table, health.missing)));
  }
  return troubles;
}

}  // namespace bascule::metadata
