// Log lines leave the process on a thread of their own, so that no other waits for whoever reads
// them.
//
//   any thread                     the writer's thread
//   Write: room? append            takes all that waits, writes it, as long as that takes
//          full? count it          lines were dropped behind it? a line says how many
//
// The newest are dropped: the first lines of a trouble say what it is.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "core/base/limits.h"
#include "core/base/logging.h"

namespace bascule {

class LogWriter final : public LogSink {
 public:
  // `fd`: not owned. `max_bytes`: of lines that have not left yet.
  explicit LogWriter(int fd, size_t max_bytes = limits::kLogQueueBytes,
                     std::chrono::milliseconds stuck_after = limits::kLogStuckAfter);
  // Gives up what cannot be written at once.
  ~LogWriter() override;

  void Write(std::string line) override;
  bool Flush(std::chrono::milliseconds limit) override;
  Losses losses() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bascule
