// What commands of the metadata log have in common (commands.proto; each is in a file of its own, command.h).
// Times and identities are put in by the proposer.
#pragma once

#include <cstdint>
#include <string>

namespace bascule::metadata {

// What this version of the program understands. Raised with each version that adds a command or a
// setting of streams or gives one another meaning; in force only when every broker of the cluster has it.
// 2: generations of data directories, kept results with short texts, message.max.bytes of streams.
// 3: what replicas need: changes of the ISR, moved leaders, doubt.
inline constexpr uint32_t kFeatureLevel = 3;
inline constexpr uint32_t kGenerationsLevel = 2;
inline constexpr uint32_t kReplicasLevel = 3;

// Who asked for a command, so that it is carried out once. incarnation 0: nobody repeats it.
struct CommandOrigin {
  std::string broker;
  uint64_t incarnation = 0;
  uint64_t sequence = 0;  // from 1, one per request
  uint64_t answered = 0;  // all sequences up to it are answered
};

struct BrokerSession {
  std::string broker;
  uint64_t incarnation = 0;
  bool operator==(const BrokerSession&) const = default;
};

}  // namespace bascule::metadata
