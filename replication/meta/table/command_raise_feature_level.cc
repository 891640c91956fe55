#include "replication/meta/table/command_raise_feature_level.h"

#include <algorithm>

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome RaiseFeatureLevel(TableState& table, MetadataIndex, const meta::Command& command) {
  const uint32_t level = command.raise_feature_level().level();
  if (level > kFeatureLevel) {
    return {absl::UnimplementedError(Concat("the cluster goes on with feature level ", level,
                                            ", this version of the program has ", kFeatureLevel,
                                            "; install a newer one")),
            {}};
  }
  for (const auto& [id, broker] : table.brokers()) {
    if (broker.feature_level >= level) continue;
    return {absl::FailedPreconditionError(
                Concat("broker ", id, " has feature level ", broker.feature_level)),
            {}};
  }
  table.SetFeatureLevel(std::max(table.feature_level(), level));
  return {};
}

}  // namespace

const MetaCommand kRaiseFeatureLevelCommand{
    meta::Command::kRaiseFeatureLevelFieldNumber, "raise the feature level",
    /*feature_level=*/0, /*grows=*/false, RaiseFeatureLevel};

std::string EncodeRaiseFeatureLevel(uint32_t level) {
  meta::Command command;
  command.mutable_raise_feature_level()->set_level(level);
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
