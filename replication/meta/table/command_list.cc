// The commands that this version knows: an include and an entry each.
#include <algorithm>

#include "replication/meta/table/command.h"
#include "replication/meta/table/command_alter_isr.h"
#include "replication/meta/table/command_create_stream.h"
#include "replication/meta/table/command_delete_stream.h"
#include "replication/meta/table/command_fence_brokers.h"
#include "replication/meta/table/command_init_cluster.h"
#include "replication/meta/table/command_move_leader.h"
#include "replication/meta/table/command_note_generations.h"
#include "replication/meta/table/command_raise_epoch.h"
#include "replication/meta/table/command_raise_feature_level.h"
#include "replication/meta/table/command_register_broker.h"
#include "replication/meta/table/command_remove_broker.h"
#include "replication/meta/table/command_update_stream.h"

namespace bascule::metadata {
namespace {

constexpr const MetaCommand* kMetaCommands[] = {
    &kCreateStreamCommand,    &kDeleteStreamCommand, &kRegisterBrokerCommand,
    &kRaiseEpochCommand,      &kUpdateStreamCommand, &kFenceBrokersCommand,
    &kRemoveBrokerCommand,    &kInitClusterCommand,  &kRaiseFeatureLevelCommand,
    &kNoteGenerationsCommand, &kAlterIsrCommand,     &kMoveLeaderCommand,
};

}  // namespace

std::span<const MetaCommand* const> MetaCommands() { return kMetaCommands; }

const MetaCommand* FindCommand(int number) {
  const auto found =
      std::find_if(std::begin(kMetaCommands), std::end(kMetaCommands),
                   [number](const MetaCommand* command) { return command->number == number; });
  return found == std::end(kMetaCommands) ? nullptr : *found;
}

}  // namespace bascule::metadata
