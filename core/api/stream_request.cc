#include "core/api/stream_request.h"

#include <google/protobuf/message.h>

#include <optional>

#include "api.pb.h"
#include "bascule/v1/bascule.pb.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/stream/setting_fields.h"

namespace bascule::api {
namespace {

// Of a NullableInt64, NullableInt32 or NullableBool.
int64_t ValueOf(const google::protobuf::Message& nullable) {
  using Field = google::protobuf::FieldDescriptor;
  const Field* value = nullable.GetDescriptor()->FindFieldByNumber(1);
  const google::protobuf::Reflection& fields = *nullable.GetReflection();
  if (value->cpp_type() == Field::CPPTYPE_INT64) return fields.GetInt64(nullable, value);
  if (value->cpp_type() == Field::CPPTYPE_INT32) return fields.GetInt32(nullable, value);
  return fields.GetBool(nullable, value) ? 1 : 0;
}

// The first field of `request` that is not built yet; empty when there is none.
std::string_view UnbuiltField(const proto::CreateStreamRequest& request) {
  if (request.compactenabled().value()) return "compactEnabled";
  if (request.has_compactmaxgoroutines()) return "compactMaxGoroutines";
  if (request.autopausetime().value() != 0) return "autoPauseTime";
  if (request.autopausedisableifsubscribers().value()) return "autoPauseDisableIfSubscribers";
  if (request.encryption().value()) return "encryption";
  return {};
}

// The fields of the rows' names, each a message with a `value`. By contract 0 asks for the default
// where that is what a 0 means.
StreamOverrides OverridesOf(const proto::CreateStreamRequest& request) {
  StreamOverrides out;
  const google::protobuf::Reflection& fields = *request.GetReflection();
  for (const StreamSetting& row : kStreamSettings) {
    if (row.liftbridge.empty()) continue;
    const auto* field =
        request.GetDescriptor()->FindFieldByName({row.liftbridge.data(), row.liftbridge.size()});
    BASCULE_CHECK(field != nullptr);
    if (!fields.HasField(request, field)) continue;
    const int64_t value = ValueOf(fields.GetMessage(request, field));
    if (value == 0 && row.zero == "the default") continue;
    row.ask(out, value);
  }
  return out;
}

absl::StatusOr<StreamOverrides> OverridesOf(const v1::StreamSettings& settings) {
  StreamOverrides out;
  for (const StreamSetting& row : kStreamSettings) {
    const std::optional<int64_t> value = TakeSetting(row, settings);
    if (!value) continue;
    if (row.unit == SettingUnit::kChoice && SettingText(row, *value).empty()) {
      return absl::InvalidArgumentError(Concat("settings.", row.name, ": ", *value + 1,
                                               " is not a value that this version knows"));
    }
    row.ask(out, *value);
  }
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
  spec.one_replica_unless_set = spec.replication_factor == 0;
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
  for (const StreamSetting& row : kStreamSettings) PutSetting(row, row.get(settings), out);
}

}  // namespace bascule::api
