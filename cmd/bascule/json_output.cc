#include "cmd/bascule/json_output.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "api.pb.h"
#include "bascule/v1/bascule.pb.h"
#include "cmd/bascule/cluster_view.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/stream_query.h"
#include "cmd/bascule/text.h"
#include "core/base/text.h"
#include "core/base/utf8.h"
#include "core/log/inspect.h"
#include "core/stream/setting_fields.h"

namespace bascule::cli {
namespace {

using Json = nlohmann::ordered_json;

void PutBytes(Json& object, const std::string& name, const std::string& bytes) {
  if (IsValidUtf8(bytes)) {
    object[name] = bytes;
  } else {
    object[name + "_base64"] = absl::Base64Escape(bytes);
  }
}

// 0 is "never": null.
void PutTime(Json& object, const std::string& name, int64_t nanos) {
  object[name] = nanos == 0 ? Json(nullptr) : Json(FormatTime(Timestamp(nanos), Precision::kNanos));
  object[name + "_ns"] = nanos;
}

// Texts of a server may hold anything; what is not UTF-8 is replaced rather than refused.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename Container>
Json Strings(const Container& texts) {
  Json array = Json::array();
  for (const auto& text : texts) array.push_back(text);
  return array;
}

Json SettingJson(const StreamSetting& row, const std::optional<int64_t>& value) {
  if (!value) return nullptr;  // an older broker does not know it
  if (row.unit == SettingUnit::kSwitch) return *value != 0;
  if (row.unit == SettingUnit::kChoice) return SettingText(row, *value);
  return *value;
}

Json SettingsJson(const v1::StreamSettings& s) {
  Json out = Json::object();
  for (const StreamSetting& row : kStreamSettings) {
    const bool period = row.unit == SettingUnit::kMilliseconds;
    out[Concat(row.name, period ? "_ms" : "")] = SettingJson(row, TakeSetting(row, s));
  }
  return out;
}

Json ReplicasJson(const v1::Partition& p) {
  Json out = Json::array();
  for (const v1::Replica& replica : p.replica_status()) {
    Json one = Json::object();
    one["broker"] = replica.broker();
    one["live"] = replica.live();
    one["in_isr"] = replica.in_isr();
    one["eligible"] = replica.eligible();
    one["doubtful"] = replica.doubtful();
    one["acknowledged_offset"] =
        replica.has_acknowledged_offset() ? Json(replica.acknowledged_offset()) : Json(nullptr);
    out.push_back(std::move(one));
  }
  return out;
}

Json PartitionJson(const v1::Partition& p, const PartitionFlags& flags) {
  Json out = Json::object();
  out["id"] = p.id();
  out["leader"] = p.leader();
  out["replicas"] = Strings(p.replicas());
  out["isr"] = Strings(p.isr());
  out["elr"] = Strings(p.elr());
  out["min_isr"] = p.min_isr() == 0 ? Json(nullptr) : Json(p.min_isr());
  out["replica_status"] = ReplicasJson(p);
  out["leader_epoch"] = p.leader_epoch();
  out["oldest_offset"] = p.oldest_offset();
  out["newest_offset"] = p.newest_offset();
  out["high_watermark"] = p.high_watermark();
  out["flushed_offset"] = p.flushed_offset();
  out["bytes"] = p.bytes();
  out["segments"] = p.segments();
  PutTime(out, "first_received", p.first_received());
  PutTime(out, "latest_received", p.latest_received());
  out["messages_received"] = p.messages_received();
  out["messages_refused"] = p.messages_refused();
  out["gap_records"] = p.gap_records();
  out["messages_in_gaps"] = p.messages_in_gaps();
  out["lost_records"] = p.lost_records();
  out["paused"] = flags.paused;
  out["readonly"] = flags.readonly;
  out["degraded"] = p.degraded().empty() ? Json(nullptr) : Json(p.degraded());
  out["error"] = p.error().empty() ? Json(nullptr) : Json(p.error());
  return out;
}

double Seconds(Duration span) { return static_cast<double>(span.count()) / 1e9; }
double Micros(Duration span) { return static_cast<double>(span.count()) / 1e3; }

}  // namespace

std::string MessageJson(const proto::Message& message) {
  Json out = Json::object();
  out["offset"] = message.offset();
  PutTime(out, "timestamp", message.timestamp());
  out["stream"] = message.stream();
  out["partition"] = message.partition();
  out["subject"] = message.subject();
  if (!message.replysubject().empty()) out["reply"] = message.replysubject();
  if (!message.key().empty()) PutBytes(out, "key", message.key());
  // In the map's place, whose order is arbitrary, the names' order.
  const std::map<std::string, std::string> headers(message.headers().begin(),
                                                   message.headers().end());
  for (const auto& [name, value] : headers) {
    if (name == "subject" || name == "reply") continue;
    if (IsValidUtf8(value)) {
      out["headers"][name] = value;
    } else {
      out["headers_base64"][name] = absl::Base64Escape(value);
    }
  }
  PutBytes(out, "value", message.value());
  return Dump(out);
}

std::string AckJson(const proto::Ack& ack, std::optional<uint64_t> line) {
  Json out = Json::object();
  if (line) out["line"] = *line;
  out["stream"] = ack.stream();
  out["subject"] = ack.msgsubject();
  out["offset"] = ack.offset();
  out["ack"] = absl::AsciiStrToLower(proto::AckPolicy_Name(ack.ackpolicy()));
  PutTime(out, "received", ack.receptiontimestamp());
  PutTime(out, "committed", ack.committimestamp());
  if (!ack.correlationid().empty()) out["correlation_id"] = ack.correlationid();
  return Dump(out);
}

std::string StreamJson(const StreamReport& report) {
  const v1::Stream& stream = report.stream;
  Json out = Json::object();
  out["name"] = stream.name();
  out["subject"] = stream.subject();
  out["group"] = stream.group();
  out["id"] = stream.id();
  PutTime(out, "created", stream.created());
  out["replication_factor"] = stream.replication_factor();
  out["settings"] = SettingsJson(stream.settings());
  out["partitions"] = Json::array();
  for (const v1::Partition& partition : stream.partitions()) {
    const auto flags = report.flags.find(partition.id());
    out["partitions"].push_back(
        PartitionJson(partition, flags == report.flags.end() ? PartitionFlags{} : flags->second));
  }
  return Dump(out);
}

std::string GapJson(const PartitionGap& gap) {
  Json out = Json::object();
  out["partition"] = gap.partition;
  out["offset"] = gap.gap.offset();
  PutTime(out, "from", gap.gap.from());
  PutTime(out, "to", gap.gap.to());
  constexpr std::string_view kPrefix = "GAP_REASON_";
  std::string reason = v1::GapReason_Name(gap.gap.reason());  // empty: a newer broker's
  if (reason.starts_with(kPrefix)) reason.erase(0, kPrefix.size());
  out["reason"] = reason.empty() ? "unknown" : absl::AsciiStrToLower(reason);
  out["messages"] = gap.gap.messages() < 0 ? Json(nullptr) : Json(gap.gap.messages());
  return Dump(out);
}

std::string CreatedJson(const std::string& name, const v1::CreateStreamResponse& response) {
  return Dump(Json{{"name", name},
                   {"created", response.created()},
                   {"differences", Strings(response.differences())}});
}

std::string UpdatedJson(const std::string& name, const v1::UpdateStreamResponse& response) {
  Json out{{"name", name}, {"updated", true}};
  if (response.has_settings()) out["settings"] = SettingsJson(response.settings());
  return Dump(out);
}

std::string DeletedJson(const std::string& name) {
  return Dump(Json{{"name", name}, {"deleted", true}});
}

std::string ServerJson(const v1::GetServerInfoResponse& server) {
  Json out = Json::object();
  out["version"] = server.version();
  out["server_id"] = server.server_id();
  out["namespace"] = server.namespace_();
  out["incarnation"] = server.incarnation();
  PutTime(out, "started", server.started());
  out["data_dir"] = server.data_dir();
  out["listen"] = server.listen();
  out["advertised"] = server.advertised();
  out["nats_connected"] = server.nats_connected();
  out["nats_server"] = server.nats_server();
  out["nats_max_payload"] = server.nats_max_payload();
  out["max_message_bytes"] = server.max_message_bytes();
  out["streams"] = server.streams();
  out["partitions"] = server.partitions();
  out["disk_available"] = server.disk_available();
  out["disk_total"] = server.disk_total();
  out["disk_reserve"] = server.disk_reserve();
  const std::map<std::string, uint64_t> counters(server.counters().begin(),
                                                 server.counters().end());
  out["counters"] = Json(counters);
  out["degraded"] = Strings(server.degraded());
  return Dump(out);
}

std::string ClusterJson(const v1::GetClusterStatusResponse& status) {
  Json out = Json::object();
  out["cluster_id"] = status.cluster_id();
  out["namespace"] = status.namespace_();
  out["answered_by"] = status.answered_by();
  out["leader"] = status.leader().empty() ? Json(nullptr) : Json(status.leader());
  out["term"] = status.term();
  out["commit"] = status.commit();
  out["applied"] = status.applied();
  out["first"] = status.first();
  out["last"] = status.last();
  out["log_bytes"] = status.log_bytes();
  out["feature_level"] = status.feature_level();
  out["partitions"] = status.partitions();
  out["leaderless"] = status.leaderless();
  out["below_min_isr"] = status.below_min_isr();
  out["under_replicated"] = status.under_replicated();
  out["members"] = Json::array();
  for (const v1::ClusterMember& member : status.members()) {
    Json one = Json::object();
    one["server_id"] = member.server_id();
    // More digits than many readers of JSON keep.
    one["node"] = absl::StrFormat("%016x", member.node());
    one["voter"] = member.voter();
    one["leader"] = member.leader();
    one["live"] = member.live();
    one["trouble"] = member.trouble();
    one["match"] = member.match() < 0 ? Json(nullptr) : Json(member.match());
    one["partitions"] = member.partitions();
    one["leading"] = member.leading();
    one["client_address"] = member.client_address();
    one["peer_address"] = member.peer_address();
    one["rack"] = member.rack();
    one["feature_level"] = member.feature_level();
    one["incarnation"] = member.incarnation();
    out["members"].push_back(std::move(one));
  }
  out["degraded"] = Strings(Troubles(status));
  return Dump(out);
}

std::string MemberJson(const std::string& action, const std::string& member) {
  return Dump(Json{{"member", member}, {action, true}});
}

std::string LogJson(const log::LogReport& log, bool verified) {
  Json out = Json::object();
  out["directory"] = log.directory;
  out["stream_id"] = log.stream.value();
  out["partition"] = log.partition.value();
  out["verified"] = verified;
  out["sound"] = log.sound();
  out["segments"] = Json::array();
  for (const log::SegmentReport& segment : log.segments) {
    const log::SegmentFooter& facts = segment.facts;
    Json one = Json::object();
    one["path"] = segment.path;
    one["sealed"] = segment.sealed;
    one["file_bytes"] = segment.file_bytes;
    one["first_offset"] = facts.base_offset.value();
    one["last_offset"] = ToWire(facts.end_offset);
    one["messages"] = facts.record_count;
    PutTime(one, "first_timestamp", facts.first_timestamp.value());
    PutTime(one, "last_timestamp", facts.max_timestamp.value());
    one["gap_records"] = facts.gap_records;
    one["messages_in_gaps"] = facts.messages_in_gaps;
    one["epochs"] = Json::array();
    for (const EpochStart& start : facts.epochs) {
      one["epochs"].push_back(
          Json{{"epoch", start.epoch.value()}, {"first_offset", start.start.value()}});
    }
    one["problems"] = Strings(segment.problems);
    one["remarks"] = Strings(segment.remarks);
    out["segments"].push_back(std::move(one));
  }
  out["problems"] = Strings(log.problems);
  return Dump(out);
}

double Rate(const BenchRow& row) {
  return row.elapsed.count() > 0 ? static_cast<double>(row.messages) / Seconds(row.elapsed) : 0;
}

std::string BenchJson(const BenchRow& row) {
  Json out = Json::object();
  out["bench"] = row.kind;
  out["streams"] = Strings(row.streams);
  out["size"] = row.size;
  if (row.kind == "publish") {
    out["window"] = row.window;
    out["ack"] = row.ack;
  }
  out["messages"] = row.messages;
  out["bytes"] = row.bytes;
  out["errors"] = row.errors;
  out["seconds"] = Seconds(row.elapsed);
  out["messages_per_second"] = Rate(row);
  out["bytes_per_second"] =
      row.elapsed.count() > 0 ? static_cast<double>(row.bytes) / Seconds(row.elapsed) : 0;
  if (row.kind == "publish" && row.ack != "none") {
    out["ack_p50_us"] = Micros(row.p50);
    out["ack_p99_us"] = Micros(row.p99);
    out["ack_max_us"] = Micros(row.max);
  } else if (row.kind == "replay") {
    out["first_message_us"] = Micros(row.max);
  }
  out["interrupted"] = row.interrupted;
  return Dump(out);
}

}  // namespace bascule::cli
