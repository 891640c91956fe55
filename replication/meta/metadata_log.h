// The ordered log of metadata commands, as everybody above sees it. On one broker a local file; in
// a cluster the Raft group's log. On the metadata thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

// What the log is applied to.
class MetadataState {
 public:
  virtual ~MetadataState() = default;
  // In index order, each once. What it returns goes to the proposer.
  virtual absl::Status Apply(MetadataIndex index, std::string_view command) = 0;
  virtual std::string Snapshot() const = 0;
  virtual absl::Status Restore(std::string_view snapshot) = 0;
};

class MetadataLog {
 public:
  virtual ~MetadataLog() = default;
  // `done` gets Apply's result once the command is durable and applied here, straight after that
  // Apply. Unavailable: not taken. Internal: the outcome is unknown.
  virtual void Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) = 0;
  // `done` runs when everything committed before the call is applied here.
  virtual void ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Empty, or why commands are not taken.
  virtual std::string degraded() const = 0;
};

}  // namespace bascule
