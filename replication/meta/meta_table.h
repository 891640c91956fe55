// The metadata of the cluster: deterministic state that only numbered commands change. Apply reads
// no clock, no random number, no unordered container and no local setting, so every broker that
// applies the same commands has the same table. On the metadata thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/stream/description.h"
#include "replication/ports.h"

namespace bascule {

// Commands, encoded (commands.proto). Times and identities are put in by the proposer.
std::string EncodeCreateStream(const StreamDescription& stream);
std::string EncodeDeleteStream(const std::string& name);
std::string EncodeRegisterBroker(const std::string& broker, uint64_t incarnation);
std::string EncodeRaiseEpoch(StreamId stream, PartitionId partition);

class MetaTable {
 public:
  struct Applied {
    absl::Status result;  // the proposer's; Unimplemented: a command of a newer version, the broker
                          // must stop
    std::vector<MetaDelta> deltas;
  };
  Applied Apply(MetadataIndex index, std::string_view command);
  std::string Snapshot() const;
  absl::Status Restore(std::string_view snapshot);

  const StreamDescription* Find(std::string_view name) const;
  const std::map<std::string, StreamDescription, std::less<>>& streams() const { return streams_; }
  MetadataIndex applied() const { return applied_; }

 private:
  std::map<std::string, StreamDescription, std::less<>> streams_;  // by name
  std::map<std::string, uint64_t> brokers_;                        // id -> incarnation
  MetadataIndex applied_;
};

}  // namespace bascule
