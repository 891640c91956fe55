#include "replication/meta/table/command_init_cluster.h"

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome InitCluster(TableState& table, MetadataIndex, const meta::Command& command) {
  const std::string& id = command.init_cluster().cluster_id();
  const std::string& known = table.cluster_id();
  if (!known.empty() && known != id)
    return {absl::FailedPreconditionError(Concat("the cluster is ", known, " already")), {}};
  table.SetClusterId(id);
  return {};
}

}  // namespace

const MetaCommand kInitClusterCommand{meta::Command::kInitClusterFieldNumber, "name the cluster",
                                      /*feature_level=*/0, /*grows=*/false, InitCluster};

std::string EncodeInitCluster(const std::string& cluster_id) {
  meta::Command command;
  command.mutable_init_cluster()->set_cluster_id(cluster_id);
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
