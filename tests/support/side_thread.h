// Work beside a test: a thread that ends with its scope, whatever ends the scope. A plain std::thread
// ends the whole program when a failed REQUIRE unwinds past it, or when one fails on it.
#pragma once

#include <atomic>
#include <future>
#include <utility>

namespace bascule {

class SideThread {
 public:
  // `work` is called once with the flag that asks it to end. What it throws comes out of Stop.
  template <typename Work>
  explicit SideThread(Work work)
      : ended_(std::async(std::launch::async, [this, work = std::move(work)]() mutable {
          work(std::as_const(stop_));
        })) {}
  ~SideThread() { stop_ = true; }
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  // Asks the work to end and waits for that. Idempotent.
  void Stop() {
    stop_ = true;
    if (ended_.valid()) ended_.get();
  }

 private:
  std::atomic<bool> stop_{false};
  std::future<void> ended_;  // last: its destructor waits for the work
};

}  // namespace bascule
