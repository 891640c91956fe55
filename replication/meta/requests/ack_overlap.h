// A stream with reply acks answers plain messages as JetStream would. Two that hear the same message
// would both answer it, and its publisher take whichever comes first for its own: the second such
// stream is refused, as JetStream refuses streams whose subjects overlap. Pure; the metadata thread.
#pragma once

#include <map>
#include <string>

#include "core/base/status.h"
#include "core/stream/description.h"
#include "core/stream/subject_index.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {

class AckOverlap {
 public:
  // FailedPrecondition naming a stream of `table`, or one that is on its way, that would answer
  // messages that `stream` answers. `stream` has what binds; one of an older version that is not bound
  // yet counts as what `defaults` will make of it.
  absl::Status Check(const StreamDescription& stream, const MetaTable& table,
                     const StreamSettings& defaults) const;
  // `stream` is proposed: counts until Decided. At most one of each name.
  void Proposed(const StreamDescription& stream);
  void Decided(const StreamDescription& stream);

 private:
  std::map<std::string, StreamDescription> proposed_;  // those that answer
  SubjectIndex proposed_subjects_;
};

}  // namespace bascule::metadata
