// Samples the servers' memory while a load runs, prints the samples, and judges whether memory
// stayed flat.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace bascule::bench {

// Samples every 250 ms on a thread of its own from construction to Stop; a line every 5 s on
// stderr.
class MemoryWatch {
 public:
  // `progress` says how far the load is, from 0 to 1; called on the sampling thread.
  MemoryWatch(std::vector<int> pids, std::function<double()> progress);
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  // Ends the sampling; NotFound when a process has gone meanwhile.
  absl::Status Stop();

  // After Stop. Bytes by which the greatest resident size after 30 % of the load exceeds the
  // greatest between 10 and 30 %: what is filled once (caches, pools) is full by then, what grows
  // with the data goes on. 0 when it shrank, no value when the load was too short for samples in
  // both parts.
  std::optional<uint64_t> Growth() const;
  uint64_t Peak() const;

 private:
  struct Sample {
    double progress;
    uint64_t resident;
  };

  void Run();
  absl::Status Take(int64_t now, int64_t start);

  const std::vector<int> pids_;
  const std::function<double()> progress_;
  std::vector<Sample> samples_;  // the sampling thread's until Stop
  absl::Status failure_;         // likewise
  int64_t next_line_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace bascule::bench
