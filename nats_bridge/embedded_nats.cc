#include "nats_bridge/embedded_nats.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/env/file_system.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/restart_delay.h"

namespace bascule::nats {
namespace {

constexpr char kName[] = "nats-server";  // argv[0]: it names its ports file after it
constexpr char kConfigFile[] = "nats-server.conf";
constexpr int kPortsPollMs = 10;
constexpr Duration kStartTimeout = std::chrono::seconds(10);
constexpr Duration kStopTimeout = std::chrono::seconds(5);
constexpr size_t kMaxLineBytes = 8 * limits::kKiB;
constexpr size_t kLastWordsBytes = 2 * limits::kKiB;
// Where in a line the level stands, if it has one.
constexpr size_t kLevelWithin = 64;
constexpr size_t kPortsFileBytes = 64 * limits::kKiB;

// The first client URL in a ports file: {"nats":["nats://127.0.0.1:4222"],...}.
std::string FirstUrl(std::string_view json) {
  const size_t key = json.find("\"nats\"");
  const size_t open = json.find('[', std::min(key, json.size()));
  const size_t begin = json.find('"', std::min(open, json.size()));
  const size_t end = begin == std::string_view::npos ? begin : json.find('"', begin + 1);
  if (end == std::string_view::npos) return {};
  return std::string(json.substr(begin + 1, end - begin - 1));
}

int PortOf(const std::string& url) {
  const size_t colon = url.rfind(':');
  int port = 0;
  if (colon != std::string::npos)
    std::from_chars(url.data() + colon + 1, url.data() + url.size(), port);
  return port;
}

std::string QuotedForConfig(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

}  // namespace

EmbeddedNats::EmbeddedNats(EmbeddedNatsOptions options, std::string path, Clock& clock)
    : options_(std::move(options)), path_(std::move(path)), clock_(clock), port_(options_.port) {}

absl::StatusOr<std::unique_ptr<EmbeddedNats>> EmbeddedNats::Start(
    const EmbeddedNatsOptions& options, Clock& clock) {
  std::string path = FindExecutable(options.binary);
  if (path.empty()) {
    return absl::NotFoundError(Concat(
        "embedded NATS: no executable '", options.binary,
        "'; install it (Debian: apt install nats-server) or name its path in the configuration"));
  }
  RETURN_IF_ERROR(RealFileSystem().CreateDirectories(options.directory));
  std::unique_ptr<EmbeddedNats> nats(new EmbeddedNats(options, std::move(path), clock));
  nats->stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (nats->stop_fd_ < 0)
    return absl::InternalError(Concat("embedded NATS: eventfd: ", strerror(errno)));
  try {
    nats->supervisor_ = std::thread([n = nats.get()] { n->Supervise(); });  // joined by Stop
  } catch (const std::system_error& e) {
    return absl::InternalError(Concat("embedded NATS: no thread: ", e.what()));
  }
  absl::Status first;
  {
    const absl::MutexLock lock(&nats->mutex_);
    while (!nats->started_) nats->changed_.Wait(nats->mutex_);
    first = nats->first_;
  }
  if (!first.ok()) return first;
  return nats;
}

EmbeddedNats::~EmbeddedNats() {
  Stop();
  if (stop_fd_ >= 0) close(stop_fd_);
}

void EmbeddedNats::Stop() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof(one));
  if (supervisor_.joinable()) supervisor_.join();
}

std::string EmbeddedNats::url() const {
  const absl::MutexLock lock(&mutex_);
  return url_;
}

uint64_t EmbeddedNats::restarts() const {
  const absl::MutexLock lock(&mutex_);
  return restarts_;
}

int EmbeddedNats::pid() const {
  const absl::MutexLock lock(&mutex_);
  return pid_;
}

bool EmbeddedNats::stopping() const {
  const absl::MutexLock lock(&mutex_);
  return stopping_;
}

void EmbeddedNats::Report(absl::Status status) {
  const absl::MutexLock lock(&mutex_);
  BASCULE_CHECK(!started_);
  started_ = true;
  first_ = std::move(status);
  changed_.SignalAll();
}

void EmbeddedNats::Supervise() {
  absl::Status status = Launch();
  const bool up = status.ok();
  Report(std::move(status));
  if (!up) return;
  RestartDelay delay;
  while (!stopping()) {
    const MonotonicTime born = clock_.Monotonic();
    while (child_.running() && Watch(-1) && !stopping()) {
    }
    if (stopping()) break;
    if (child_.running()) {
      const std::string how = Bury();
      LogError("embedded NATS: nats-server ", how, "; starting it again");
    }
    {
      const absl::MutexLock lock(&mutex_);
      pid_ = -1;
      ++restarts_;
    }
    Pause(delay.Next(Between(born, clock_.Monotonic())));
    if (stopping()) break;
    const absl::Status again = Launch();
    if (!again.ok()) LogError(again.message());
  }
  Shutdown();
}

std::string EmbeddedNats::Configuration() const {
  // A pending limit below four messages would make the server drop a client that sends large ones.
  const size_t pending = std::max<size_t>(64 * limits::kMiB, 4 * options_.max_payload);
  return Concat("# Written at each start; changes are lost. Use a file of your own instead.\n",
                "listen: ", QuotedForConfig(Concat(options_.host, ":", port_ > 0 ? port_ : -1)),
                "\n", "max_payload: ", options_.max_payload, "\n", "max_pending: ", pending, "\n");
}

absl::Status EmbeddedNats::Launch() {
  std::vector<std::string> arguments{kName, "--ports_file_dir", options_.directory};
  std::string config = options_.config_file;
  if (config.empty()) {
    config = JoinPath(options_.directory, kConfigFile);
    RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), config, Configuration()));
  } else if (port_ > 0) {
    arguments.insert(arguments.end(), {"-p", Concat(port_)});
  }
  arguments.insert(arguments.end(), {"-c", config});
  if (!options_.log_file.empty()) arguments.insert(arguments.end(), {"-l", options_.log_file});
  partial_.clear();
  last_words_.clear();
  RETURN_IF_ERROR(child_.Spawn(path_, arguments));
  const MonotonicTime begin = clock_.Monotonic();
  while (!PollPorts()) {
    if (!Watch(kPortsPollMs)) {
      const std::string how = Bury();
      return absl::FailedPreconditionError(Concat("embedded NATS: ", path_, " with configuration ",
                                                  config, " ", how,
                                                  " instead of starting: ", last_words_));
    }
    if (stopping()) return absl::CancelledError("embedded NATS: stopped while it started");
    if (Between(begin, clock_.Monotonic()) > kStartTimeout) {
      child_.Kill();
      child_.Reap();
      return absl::DeadlineExceededError(
          Concat("embedded NATS: ", path_, " does not accept connections: ", last_words_));
    }
  }
  return absl::OkStatus();
}

// The server writes its ports file once it listens, and removes it when it ends.
bool EmbeddedNats::PollPorts() {
  const std::string path = JoinPath(options_.directory, Concat(kName, "_", child_.pid(), ".ports"));
  auto file = RealFileSystem().Open(path, OpenMode::kRead);
  if (!file.ok()) return false;
  const auto text = ReadWhole(**file, kPortsFileBytes);
  const std::string url = text.ok() ? FirstUrl(*text) : std::string();
  if (url.empty()) return false;  // caught while it was written
  LogInfo("embedded NATS: nats-server ", child_.pid(), " listens on ", url);
  port_ = PortOf(url);
  const absl::MutexLock lock(&mutex_);
  url_ = url;
  pid_ = child_.pid();
  return true;
}

bool EmbeddedNats::Watch(int timeout_ms) {
  pollfd fds[3] = {
      {stop_fd_, POLLIN, 0}, {child_.exit_fd(), POLLIN, 0}, {child_.output_fd(), POLLIN, 0}};
  poll(fds, 3, timeout_ms);
  if ((fds[2].revents & POLLIN) != 0) Forward();
  // A closed output of a living child would make poll return for ever: then only its end counts.
  if ((fds[2].revents & (POLLHUP | POLLIN)) == POLLHUP && fds[1].revents == 0 &&
      fds[0].revents == 0) {
    poll(fds, 2, timeout_ms);
  }
  return (fds[1].revents & POLLIN) == 0;
}

void EmbeddedNats::Forward() {
  char buffer[4096];
  while (true) {
    const ssize_t n = read(child_.output_fd(), buffer, sizeof(buffer));
    if (n <= 0) return;
    for (const char c : std::string_view(buffer, static_cast<size_t>(n))) {
      if (c != '\n' && partial_.size() < kMaxLineBytes) {
        partial_.push_back(c);
        continue;
      }
      ForwardLine(partial_);
      partial_.clear();
    }
  }
}

// "[pid] date time [INF] text": the level becomes ours.
void EmbeddedNats::ForwardLine(const std::string& line) {
  last_words_ = Concat(last_words_.empty() ? "" : last_words_ + " | ", line);
  if (last_words_.size() > kLastWordsBytes)
    last_words_.erase(0, last_words_.size() - kLastWordsBytes);
  const std::string_view front = std::string_view(line).substr(0, kLevelWithin);
  const auto has = [&](std::string_view mark) {
    return front.find(mark) != std::string_view::npos;
  };
  if (has("[ERR]") || has("[FTL]")) {
    LogError("nats-server: ", line);
  } else if (has("[WRN]")) {
    LogWarning("nats-server: ", line);
  } else {
    LogDebug("nats-server: ", line);
  }
}

// The last of its output, unfinished line included, and what became of it.
std::string EmbeddedNats::Bury() {
  Forward();
  if (!partial_.empty()) ForwardLine(std::exchange(partial_, {}));
  return child_.Reap();
}

void EmbeddedNats::Pause(Duration delay) {
  pollfd fd{stop_fd_, POLLIN, 0};
  poll(&fd, 1,
       static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(delay).count()));
}

void EmbeddedNats::Shutdown() {
  if (!child_.running()) return;
  child_.Terminate();
  const MonotonicTime begin = clock_.Monotonic();
  bool killed = false;
  while (true) {
    pollfd fds[2] = {{child_.exit_fd(), POLLIN, 0}, {child_.output_fd(), POLLIN, 0}};
    poll(fds, 2, kPortsPollMs);
    if ((fds[1].revents & POLLIN) != 0) Forward();
    if ((fds[0].revents & POLLIN) != 0) break;
    if (!killed && Between(begin, clock_.Monotonic()) > kStopTimeout) {
      LogWarning("embedded NATS: nats-server does not end, killing it");
      child_.Kill();
      killed = true;
    }
  }
  Bury();
  const absl::MutexLock lock(&mutex_);
  pid_ = -1;
}

}  // namespace bascule::nats
