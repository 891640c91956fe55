#pragma once

#include <string>
#include <vector>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kNoteGenerationsCommand;

// How far a broker's data directory has come.
struct DirectoryGeneration {
  BrokerSession session;
  uint64_t generation = 0;
};

std::string EncodeNoteGenerations(const std::vector<DirectoryGeneration>& directories);

}  // namespace bascule::metadata
