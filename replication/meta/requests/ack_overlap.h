// A stream with reply acks answers plain messages as JetStream would. Two that hear the same message
// would both answer it, and its publisher take whichever comes first for its own: the second such
// stream is refused, as JetStream refuses streams whose subjects overlap. Pure; the metadata thread.
#pragma once

#include <map>
#include <string>

#include "core/base/status.h"
#include "core/stream/description.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {

class AckOverlap {
 public:
  // FailedPrecondition naming a stream of `present`, or one that is on its way, that would answer
  // messages that `stream` answers. `stream` has what binds.
  absl::Status Check(const StreamDescription& stream, const MetaTable::Streams& present) const;
  // `stream` is proposed: counts until Settled.
  void Proposed(const StreamDescription& stream);
  void Settled(const StreamDescription& stream);

 private:
  std::multimap<std::string, StreamDescription> proposed_;  // those that answer
};

}  // namespace bascule::metadata
