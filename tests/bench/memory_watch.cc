#include "tests/bench/memory_watch.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "tests/bench/process_usage.h"

namespace bascule::bench {

namespace {

constexpr std::chrono::milliseconds kPeriod{250};
constexpr int64_t kLineNs = 5'000'000'000;
constexpr double kFilled = 0.1;
constexpr double kSettled = 0.3;

double MiB(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

MemoryWatch::MemoryWatch(std::vector<int> pids, std::function<double()> progress)
    : pids_(std::move(pids)), progress_(std::move(progress)), thread_([this] { Run(); }) {}

MemoryWatch::~MemoryWatch() { (void)Stop(); }

absl::Status MemoryWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  return failure_;
}

std::optional<uint64_t> MemoryWatch::Growth() const {
  uint64_t early = 0;
  uint64_t late = 0;
  for (const Sample& sample : samples_) {
    if (sample.progress < kFilled) continue;
    uint64_t& greatest = sample.progress < kSettled ? early : late;
    greatest = std::max(greatest, sample.resident);
  }
  if (early == 0 || late == 0) return std::nullopt;
  return late > early ? late - early : 0;
}

uint64_t MemoryWatch::Peak() const {
  uint64_t peak = 0;
  for (const Sample& sample : samples_) peak = std::max(peak, sample.resident);
  return peak;
}

void MemoryWatch::Run() {
  const int64_t start = NowNs();
  std::unique_lock lock(mutex_);
  while (!stop_ && failure_.ok()) {
    lock.unlock();
    failure_ = Take(NowNs(), start);
    lock.lock();
    changed_.wait_for(lock, kPeriod, [this] { return stop_; });
  }
}

absl::Status MemoryWatch::Take(int64_t now, int64_t start) {
  const absl::StatusOr<uint64_t> resident = MemoryBytes(pids_, "VmRSS");
  const absl::StatusOr<uint64_t> anonymous = MemoryBytes(pids_, "RssAnon");
  if (!resident.ok()) return resident.status();
  if (!anonymous.ok()) return anonymous.status();
  const double progress = progress_();
  samples_.push_back({progress, *resident});
  if (now < next_line_) return absl::OkStatus();
  next_line_ = now + kLineNs;
  std::fprintf(stderr, "%6.0f s  %5.1f %%  resident %8.1f MiB  of it anonymous %8.1f MiB\n",
               static_cast<double>(now - start) * 1e-9, progress * 100, MiB(*resident),
               MiB(*anonymous));
  return absl::OkStatus();
}

}  // namespace bascule::bench
