// One command of the metadata log, as this room knows it: everything that is decided about it stands in the
// file that defines its descriptor (command_*.cc), and command_list.cc lists them. Nobody else looks at which
// command it is. What a client can ask for has a descriptor of its own in requests/ (request_kind.h).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"
#include "replication/meta/table/meta_commands.h"
#include "replication/ports.h"

namespace bascule::meta {
class Command;
}  // namespace bascule::meta

namespace bascule::metadata {

class TableState;

struct CommandOutcome {
  absl::Status result;  // the proposer's; Unimplemented: a command of a newer version, the broker
                        // must stop
  std::vector<MetaDelta> deltas;
};

struct MetaCommand {
  int number;             // of its field in Command (commands.proto); never reused
  std::string_view name;  // what it does, as in "to <name>"
  // That must be in force where it is proposed; 0: any. Apply does not ask: the log says what was done.
  uint32_t feature_level;
  bool grows;  // the table; the others must get through on a full disk
  // Total, and as MetaTable::Apply: reads nothing but its arguments. `command` is of this kind.
  CommandOutcome (*apply)(TableState& table, MetadataIndex index, const meta::Command& command);
};

// By number.
std::span<const MetaCommand* const> MetaCommands();
// Null: a command of a newer version, or none.
const MetaCommand* FindCommand(int number);

}  // namespace bascule::metadata
