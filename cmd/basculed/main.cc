// basculed: reads the configuration, runs the broker until SIGTERM or SIGINT.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <iostream>
#include <thread>

#include "cmd/basculed/broker.h"
#include "cmd/basculed/flags.h"
#include "core/base/logging.h"
#include "core/env/file_system.h"

extern char** environ;

namespace bascule {
namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;

absl::StatusOr<Config> ReadConfig(const Flags& flags) {
  ConfigSources sources;
  sources.environment = ReadEnvironment(environ);
  sources.flags = flags.overrides;
  if (const auto path = ConfigFile(flags, sources.environment)) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                     RealFileSystem().Open(*path, OpenMode::kRead));
    ASSIGN_OR_RETURN(sources.file_text, ReadWhole(*file, kMaxConfigBytes));
    sources.file_name = *path;
  }
  return LoadConfig(sources);
}

// Batches and read chunks are buffers of up to a megabyte that come and go all the time. By default
// glibc maps and unmaps each, and every page of it is faulted in and zeroed again; kept in the heap
// they cost nothing.
void KeepLargeBuffers() {
  constexpr int kMapFrom = 32 << 20;
  constexpr int kTrimFrom = 128 << 20;
  mallopt(M_MMAP_THRESHOLD, kMapFrom);
  mallopt(M_TRIM_THRESHOLD, kTrimFrom);
}

int Run(const Config& config) {
  KeepLargeBuffers();
  SetLogLevel(config.log_level);
  // Blocked before any thread starts, so that every thread leaves them to the wait below.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // While the broker starts there is nothing to take down: recovery is safe to interrupt anywhere.
  // (The thread outlives this function when the start fails.)
  struct Ending {
    sigset_t signals;
    std::atomic<bool> serving{false};
    std::promise<int> received;
  };
  const auto end = std::make_shared<Ending>();
  end->signals = ending;
  std::thread([end] {
    int signal_number = 0;
    sigwait(&end->signals, &signal_number);
    if (!end->serving) _exit(0);
    end->received.set_value(signal_number);
  }).detach();
  absl::StatusOr<std::unique_ptr<Broker>> broker = Broker::Start(config);
  if (!broker.ok()) {
    LogError("basculed cannot start: ", FromAbsl(broker.status().message()));
    return 1;
  }
  end->serving = true;
  const int received = end->received.get_future().get();
  LogInfo(received == SIGTERM ? "SIGTERM" : "SIGINT", ": stopping");
  broker->reset();
  LogInfo("stopped");
  return 0;
}

int Main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv, BASCULE_VERSION);
  if (flags.action == Flags::Action::kUsageError) {
    std::cerr << flags.text;
    return flags.exit_code;
  }
  if (flags.action != Flags::Action::kRun && flags.action != Flags::Action::kCheck) {
    std::cout << flags.text;
    return flags.exit_code;
  }
  const absl::StatusOr<Config> config = ReadConfig(flags);
  if (!config.ok()) {
    std::cerr << FromAbsl(config.status().message()) << "\n";
    return 2;
  }
  if (flags.action == Flags::Action::kCheck) {
    std::cout << "the configuration is valid\n" << DescribeConfig(*config);
    return 0;
  }
  return Run(*config);
}

}  // namespace
}  // namespace bascule

int main(int argc, char** argv) { return bascule::Main(argc, argv); }
