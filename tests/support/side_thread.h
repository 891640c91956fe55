// Work beside a test: a thread that ends with its scope, whatever ends the scope. A plain std::thread
// ends the whole program when a failed REQUIRE unwinds past it, or when one fails on it.
#pragma once

#include <atomic>
#include <exception>
#include <thread>
#include <utility>

namespace bascule {

class SideThread {
 public:
  // `work` is called once with the flag that asks it to end. What it throws comes out of Stop.
  template <typename Work>
  explicit SideThread(Work work)
      : thread_([this, work = std::move(work)]() mutable {
          try {
            work(std::as_const(stop_));
          } catch (...) {
            thrown_ = std::current_exception();
          }
        }) {}
  ~SideThread() { Join(); }
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  // Asks the work to end and waits for that. Idempotent.
  void Stop() {
    Join();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  void Join() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  std::atomic<bool> stop_{false};
  std::exception_ptr thrown_;  // the work's, read after its end
  std::thread thread_;         // last: it uses the others
};

}  // namespace bascule
