// "Wake me when the high watermark passes this offset." Used by every parked read. On the
// partition's shard.
#pragma once

#include <map>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/ports/partition_port.h"

namespace bascule::partition {

class CommitWatch {
 public:
  // Called once: OK when the high watermark has passed the offset, else why the wait ended.
  using Wake = absl::AnyInvocable<void(absl::Status)>;

  // One wait per reader at a time.
  void Wait(ReaderId reader, Offset past, Wake wake) {
    waiting_.insert_or_assign(reader, Waiter{past, std::move(wake)});
  }

  void Notify(Offset high_watermark) {
    std::vector<Wake> due;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (it->second.past < high_watermark) {
        due.push_back(std::move(it->second.wake));
        it = waiting_.erase(it);
      } else {
        ++it;
      }
    }
    // Outside the loop: a wake-up may wait again.
    for (Wake& wake : due) wake(absl::OkStatus());
  }

  void Cancel(ReaderId reader) {
    const auto it = waiting_.find(reader);
    if (it == waiting_.end()) return;
    Wake wake = std::move(it->second.wake);
    waiting_.erase(it);
    wake(absl::CancelledError("the reader has gone"));
  }

  void EndAll(const absl::Status& why) {
    std::map<ReaderId, Waiter> ended;
    ended.swap(waiting_);
    for (auto& [reader, waiter] : ended) waiter.wake(why);
  }

 private:
  struct Waiter {
    Offset past;
    Wake wake;
  };
  std::map<ReaderId, Waiter> waiting_;
};

}  // namespace bascule::partition
