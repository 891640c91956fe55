// Which streams this broker still has work to do for (DeltaSink), and who waits for that. On the
// metadata thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule::metadata {

class Settlement {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  Settlement() : state_(std::make_shared<State>()) {}

  // A piece of work for `stream` begins; what is returned ends it, also after this object is gone.
  // `last`: the stream is deleted, what became of it is not kept.
  Done Begin(StreamId stream, bool last);
  // `done` when no work for `stream` is under way (at once, if so), with the first error of what
  // was under way together last.
  void WhenSettled(StreamId stream, Done done);
  // `done` when no work is under way at all.
  void WhenAllSettled(absl::AnyInvocable<void()> done);

 private:
  struct Work {
    size_t under_way = 0;
    absl::Status first;  // error
    bool last = false;
    std::vector<Done> waiting;
  };
  struct State {
    std::map<StreamId, Work> work;
    std::map<StreamId, absl::Status> failed;  // of streams without work under way
    std::vector<absl::AnyInvocable<void()>> idle;

    void End(StreamId stream, const absl::Status& status);
  };
  std::shared_ptr<State> state_;
};

}  // namespace bascule::metadata
