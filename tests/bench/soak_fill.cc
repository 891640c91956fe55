#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/bench/memory_watch.h"
#include "tests/bench/payload.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/soak.h"

namespace bascule::bench {

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr char kStream[] = "soak";
constexpr char kSubject[] = "soak.load";
constexpr uint64_t kRun = 1;

// One stream filled at full speed, memory watched.
struct Fill {
  Soak soak;
  uint64_t messages;
  int64_t retention;
  uint64_t allowed_growth;  // 0 = no judgement

  explicit Fill(Options& options)
      : soak(options),
        messages(static_cast<uint64_t>(options.Number("bytes", kGiB, 1, 1024 * kGiB)) / soak.size +
                 1),
        retention(options.Number("retention-bytes", 0, 0, 1024 * kGiB)),
        allowed_growth(options.Number("max-growth", 64 * kMiB, 0, 1024 * kGiB)) {}

  absl::Status Prepare() {
    if (absl::Status connected = soak.Connect(); !connected.ok()) return connected;
    return soak.CreateStream(kStream, kSubject, retention);
  }

  double Progress() const {
    return static_cast<double>(soak.publisher->acked()) / static_cast<double>(messages);
  }

  absl::Status Publish() {
    PayloadMaker maker(kRun, soak.size);
    for (uint64_t n = 0; n < messages; ++n) {
      const int64_t now = NowNs();
      if (absl::Status in_time = soak.InTime(now); !in_time.ok()) return in_time;
      absl::Status sent = soak.publisher->Send(kSubject, maker.Make(n, now));
      if (!sent.ok()) return sent;
    }
    return soak.publisher->Drain();
  }

  // Prints the facts and says whether memory stayed flat. `more`: further JSON fields, each with a
  // comma before it.
  absl::Status Judge(const char* mode, double seconds, const MemoryWatch& memory,
                     const std::string& more) const {
    const std::optional<uint64_t> growth = memory.Growth();
    std::printf("{\"mode\":\"%s\",\"messages\":%" PRIu64
                ",\"size\":%zu,\"seconds\":%.3f,\"rate\":%.0f,\"peak_rss\":%" PRIu64
                ",\"rss_growth\":%s%s}\n",
                mode, messages, soak.size, seconds, static_cast<double>(messages) / seconds,
                memory.Peak(), growth ? absl::StrCat(*growth).c_str() : "null", more.c_str());
    if (allowed_growth == 0) return absl::OkStatus();
    if (!growth) {
      return absl::FailedPreconditionError(
          "the load was too short to judge memory: raise --bytes, or set --max-growth 0");
    }
    if (*growth <= allowed_growth) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory is not flat: it grew by ", *growth / kMiB,
        " MiB after the first 30 % of the load; --max-growth is ", allowed_growth / kMiB, " MiB"));
  }
};

// Reads the stream at `rate` messages a second until Release. Its thread ends when the stream is
// read, when a check fails, or after Release.
class SlowReader {
 public:
  SlowReader(Target& target, const Fill& fill, int64_t rate, bool drain)
      : target_(target), fill_(fill), rate_(rate), drain_(drain), checker_(kRun, fill.soak.size) {
    thread_ = std::thread([this] {
      result_ = target_.Replay(kStream, fill_.messages, fill_.soak.limit,
                               [this](std::string_view payload) { return Visit(payload); });
    });
  }

  uint64_t seen() const { return seen_.load(); }

  absl::Status Release() {
    released_.store(true);
    thread_.join();
    return absl::IsCancelled(result_) ? absl::OkStatus() : result_;
  }

 private:
  absl::Status Visit(std::string_view payload) {
    if (released_.load() && !drain_) return absl::CancelledError("the load has ended");
    absl::Status good = checker_.Check(payload);
    if (!good.ok()) return good;
    const auto seen = static_cast<int64_t>(seen_.fetch_add(1) + 1);
    const int64_t due = start_ + seen * 1'000'000'000 / rate_;
    for (int64_t now = NowNs(); now < due && !released_.load(); now = NowNs()) {
      // In slices, so that Release is heard even at one message an hour.
      std::this_thread::sleep_for(
          std::chrono::nanoseconds(std::min<int64_t>(due - now, 20'000'000)));
    }
    return good;
  }

  Target& target_;
  const Fill& fill_;
  const int64_t rate_;
  const bool drain_;
  const int64_t start_ = NowNs();
  PayloadChecker checker_;  // the reading thread's
  absl::Status result_;     // the reading thread's until it is joined
  std::atomic<uint64_t> seen_ = 0;
  std::atomic<bool> released_ = false;
  std::thread thread_;
};

}  // namespace

absl::Status SoakLoad(Options& options) {
  Fill fill(options);
  const bool verify = options.Flag("verify");
  options.RejectUnknown();
  if (verify && fill.retention > 0) options.Fail("--verify needs a stream without retention");
  if (absl::Status ready = fill.Prepare(); !ready.ok()) return ready;

  MemoryWatch memory(fill.soak.pids, [&] { return fill.Progress(); });
  const int64_t start = NowNs();
  absl::Status published = fill.Publish();
  const double seconds = static_cast<double>(NowNs() - start) * 1e-9;
  absl::Status watched = memory.Stop();
  if (!published.ok()) return published;
  if (!watched.ok()) return watched;
  if (verify) {
    PayloadChecker checker(kRun, fill.soak.size);
    absl::Status read =
        fill.soak.target->Replay(kStream, fill.messages, fill.soak.limit,
                                 [&](std::string_view payload) { return checker.Check(payload); });
    if (!read.ok()) return read;
  }
  return fill.Judge("load", seconds, memory,
                    absl::StrCat(",\"verified\":", verify ? fill.messages : 0));
}

absl::Status SoakSlowSubscriber(Options& options) {
  Fill fill(options);
  const int64_t rate = options.Number("rate", 1000, 1, 10'000'000);
  const bool drain = options.Flag("drain");
  options.RejectUnknown();
  if (drain && fill.retention > 0) options.Fail("--drain needs a stream without retention");
  if (absl::Status ready = fill.Prepare(); !ready.ok()) return ready;
  auto reader_target = MakeFeed(fill.soak.address);
  if (!reader_target.ok()) return reader_target.status();

  SlowReader reader(**reader_target, fill, rate, drain);
  MemoryWatch memory(fill.soak.pids, [&] { return fill.Progress(); });
  const int64_t start = NowNs();
  absl::Status published = fill.Publish();
  const double seconds = static_cast<double>(NowNs() - start) * 1e-9;
  const uint64_t read_during_load = reader.seen();
  absl::Status watched = memory.Stop();
  if (absl::Status bad = published.ok() ? watched : published; !bad.ok()) {
    // The reader may be waiting for messages that now never come, so it cannot be joined.
    std::fprintf(stderr, "bench_soak slow-subscriber: %s\n", bad.ToString().c_str());
    std::_Exit(1);
  }
  if (absl::Status read = reader.Release(); !read.ok()) return read;
  return fill.Judge(
      "slow-subscriber", seconds, memory,
      absl::StrCat(",\"read_during_load\":", read_during_load, ",\"verified\":", reader.seen()));
}

}  // namespace bascule::bench
