// basculed: reads the configuration, runs the broker until SIGTERM or SIGINT.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <future>
#include <iostream>
#include <thread>

#include "cmd/basculed/daemon.h"
#include "cmd/basculed/flags.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/env/file_system.h"
#include "core/env/lock_order.h"
#include "core/env/log_writer.h"
#include "replication/broker/recover_quorum.h"
#include "replication/peer/grpc_log.h"

extern char** environ;

namespace bascule::daemon {
namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;
constexpr int kFatal = -1;

absl::StatusOr<config::Config> ReadConfig(const Flags& flags) {
  config::ConfigSources sources;
  sources.environment = ReadEnvironment(environ);
  sources.flags = flags.overrides;
  if (const auto path = ConfigFile(flags, sources.environment)) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                     RealFileSystem().Open(*path, OpenMode::kRead));
    ASSIGN_OR_RETURN(sources.file_text, ReadWhole(*file, kMaxConfigBytes));
    sources.file_name = *path;
  }
  return config::LoadConfig(sources);
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

// An exception that nobody caught: its text goes the way of a failed check, which waits for nobody.
[[noreturn]] void OnTerminate() {
  std::string what = "no exception";
  if (const std::exception_ptr thrown = std::current_exception()) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      what = e.what();
    } catch (...) {
      what = "an exception of an unknown type";
    }
  }
  internal::CheckFailed(__FILE__, __LINE__, "std::terminate", " (" + what + ")");
}

// The process log leaves by a thread of its own from here on, gRPC's lines too.
void StartLog(const config::Config& config) {
  SetLogLevel(config.log_level);
  // Never destroyed: threads may log until the process is gone.
  SetLogSink(new LogWriter(STDERR_FILENO));
  peer::TakeGrpcLog();
  std::set_terminate(&OnTerminate);
}

// SIGTERM and SIGINT end the broker. The others that other programs give a meaning never do.
sigset_t WaitedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, number);
  return set;
}

int NextEndingSignal(const sigset_t& waited) {
  while (true) {
    int number = 0;
    if (sigwait(&waited, &number) != 0) continue;
    if (number == SIGTERM || number == SIGINT) return number;
    LogInfo(
        number == SIGHUP    ? "SIGHUP"
        : number == SIGUSR1 ? "SIGUSR1"
                            : "SIGUSR2",
        ": nothing is done: the configuration is read when basculed starts, and log lines go to "
        "standard error, where nothing has to be opened again");
  }
}

int Run(const config::Config& config) {
  KeepLargeBuffers();
  // Blocked before any thread starts, so that every thread leaves them to the wait below.
  const sigset_t waited = WaitedSignals();
  pthread_sigmask(SIG_BLOCK, &waited, nullptr);
  signal(SIGPIPE, SIG_IGN);
  StartLog(config);
  // While the broker starts there is nothing to take down: recovery is safe to interrupt anywhere.
  // (The thread outlives this function when the start fails.)
  struct Ending {
    std::atomic<bool> serving{false};
    std::atomic<bool> decided{false};
    std::promise<int> reason;  // a signal, or kFatal
    void Decide(int why, int exit_code) {
      if (!serving) {
        FlushLog(limits::kLogFlushTimeout);
        _exit(exit_code);
      }
      if (!decided.exchange(true)) reason.set_value(why);
    }
  };
  const auto end = std::make_shared<Ending>();
  std::thread([end, waited] { end->Decide(NextEndingSignal(waited), 0); }).detach();
  absl::StatusOr<std::unique_ptr<Daemon>> daemon =
      Daemon::Start(config, [end] { end->Decide(kFatal, 1); });
  if (!daemon.ok()) {
    LogError("basculed cannot start: ", FromAbsl(daemon.status().message()));
    FlushLog(limits::kLogFlushTimeout);
    return 1;
  }
  end->serving = true;
  const int reason = end->reason.get_future().get();
  LogInfo(reason == kFatal    ? "the error above"
          : reason == SIGTERM ? "SIGTERM"
                              : "SIGINT",
          ": stopping");
  daemon->reset();
  LogInfo("stopped");
  FlushLog(limits::kLogFlushTimeout);
  return reason == kFatal ? 1 : 0;
}

int Recover(const config::Config& config) {
  const absl::StatusOr<std::string> done = broker::RecoverQuorum(RealFileSystem(), config.data_dir);
  if (!done.ok()) {
    std::cerr << "basculed --recover-quorum: " << FromAbsl(done.status().message()) << "\n";
    return 1;
  }
  std::cout << *done;
  return 0;
}

int Main(int argc, char** argv) {
  SetLockOrderChecks();
  const Flags flags = ParseFlags(argc, argv, BASCULE_VERSION);
  if (flags.action == Flags::Action::kUsageError) {
    std::cerr << flags.text;
    return flags.exit_code;
  }
  const bool needs_config = flags.action == Flags::Action::kRun ||
                            flags.action == Flags::Action::kCheck ||
                            flags.action == Flags::Action::kRecover;
  if (!needs_config) {
    std::cout << flags.text;
    return flags.exit_code;
  }
  const absl::StatusOr<config::Config> config = ReadConfig(flags);
  if (!config.ok()) {
    std::cerr << FromAbsl(config.status().message()) << "\n";
    return 2;
  }
  if (flags.action == Flags::Action::kCheck) {
    std::cout << "the configuration is valid\n" << config::DescribeConfig(*config);
    return 0;
  }
  if (flags.action == Flags::Action::kRecover) return Recover(*config);
  return Run(*config);
}

}  // namespace
}  // namespace bascule::daemon

int main(int argc, char** argv) { return bascule::daemon::Main(argc, argv); }
