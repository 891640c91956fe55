#include "cmd/bascule/stream_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/text.h"
#include "core/stream/gap.h"
#include "core/stream/setting_fields.h"

namespace bascule::cli {
namespace {

using Align = Table::Align;

struct Totals {
  bool any_known = false;
  uint64_t records = 0;
  uint64_t bytes = 0;
  int64_t first = 0;
  int64_t latest = 0;
};

Totals Sum(const v1::Stream& stream) {
  Totals sum;
  for (const v1::Partition& p : stream.partitions()) {
    sum.any_known |= !IsUnknown(p);
    sum.records += RecordCount(p);
    sum.bytes += p.bytes();
    const bool earlier = sum.first == 0 || p.first_received() < sum.first;
    if (p.first_received() != 0 && earlier) sum.first = p.first_received();
    sum.latest = std::max(sum.latest, p.latest_received());
  }
  return sum;
}

PartitionFlags FlagsOf(const StreamReport& report, int32_t partition) {
  const auto found = report.flags.find(partition);
  return found == report.flags.end() ? PartitionFlags{} : found->second;
}

// That many replicas in sync commit; an older broker does not say.
int MinIsrOf(const v1::Stream& stream, const v1::Partition& p) {
  if (p.min_isr() > 0) return p.min_isr();
  return MinIsr(stream.settings().min_isr(), static_cast<size_t>(p.replicas_size()));
}

// The worst that can be said of a stream in a few words.
std::string State(const StreamReport& report) {
  bool degraded = false, unknown = false, leaderless = false, gaps = false, lagging = false;
  bool blocked = false;
  bool paused = false, readonly = false;
  for (const v1::Partition& p : report.stream.partitions()) {
    degraded |= !p.degraded().empty();
    unknown |= !p.error().empty();
    leaderless |= p.leader().empty();
    gaps |= p.gap_records() > 0;
    lagging |= p.isr_size() < p.replicas_size();
    blocked |= p.isr_size() < MinIsrOf(report.stream, p);
    paused |= FlagsOf(report, p.id()).paused;
    readonly |= FlagsOf(report, p.id()).readonly;
  }
  if (degraded) return "DEGRADED";
  if (leaderless) return "NO LEADER";
  if (blocked) return "BELOW MIN ISR";
  if (unknown) return "UNKNOWN";
  std::vector<std::string> parts;
  if (gaps) parts.emplace_back("gaps");
  if (lagging) parts.emplace_back("replica behind");
  if (paused) parts.emplace_back("paused");
  if (readonly) parts.emplace_back("read-only");
  return parts.empty() ? "ok" : absl::StrJoin(parts, ", ");
}

std::string Offset(int64_t offset) { return offset < 0 ? "-" : GroupDigits(offset); }

std::string Limit(int64_t value, const std::string& text) { return value == 0 ? "no limit" : text; }

std::string Millis(int64_t ms) { return ExactDuration(std::chrono::milliseconds(ms)); }

std::string Retention(const v1::StreamSettings& s) {
  std::vector<std::string> limits;
  if (s.retention_max_age_ms() != 0) limits.push_back(Millis(s.retention_max_age_ms()));
  if (s.retention_max_bytes() != 0) {
    limits.push_back(HumanBytes(static_cast<uint64_t>(s.retention_max_bytes())) + " a partition");
  }
  if (s.retention_max_messages() != 0) {
    limits.push_back(GroupDigits(s.retention_max_messages()) + " messages a partition");
  }
  if (limits.empty()) return "everything, for ever";
  return absl::StrJoin(limits, " or ") + ", checked every " + Millis(s.cleaner_interval_ms());
}

std::string Acks(const v1::StreamSettings& s) {
  std::string text = s.durability() == v1::DURABILITY_OS
                         ? "in the operating system's page cache (durability os)"
                         : "on disk (durability fsync)";
  if (s.leader_acks() == v1::LEADER_ACKS_COMMITTED) text += ", LEADER acks wait for the commit";
  if (s.reply_acks() == v1::REPLY_ACKS_JETSTREAM) text += ", JetStream acks on reply subjects";
  return text;
}

// "  title         text" for each call.
auto LinesTo(std::ostream& out) {
  return [&out](std::string_view title, const std::string& text) {
    out << "  " << title << std::string(14 - title.size(), ' ') << text << '\n';
  };
}

void PrintSettings(std::ostream& out, const v1::Stream& stream, Timestamp now) {
  const v1::StreamSettings& s = stream.settings();
  out << EscapeText(stream.name()) << '\n';
  const auto line = LinesTo(out);
  line("subject",
       EscapeText(stream.subject()) +
           (stream.group().empty() ? "" : ", queue group " + EscapeText(stream.group())));
  line("created", FormatTime(Timestamp(stream.created()), Precision::kSeconds) + " (" +
                      Age(Timestamp(stream.created()), now) + "), id " +
                      std::to_string(stream.id()));
  const auto factor = static_cast<uint64_t>(std::max(stream.replication_factor(), 1));
  line("replicas", (factor == 1 ? std::string("1 broker") : GroupDigits(factor) + " brokers") +
                       ", min ISR " +
                       (s.min_isr() == 0 ? "a majority" : std::to_string(s.min_isr())));
  PrintBehaviour(out, s);
}

void PrintPartitions(std::ostream& out, const StreamReport& report, Timestamp now) {
  Table table({{"PARTITION", Align::kRight},
               {"LEADER"},
               {"ISR"},
               {"OLDEST", Align::kRight},
               {"NEWEST", Align::kRight},
               {"COMMITTED", Align::kRight},
               {"ON DISK", Align::kRight},
               {"RECORDS", Align::kRight},
               {"SIZE", Align::kRight},
               {"SEGMENTS", Align::kRight},
               {"FIRST"},
               {"LATEST"}});
  for (const v1::Partition& p : report.stream.partitions()) {
    const auto known = [&p](std::string text) { return IsUnknown(p) ? "-" : text; };
    table.AddRow({std::to_string(p.id()), p.leader().empty() ? "none" : EscapeText(p.leader()),
                  absl::StrCat(p.isr_size(), "/", p.replicas_size()), Offset(p.oldest_offset()),
                  Offset(p.newest_offset()), Offset(p.high_watermark()), Offset(p.flushed_offset()),
                  known(GroupDigits(RecordCount(p))), known(HumanBytes(p.bytes())),
                  known(GroupDigits(uint64_t{p.segments()})),
                  known(Age(Timestamp(p.first_received()), now)),
                  known(Age(Timestamp(p.latest_received()), now))});
  }
  table.Print(out);
}

std::string ReplicaState(const v1::Replica& replica) {
  std::vector<std::string> words{!replica.live()    ? "GONE"
                                 : replica.in_isr() ? "in sync"
                                                    : "behind"};
  if (replica.eligible()) words.emplace_back("eligible");
  if (replica.doubtful()) words.emplace_back("doubtful");
  return absl::StrJoin(words, ", ");
}

// Records of the leader's log that are not known to be safe there; empty: unknown.
std::string ReplicaLag(const v1::Partition& p, const v1::Replica& replica) {
  if (!replica.has_acknowledged_offset()) return "";
  return GroupDigits(std::max<int64_t>(p.newest_offset() - replica.acknowledged_offset(), 0));
}

// Of partitions with more than one.
void PrintReplicas(std::ostream& out, const v1::Stream& stream) {
  Table table({{"PARTITION", Align::kRight},
               {"REPLICA"},
               {"ROLE"},
               {"STATE"},
               {"BEHIND BY", Align::kRight}});
  bool any = false;
  for (const v1::Partition& p : stream.partitions()) {
    if (p.replica_status_size() < 2) continue;
    any = true;
    for (const v1::Replica& replica : p.replica_status()) {
      const bool leads = replica.broker() == p.leader();
      const std::string lag = leads ? "" : ReplicaLag(p, replica);
      table.AddRow({std::to_string(p.id()), EscapeText(replica.broker()),
                    leads ? "leader" : "follower", ReplicaState(replica), lag.empty() ? "-" : lag});
    }
  }
  if (!any) return;
  table.Print(out);
  out << '\n';
}

std::string Gaps(const v1::Partition& p) {
  const std::string places = Count(p.gap_records(), "gap record");
  const std::string known =
      p.messages_in_gaps() == 0
          ? "how many is unknown"
          : "at least " + GroupDigits(uint64_t{p.messages_in_gaps()}) + " of them";
  return places + ": messages published then may be missing, " + known;
}

// "b2 (gone)", "b2 (behind by 7 records)"
std::string MissingReplica(const v1::Partition& p, const std::string& id) {
  for (const v1::Replica& replica : p.replica_status()) {
    if (replica.broker() != id) continue;
    const std::string lag = ReplicaLag(p, replica);
    if (!replica.live()) return id + " (gone)";
    return absl::StrCat(id, lag.empty() ? " (behind)" : " (behind by " + lag + " records)");
  }
  return id;  // an older broker says no more
}

// Who could lead it again.
std::string Awaited(const v1::Partition& p) {
  std::vector<std::string> able(p.isr().begin(), p.isr().end());
  able.insert(able.end(), p.elr().begin(), p.elr().end());
  if (able.empty()) return "";
  return absl::StrCat("; it waits for ", absl::StrJoin(able, " or "),
                      able.size() == 1 ? ", which holds" : ", which hold",
                      " all that was committed");
}

void AddReplicaTroubles(const v1::Stream& stream, const v1::Partition& p, const std::string& name,
                        std::vector<std::string>& out) {
  if (p.leader().empty()) {
    out.push_back(name + " has no leader: it can be neither published to nor read" + Awaited(p));
  }
  std::vector<std::string> missing;
  for (const std::string& replica : p.replicas()) {
    if (std::find(p.isr().begin(), p.isr().end(), replica) == p.isr().end())
      missing.push_back(MissingReplica(p, replica));
  }
  if (!missing.empty()) {
    out.push_back(absl::StrCat(name, " has ", p.isr_size(), " of ", p.replicas_size(),
                               " replicas in sync, without ", absl::StrJoin(missing, ", ")));
  }
  for (const v1::Replica& replica : p.replica_status()) {
    if (!replica.doubtful()) continue;
    out.push_back(absl::StrCat(name, ": the log of ", replica.broker(),
                               " may be short since its last stop; it does not count until it was "
                               "checked against the leader's"));
  }
  const int min_isr = MinIsrOf(stream, p);
  if (p.isr_size() < min_isr) {
    out.push_back(absl::StrCat(name, " has fewer than min ISR (", min_isr,
                               ") replicas in sync: nothing is committed until more are"));
  }
}

}  // namespace

void PrintBehaviour(std::ostream& out, const v1::StreamSettings& s) {
  const auto line = LinesTo(out);
  line("retention", Retention(s));
  line("segments",
       Limit(s.segment_max_bytes(), HumanBytes(static_cast<uint64_t>(s.segment_max_bytes()))) +
           (s.segment_max_age_ms() == 0 ? "" : " or " + Millis(s.segment_max_age_ms())));
  line("acks mean", Acks(s));
  for (const StreamSetting& row : kStreamSettings) {
    const int64_t value = TakeSetting(row, s).value_or(row.initial);
    if (row.title.empty() || value == row.initial) continue;
    line(row.title, row.unit == SettingUnit::kSwitch ? "on" : SettingText(row, value));
  }
}

bool IsUnknown(const v1::Partition& p) {
  return !p.error().empty() && p.newest_offset() < 0 && p.segments() == 0;
}

uint64_t RecordCount(const v1::Partition& p) {
  if (p.oldest_offset() < 0 || p.newest_offset() < p.oldest_offset()) return 0;
  const auto offsets = static_cast<uint64_t>(p.newest_offset() - p.oldest_offset()) + 1;
  return offsets - std::min(offsets, p.lost_records());
}

std::vector<std::string> Troubles(const StreamReport& report) {
  std::vector<std::string> out;
  for (const v1::Partition& p : report.stream.partitions()) {
    const std::string name = absl::StrCat("partition ", p.id());
    // Nobody leads it: that is said below.
    const bool said = IsUnknown(p) && p.leader().empty();
    if (!p.error().empty() && !said) out.push_back(name + " is unknown: " + p.error());
    if (!p.degraded().empty()) out.push_back(name + " is degraded: " + p.degraded());
    AddReplicaTroubles(report.stream, p, name, out);
    if (p.gap_records() > 0) out.push_back(name + " has " + Gaps(p));
    if (p.messages_refused() > 0) {
      out.push_back(name + " refused " + Count(p.messages_refused(), "message") +
                    " since its broker started");
    }
    const PartitionFlags flags = FlagsOf(report, p.id());
    if (flags.paused) out.push_back(name + " is paused: plain NATS messages are not recorded");
    if (flags.readonly) out.push_back(name + " is read-only: nothing is recorded");
  }
  return out;
}

void PrintStreamTable(std::ostream& out, const std::vector<StreamReport>& reports, Timestamp now) {
  Table table({{"NAME"},
               {"SUBJECT"},
               {"PARTITIONS", Align::kRight},
               {"REPLICAS", Align::kRight},
               {"RECORDS", Align::kRight},
               {"SIZE", Align::kRight},
               {"FIRST"},
               {"LATEST"},
               {"STATE"}});
  for (const StreamReport& report : reports) {
    const v1::Stream& stream = report.stream;
    const Totals sum = Sum(stream);
    const auto known = [&sum](std::string text) { return sum.any_known ? text : "-"; };
    table.AddRow({EscapeText(stream.name()), EscapeText(stream.subject()),
                  GroupDigits(int64_t{stream.partitions_size()}),
                  GroupDigits(int64_t{std::max(stream.replication_factor(), 1)}),
                  known(GroupDigits(sum.records)), known(HumanBytes(sum.bytes)),
                  known(Age(Timestamp(sum.first), now)), known(Age(Timestamp(sum.latest), now)),
                  State(report)});
  }
  table.Print(out);
}

void PrintStream(std::ostream& out, const StreamReport& report, Timestamp now) {
  PrintSettings(out, report.stream, now);
  out << '\n';
  PrintPartitions(out, report, now);
  out << '\n';
  PrintReplicas(out, report.stream);
  const Totals sum = Sum(report.stream);
  if (report.stream.partitions_size() > 1 && sum.any_known) {
    out << Count(sum.records, "record") << " in " << HumanBytes(sum.bytes) << ".\n";
  }
  const std::vector<std::string> troubles = Troubles(report);
  if (troubles.empty())
    out << "All is well: nothing missing, nothing damaged, every replica in sync.\n";
  for (const std::string& trouble : troubles) out << "! " << EscapeText(trouble) << '\n';
}

void PrintGaps(std::ostream& out, const std::vector<PartitionGap>& gaps) {
  Table table({{"PARTITION", Align::kRight},
               {"OFFSET", Align::kRight},
               {"FROM"},
               {"TO"},
               {"MESSAGES", Align::kRight},
               {"REASON"}});
  const auto time = [](int64_t at) {
    return at == 0 ? "unknown" : FormatTime(Timestamp(at), Precision::kMillis);
  };
  for (const auto& [partition, gap] : gaps) {
    table.AddRow({absl::StrCat(partition), GroupDigits(gap.offset()), time(gap.from()),
                  time(gap.to()), gap.messages() < 0 ? "unknown" : GroupDigits(gap.messages()),
                  std::string(ToText(ToGapReason(static_cast<uint32_t>(gap.reason()))))});
  }
  table.Print(out);
}

}  // namespace bascule::cli
