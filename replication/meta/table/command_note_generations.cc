#include "replication/meta/table/command_note_generations.h"

#include <algorithm>

#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome NoteGenerations(TableState& table, MetadataIndex, const meta::Command& command) {
  for (const auto& directory : command.note_generations().directories()) {
    RegisteredBroker* broker = table.MutableBroker(directory.broker());
    if (broker == nullptr || broker->incarnation != directory.incarnation()) continue;
    broker->generation = std::max(broker->generation, directory.generation());
  }
  return {};
}

}  // namespace

const MetaCommand kNoteGenerationsCommand{meta::Command::kNoteGenerationsFieldNumber,
                                          "note how far data directories have come",
                                          kGenerationsLevel, /*grows=*/false, NoteGenerations};

std::string EncodeNoteGenerations(const std::vector<DirectoryGeneration>& directories) {
  meta::Command command;
  command.mutable_note_generations();
  for (const DirectoryGeneration& directory : directories) {
    meta::NoteGenerations::Directory& out = *command.mutable_note_generations()->add_directories();
    out.set_broker(directory.session.broker);
    out.set_incarnation(directory.session.incarnation);
    out.set_generation(directory.generation);
  }
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
