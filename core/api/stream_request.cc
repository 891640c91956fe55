#include "core/api/stream_request.h"

#include <chrono>
#include <optional>

#include "api.pb.h"
#include "bascule/v1/bascule.pb.h"
#include "core/base/text.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

// The first field of `request` that is not built yet; empty when there is none.
std::string_view UnbuiltField(const proto::CreateStreamRequest& request) {
  if (request.compactenabled().value()) return "compactEnabled";
  if (request.has_compactmaxgoroutines()) return "compactMaxGoroutines";
  if (request.autopausetime().value() != 0) return "autoPauseTime";
  if (request.autopausedisableifsubscribers().value()) return "autoPauseDisableIfSubscribers";
  if (request.encryption().value()) return "encryption";
  return {};
}

template <typename Nullable>
std::optional<milliseconds> Milliseconds(bool present, const Nullable& value) {
  return present ? std::optional(milliseconds(value.value())) : std::nullopt;
}

StreamOverrides OverridesOf(const proto::CreateStreamRequest& request) {
  StreamOverrides out;
  if (request.has_retentionmaxbytes())
    out.retention_max_bytes = request.retentionmaxbytes().value();
  if (request.has_retentionmaxmessages())
    out.retention_max_messages = request.retentionmaxmessages().value();
  out.retention_max_age = Milliseconds(request.has_retentionmaxage(), request.retentionmaxage());
  // By contract 0 asks for the default in these two.
  const bool interval = request.cleanerinterval().value() != 0;
  out.cleaner_interval = Milliseconds(interval, request.cleanerinterval());
  if (request.segmentmaxbytes().value() != 0)
    out.segment_max_bytes = request.segmentmaxbytes().value();
  out.segment_max_age = Milliseconds(request.has_segmentmaxage(), request.segmentmaxage());
  if (request.has_minisr()) out.min_isr = request.minisr().value();
  if (request.has_optimisticconcurrencycontrol()) {
    out.optimistic_concurrency_control = request.optimisticconcurrencycontrol().value();
  }
  return out;
}

// Our enums are the wire's less one: 0 is "unspecified" there.
template <typename Ours, typename Wire>
absl::Status TakeEnum(std::string_view field, Wire value, int highest, std::optional<Ours>& out) {
  const int number = static_cast<int>(value);
  if (number == 0) return absl::OkStatus();
  if (number < 0 || number > highest) {
    return absl::InvalidArgumentError(
        Concat("settings.", field, ": ", number, " is not a value that this version knows"));
  }
  out = static_cast<Ours>(number - 1);
  return absl::OkStatus();
}

absl::StatusOr<StreamOverrides> OverridesOf(const v1::StreamSettings& settings) {
  StreamOverrides out;
  if (settings.has_retention_max_bytes()) out.retention_max_bytes = settings.retention_max_bytes();
  if (settings.has_retention_max_messages())
    out.retention_max_messages = settings.retention_max_messages();
  if (settings.has_retention_max_age_ms())
    out.retention_max_age = milliseconds(settings.retention_max_age_ms());
  if (settings.has_cleaner_interval_ms())
    out.cleaner_interval = milliseconds(settings.cleaner_interval_ms());
  if (settings.has_segment_max_bytes()) out.segment_max_bytes = settings.segment_max_bytes();
  if (settings.has_segment_max_age_ms())
    out.segment_max_age = milliseconds(settings.segment_max_age_ms());
  if (settings.has_min_isr()) out.min_isr = settings.min_isr();
  if (settings.has_optimistic_concurrency_control()) {
    out.optimistic_concurrency_control = settings.optimistic_concurrency_control();
  }
  if (settings.has_record_internal_subjects())
    out.record_internal_subjects = settings.record_internal_subjects();
  RETURN_IF_ERROR(TakeEnum("durability", settings.durability(), v1::DURABILITY_OS, out.durability));
  RETURN_IF_ERROR(
      TakeEnum("reply_acks", settings.reply_acks(), v1::REPLY_ACKS_JETSTREAM, out.reply_acks));
  RETURN_IF_ERROR(
      TakeEnum("leader_acks", settings.leader_acks(), v1::LEADER_ACKS_COMMITTED, out.leader_acks));
  return out;
}

}  // namespace

absl::StatusOr<StreamSpec> ToSpec(const proto::CreateStreamRequest& request, int brokers) {
  StreamSpec spec;
  spec.name = request.name();
  spec.subject = request.subject();
  spec.group = request.group();
  spec.partitions = request.partitions();
  spec.replication_factor = request.replicationfactor();
  spec.overrides = OverridesOf(request);
  const std::string_view unbuilt = UnbuiltField(request);
  if (unbuilt.empty()) return spec;
  StreamSpec checked = spec;
  RETURN_IF_ERROR(NormalizeAndValidate(checked, brokers));
  return absl::UnimplementedError(
      Concat(unbuilt, " is not implemented by this version of Bascule: create stream ", spec.name,
             " without it"));
}

absl::StatusOr<StreamSpec> ToSpec(const v1::CreateStreamRequest& request) {
  StreamSpec spec;
  spec.name = request.name();
  spec.subject = request.subject();
  spec.group = request.group();
  spec.partitions = request.partitions();
  spec.replication_factor = request.replication_factor();
  ASSIGN_OR_RETURN(spec.overrides, OverridesOf(request.settings()));
  return spec;
}

absl::StatusOr<StreamOverrides> ToChanges(const v1::UpdateStreamRequest& request) {
  ASSIGN_OR_RETURN(const StreamOverrides changes, OverridesOf(request.settings()));
  if (changes != StreamOverrides()) return changes;
  return absl::InvalidArgumentError(
      Concat("no setting is given that stream ", request.name(), " should change"));
}

void FillSettings(const StreamSettings& settings, v1::StreamSettings& out) {
  out.set_retention_max_bytes(settings.retention_max_bytes);
  out.set_retention_max_messages(settings.retention_max_messages);
  out.set_retention_max_age_ms(settings.retention_max_age.count());
  out.set_cleaner_interval_ms(settings.cleaner_interval.count());
  out.set_segment_max_bytes(settings.segment_max_bytes);
  out.set_segment_max_age_ms(settings.segment_max_age.count());
  out.set_min_isr(settings.min_isr);
  out.set_optimistic_concurrency_control(settings.optimistic_concurrency_control);
  out.set_durability(static_cast<v1::Durability>(static_cast<int>(settings.durability) + 1));
  out.set_reply_acks(static_cast<v1::ReplyAcks>(static_cast<int>(settings.reply_acks) + 1));
  out.set_leader_acks(static_cast<v1::LeaderAcks>(static_cast<int>(settings.leader_acks) + 1));
  out.set_record_internal_subjects(settings.record_internal_subjects);
}

}  // namespace bascule
