#include <cinttypes>
#include <cstdio>
#include <functional>

#include "absl/strings/str_cat.h"
#include "tests/bench/payload.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/soak.h"

namespace bascule::bench {

namespace {

struct OneStream {
  std::string name;
  std::string subject;
  uint64_t run;
  PayloadMaker maker;
};

std::vector<OneStream> Plan(uint64_t count, size_t size) {
  std::vector<OneStream> streams;
  for (uint64_t i = 0; i < count; ++i) {
    streams.push_back(
        {absl::StrCat("soak-", i), absl::StrCat("soak.s", i), i + 1, PayloadMaker(i + 1, size)});
  }
  return streams;
}

absl::Status Create(const Soak& soak, const std::vector<OneStream>& streams) {
  for (const OneStream& stream : streams) {
    if (absl::Status in_time = soak.InTime(NowNs()); !in_time.ok()) return in_time;
    absl::Status created = soak.CreateStream(stream.name, stream.subject, 0);
    if (!created.ok()) return created;
  }
  return absl::OkStatus();
}

// In turns, so that every stream is written to all the time.
absl::Status Publish(const Soak& soak, std::vector<OneStream>& streams, uint64_t messages) {
  for (uint64_t n = 0; n < messages; ++n) {
    for (OneStream& stream : streams) {
      const int64_t now = NowNs();
      if (absl::Status in_time = soak.InTime(now); !in_time.ok()) return in_time;
      absl::Status sent = soak.publisher->Send(stream.subject.c_str(), stream.maker.Make(n, now));
      if (!sent.ok()) return sent;
    }
  }
  return soak.publisher->Drain();
}

absl::Status Verify(const Soak& soak, const std::vector<OneStream>& streams, uint64_t messages) {
  for (const OneStream& stream : streams) {
    if (absl::Status in_time = soak.InTime(NowNs()); !in_time.ok()) return in_time;
    PayloadChecker checker(stream.run, soak.size);
    absl::Status read =
        soak.target->Replay(stream.name, messages, soak.limit,
                            [&](std::string_view payload) { return checker.Check(payload); });
    if (!read.ok()) return read;
    const absl::StatusOr<uint64_t> stored = soak.target->Stored(stream.name);
    if (!stored.ok()) return stored.status();
    if (*stored != messages) {
      return absl::DataLossError(absl::StrCat("stream ", stream.name, " holds ", *stored,
                                              " messages, ", messages, " were published"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SoakManyStreams(Options& options) {
  Soak soak(options);
  const uint64_t count = options.Number("streams", 1000, 1, 100'000);
  const uint64_t messages = options.Number("messages", 100, 1, 1'000'000);
  options.RejectUnknown();
  if (absl::Status connected = soak.Connect(); !connected.ok()) return connected;

  std::vector<OneStream> streams = Plan(count, soak.size);
  double seconds[3] = {};
  const std::function<absl::Status()> steps[3] = {
      [&] { return Create(soak, streams); },
      [&] { return Publish(soak, streams, messages); },
      [&] { return Verify(soak, streams, messages); },
  };
  const char* names[3] = {"created", "published", "verified"};
  for (int step = 0; step < 3; ++step) {
    const int64_t start = NowNs();
    if (absl::Status done = steps[step](); !done.ok()) return done;
    seconds[step] = static_cast<double>(NowNs() - start) * 1e-9;
    std::fprintf(stderr, "%-9s in %.2f s\n", names[step], seconds[step]);
  }
  const absl::StatusOr<uint64_t> peak = MemoryBytes(soak.pids, "VmHWM");
  if (!peak.ok()) return peak.status();
  std::printf("{\"mode\":\"many-streams\",\"streams\":%" PRIu64 ",\"messages\":%" PRIu64
              ",\"size\":%zu,\"create_seconds\":%.3f,\"publish_seconds\":%.3f"
              ",\"verify_seconds\":%.3f,\"peak_rss\":%" PRIu64 "}\n",
              count, count * messages, soak.size, seconds[0], seconds[1], seconds[2], *peak);
  return absl::OkStatus();
}

}  // namespace bascule::bench
