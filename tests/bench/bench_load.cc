// One phase of a comparison round against one running side; compare.sh strings the phases together.
// Prints one line per result: measure, value, unit, "higher" or "lower" (which is better),
// separated by tabs.
//
//   bench_load publish|one|replay|usage|disk|disk-fixed|ready|free-port --side ours|peer --nats URL [--grpc
//   HOST:PORT] ...
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "tests/bench/options.h"
#include "tests/bench/payload.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/publisher.h"
#include "tests/bench/target.h"

namespace bascule::bench {
namespace {

constexpr std::chrono::milliseconds kQuietLimit{3000};
constexpr std::chrono::seconds kClusterPatience{20};
constexpr std::chrono::milliseconds kReadyPeriod{100};
constexpr uint64_t kLoadRun = 1;
constexpr uint64_t kOneRun = 2;
constexpr char kLoadStream[] = "bench-load";
constexpr char kLoadSubject[] = "bench.load";
constexpr char kOneStream[] = "bench-one";
constexpr char kOneSubject[] = "bench.one";

void Print(const char* measure, double value, const char* unit, const char* better) {
  std::printf("%s\t%.9g\t%s\t%s\n", measure, value, unit, better);
}

double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

struct Setup {
  TargetAddress address;
  std::vector<int> pids;
  std::string durability;
  uint64_t messages;
  size_t size;
  std::chrono::seconds limit;
  int replicas;

  explicit Setup(Options& options)
      : address{options.Required("side"), options.Required("nats"), options.Text("grpc", "")},
        pids(options.Pids("pids")),
        durability(options.Text("durability", "fsync")),
        messages(options.Number("messages", 100'000, 1, 1'000'000'000)),
        size(options.Number("size", 128, kPayloadHeaderBytes, 64 << 20)),
        limit(options.Number("time-limit", 600, 1, 86'400)),
        replicas(static_cast<int>(options.Number("replicas", 1, 1, 5))) {
    if (address.side != "ours" && address.side != "peer") options.Fail("--side is ours or peer");
    if (address.side == "ours" && address.grpc.empty()) options.Fail("--grpc is required");
    if (durability != "fsync" && durability != "os") options.Fail("--durability is fsync or os");
  }
};

// Runs `work` and prints its server CPU per million of `messages`, including what the servers do
// right after it.
absl::Status MeasureCpu(const Setup& setup, const char* measure, uint64_t messages,
                        const std::function<absl::Status()>& work) {
  const absl::StatusOr<double> before = CpuSeconds(setup.pids);
  if (!before.ok()) return before.status();
  if (absl::Status done = work(); !done.ok()) return done;
  WaitUntilQuiet(setup.pids, kQuietLimit);
  const absl::StatusOr<double> after = CpuSeconds(setup.pids);
  if (!after.ok()) return after.status();
  Print(measure, (*after - *before) * 1e6 / static_cast<double>(messages), "cpu-s/M", "lower");
  return absl::OkStatus();
}

// A cluster that has just started takes a moment until it has room for every replica.
absl::Status CreateWhenReady(Target& target, const StreamChoice& choice) {
  const int64_t deadline = NowNs() + std::chrono::nanoseconds(kClusterPatience).count();
  while (true) {
    absl::Status created = target.CreateStream(choice);
    if (created.ok() || choice.replicas == 1 || NowNs() > deadline) return created;
    std::this_thread::sleep_for(kReadyPeriod);
  }
}

// `rate`: messages per second, each sent when it is due; 0: as fast as they are taken.
absl::Status SendRange(Publisher& publisher, PayloadMaker& maker, uint64_t first, uint64_t end,
                       const Setup& setup, uint64_t rate = 0) {
  const int64_t begin = NowNs();
  const int64_t deadline = begin + std::chrono::nanoseconds(setup.limit).count();
  for (uint64_t n = first; n < end; ++n) {
    int64_t now = NowNs();
    const int64_t due =
        rate == 0 ? now : begin + static_cast<int64_t>((n - first) * 1'000'000'000 / rate);
    if (due > now) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(due - now));
      now = NowNs();
    }
    if (now > deadline) return absl::DeadlineExceededError("--time-limit reached while publishing");
    absl::Status sent = publisher.Send(kLoadSubject, maker.Make(n, now));
    if (!sent.ok()) return sent;
  }
  return publisher.Drain();
}

// Fills the load stream: `warmup` messages unmeasured, then `messages` measured. They stay for the
// replay. `held`: so many of them are there already, and the stream with them.
absl::Status Publish(Options& options) {
  const Setup setup(options);
  const int64_t window = options.Number("window", 1000, 1, 1'000'000);
  const uint64_t warmup = options.Number("warmup", 5'000, 0, 1'000'000'000);
  const uint64_t rate = options.Number("rate", 0, 0, 1'000'000);
  const uint64_t held = options.Number("held", 0, 0, 1'000'000'000);
  options.RejectUnknown();

  auto target = MakeFeed(setup.address);
  if (!target.ok()) return target.status();
  const StreamChoice choice{.name = kLoadStream,
                            .subject = kLoadSubject,
                            .durability = setup.durability,
                            .replicas = setup.replicas};
  if (absl::Status created = held > 0 ? absl::OkStatus() : CreateWhenReady(**target, choice);
      !created.ok())
    return created;
  auto publisher = Publisher::Connect(setup.address.nats_url, window);
  if (!publisher.ok()) return publisher.status();
  PayloadMaker maker(kLoadRun, setup.size);
  const uint64_t first = held + warmup;
  if (absl::Status warm = SendRange(**publisher, maker, held, first, setup); !warm.ok())
    return warm;
  (*publisher)->TakeLatency();

  const auto work = [&]() -> absl::Status {
    const int64_t start = NowNs();
    absl::Status sent = SendRange(**publisher, maker, first, first + setup.messages, setup, rate);
    if (!sent.ok() || rate > 0) return sent;
    const double reached = static_cast<double>(setup.messages) / Seconds(NowNs() - start);
    Print("publish_rate", reached, "msg/s", "higher");
    return absl::OkStatus();
  };
  absl::Status measured =
      MeasureCpu(setup, rate > 0 ? "paced_server_cpu" : "publish_server_cpu", setup.messages, work);
  if (!measured.ok()) return measured;
  const LatencyHistogram latency = (*publisher)->TakeLatency();
  Print(rate > 0 ? "paced_ack_p50" : "publish_ack_p50",
        static_cast<double>(latency.Percentile(0.5).count()) * 1e-6, "ms", "lower");
  Print(rate > 0 ? "paced_ack_p99" : "publish_ack_p99",
        static_cast<double>(latency.Percentile(0.99).count()) * 1e-6, "ms", "lower");
  return absl::OkStatus();
}

// One message at a time, each waiting for its ack.
absl::Status One(Options& options) {
  const Setup setup(options);
  options.RejectUnknown();
  auto target = MakeFeed(setup.address);
  if (!target.ok()) return target.status();
  absl::Status created = CreateWhenReady(**target, {.name = kOneStream,
                                                    .subject = kOneSubject,
                                                    .durability = setup.durability,
                                                    .replicas = setup.replicas});
  if (!created.ok()) return created;
  auto publisher = Publisher::Connect(setup.address.nats_url, 1);
  if (!publisher.ok()) return publisher.status();
  PayloadMaker maker(kOneRun, setup.size);
  const uint64_t warmup = setup.messages / 20 + 1;
  uint64_t sequence = 0;
  const auto send = [&](uint64_t count) {
    absl::Status sent;
    for (uint64_t i = 0; i < count && sent.ok(); ++i) {
      sent = (*publisher)->SendAndWait(kOneSubject, maker.Make(sequence++, NowNs()));
    }
    return sent;
  };
  if (absl::Status warm = send(warmup); !warm.ok()) return warm;
  (*publisher)->TakeLatency();
  absl::Status measured =
      MeasureCpu(setup, "one_server_cpu", setup.messages, [&] { return send(setup.messages); });
  if (!measured.ok()) return measured;
  const LatencyHistogram latency = (*publisher)->TakeLatency();
  Print("one_p50", static_cast<double>(latency.Percentile(0.5).count()) * 1e-3, "us", "lower");
  Print("one_p99", static_cast<double>(latency.Percentile(0.99).count()) * 1e-3, "us", "lower");
  return absl::OkStatus();
}

// Reads the load stream from its first message; `messages` is all that publish stored, warm-up
// included.
absl::Status Replay(Options& options) {
  const Setup setup(options);
  const bool raw = options.Flag("raw");
  options.RejectUnknown();
  auto target = MakeFeed(setup.address);
  if (!target.ok()) return target.status();
  absl::StatusOr<uint64_t> stored = (*target)->Stored(kLoadStream);
  if (!stored.ok()) return stored.status();
  if (*stored != setup.messages) {
    return absl::DataLossError("the stream says it holds " + std::to_string(*stored) + " of " +
                               std::to_string(setup.messages) + " messages");
  }
  PayloadChecker checker(kLoadRun, setup.size);
  const auto visit = [&](std::string_view payload) { return checker.Check(payload); };
  return MeasureCpu(setup, "replay_server_cpu", setup.messages, [&]() -> absl::Status {
    const int64_t start = NowNs();
    absl::Status read = raw ? (*target)->ReplayRaw(kLoadStream, setup.messages, setup.limit)
                            : (*target)->Replay(kLoadStream, setup.messages, setup.limit, visit);
    if (!read.ok()) return read;
    const double rate = static_cast<double>(setup.messages) / Seconds(NowNs() - start);
    Print("replay_rate", rate, "msg/s", "higher");
    return absl::OkStatus();
  });
}

absl::Status Usage(Options& options) {
  const std::vector<int> pids = options.Pids("pids");
  options.RejectUnknown();
  const absl::StatusOr<uint64_t> peak = MemoryBytes(pids, "VmHWM");
  if (!peak.ok()) return peak.status();
  Print("peak_rss", static_cast<double>(*peak) / (1 << 20), "MiB", "lower");
  return absl::OkStatus();
}

// Only after a clean stop: while a server runs it may hold space for messages to come. `fixed`: bytes of a
// directory of the same side that holds one message; what is beyond them is the messages'.
absl::Status Disk(Options& options) {
  const std::string data_dir = options.Required("data-dir");
  const uint64_t messages = options.Number("messages", 1, 1, 1'000'000'000);
  const uint64_t fixed = options.Number("fixed", 0, 0, 1'000'000'000'000);
  options.RejectUnknown();
  const uint64_t bytes = DiskBytes(data_dir);
  if (bytes <= fixed) return absl::NotFoundError("nothing is stored in " + data_dir);
  Print("disk_per_message", static_cast<double>(bytes - fixed) / static_cast<double>(messages), "B",
        "lower");
  return absl::OkStatus();
}

// What a side keeps on disk whatever is published: of a directory that holds one message.
absl::Status DiskFixed(Options& options) {
  const std::string data_dir = options.Required("data-dir");
  options.RejectUnknown();
  const uint64_t bytes = DiskBytes(data_dir);
  if (bytes == 0) return absl::NotFoundError("nothing is stored in " + data_dir);
  Print("disk_fixed", static_cast<double>(bytes), "B", "lower");
  return absl::OkStatus();
}

absl::Status Ready(Options& options) {
  const Setup setup(options);
  options.RejectUnknown();
  auto target = MakeFeed(setup.address);
  return target.ok() ? (*target)->WaitReady(setup.limit) : target.status();
}

// A TCP port of the loopback address that was free a moment ago.
absl::Status FreePort(Options& options) {
  options.RejectUnknown();
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool found =
      fd >= 0 && bind(fd, generic, length) == 0 && getsockname(fd, generic, &length) == 0;
  if (fd >= 0) close(fd);
  if (!found) return absl::UnavailableError("no free port on 127.0.0.1");
  std::printf("%d\n", ntohs(address.sin_port));
  return absl::OkStatus();
}

}  // namespace
}  // namespace bascule::bench

int main(int argc, char** argv) {
  using namespace bascule::bench;
  Options options(argc, argv);
  const std::map<std::string, absl::Status (*)(Options&)> modes = {
      {"publish", Publish}, {"one", One},     {"replay", Replay},      {"usage", Usage},
      {"disk", Disk},       {"ready", Ready}, {"free-port", FreePort}, {"disk-fixed", DiskFixed}};
  const auto mode = modes.find(options.mode());
  if (mode == modes.end()) {
    options.Fail("modes are publish, one, replay, usage, disk, disk-fixed, ready and free-port");
  }
  const absl::Status done = mode->second(options);
  if (done.ok()) return 0;
  std::fprintf(stderr, "bench_load %s: %s\n", options.mode().c_str(), done.ToString().c_str());
  return 1;
}
