#include "tests/support/child_process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/env/file_system.h"

extern char** environ;

namespace bascule {
namespace {

constexpr size_t kMaxOutputBytes = size_t{256} << 20;

std::string FindProgram(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = getenv("PATH");
  std::string folders = absl::StrCat(path == nullptr ? "" : path, ":/usr/sbin:/usr/local/bin");
  while (!folders.empty()) {
    const size_t colon = folders.find(':');
    const std::string candidate = JoinPath(folders.substr(0, colon), program);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    folders = colon == std::string::npos ? "" : folders.substr(colon + 1);
  }
  return program;
}

std::vector<std::string> Environment(const ChildOptions& options) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : options.env) variables[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(absl::StrCat(name, "=", value));
  return lines;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& s : strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

// All that the child needs between fork and exec, prepared before: there it may not allocate, since
// another thread may have held the allocator's lock.
struct Launch {
  std::string program;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::string directory;
  int input = -1;
  int output = -1;
  int errors = -1;
  int failure = -1;  // errno of a failed launch goes here; closed by a successful exec
  pid_t parent = -1;
};

[[noreturn]] void RunChild(const Launch& launch) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  bool ready = getppid() == launch.parent;  // else the parent died before PR_SET_PDEATHSIG
  ready = ready && dup2(launch.input, 0) >= 0 && dup2(launch.output, 1) >= 0 &&
          dup2(launch.errors, 2) >= 0;
  ready = ready && (launch.directory.empty() || chdir(launch.directory.c_str()) == 0);
  // The test's sockets must not stay open in here; old kernels without the call leave them, which
  // only costs ports.
  syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
  if (ready) execve(launch.program.c_str(), launch.argv.data(), launch.envp.data());
  const int error = errno;
  const ssize_t told = write(launch.failure, &error, sizeof(error));
  _exit(told == sizeof(error) ? 127 : 126);
}

absl::StatusOr<int> OpenFor(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return absl::InternalError(absl::StrCat("open ", path, ": ", strerror(errno)));
  return fd;
}

std::string Contents(const std::string& path) {
  const auto file = RealFileSystem().Open(path, OpenMode::kRead);
  if (!file.ok()) return "";
  return ReadWhole(**file, kMaxOutputBytes).value_or("");
}

ExitStatus Decode(int status) {
  ExitStatus exit;
  if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.code = WEXITSTATUS(status);
  }
  return exit;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ChildOptions& options) {
  std::unique_ptr<ChildProcess> child(new ChildProcess());
  std::vector<std::string> args = options.args;
  args.insert(args.begin(), options.program);
  std::vector<std::string> env = Environment(options);
  Launch launch;
  launch.program = FindProgram(options.program);
  launch.argv = Pointers(args);
  launch.envp = Pointers(env);
  launch.directory = options.directory;
  launch.parent = getpid();

  {
    ASSIGN_OR_RETURN(const auto input,
                     RealFileSystem().Open(child->files_.Path("stdin"), OpenMode::kCreate));
    RETURN_IF_ERROR(input->WriteAt(FilePosition(0), options.input));
  }
  ASSIGN_OR_RETURN(launch.input, OpenFor(child->files_.Path("stdin"), O_RDONLY));
  ASSIGN_OR_RETURN(launch.output,
                   OpenFor(child->files_.Path("stdout"), O_WRONLY | O_CREAT | O_APPEND));
  ASSIGN_OR_RETURN(launch.errors,
                   OpenFor(child->files_.Path("stderr"), O_WRONLY | O_CREAT | O_APPEND));
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return absl::InternalError(strerror(errno));
  launch.failure = failure[1];

  child->pid_ = fork();
  if (child->pid_ == 0) RunChild(launch);
  for (const int fd : {launch.input, launch.output, launch.errors, launch.failure}) close(fd);
  int error = errno;
  const bool failed = child->pid_ < 0 || read(failure[0], &error, sizeof(error)) == sizeof(error);
  close(failure[0]);
  if (child->pid_ > 0) child->pid_fd_ = static_cast<int>(syscall(SYS_pidfd_open, child->pid_, 0));
  if (failed)
    return absl::NotFoundError(absl::StrCat("start ", launch.program, ": ", strerror(error)));
  BASCULE_CHECK_GE(child->pid_fd_, 0);
  return child;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) Kill();
  if (pid_fd_ >= 0) close(pid_fd_);
}

void ChildProcess::Signal(int signal) {
  if (Running()) kill(pid_, signal);
}

std::optional<ExitStatus> ChildProcess::WaitExit(std::chrono::milliseconds limit) {
  if (exit_.has_value()) return exit_;
  pollfd ended{pid_fd_, POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    const int ready = poll(&ended, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready == 0) return std::nullopt;
    if (ready > 0) break;
    BASCULE_CHECK_EQ(errno, EINTR);
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0) BASCULE_CHECK_EQ(errno, EINTR);
  exit_ = Decode(status);
  return exit_;
}

bool ChildProcess::Running() { return !WaitExit(std::chrono::milliseconds(0)).has_value(); }

ExitStatus ChildProcess::Terminate(std::chrono::milliseconds grace) {
  Signal(SIGTERM);
  if (const std::optional<ExitStatus> exit = WaitExit(grace); exit.has_value()) return *exit;
  return Kill();
}

ExitStatus ChildProcess::Kill() {
  // The group too when its leader has ended: what it started may live on. The id cannot belong to
  // another group while a member lives, and is not likely to have been reused otherwise.
  kill(-pid_, SIGKILL);
  if (!exit_.has_value()) {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0) BASCULE_CHECK_EQ(errno, EINTR);
    exit_ = Decode(status);
  }
  return *exit_;
}

std::string ChildProcess::Output() const { return Contents(files_.Path("stdout")); }

std::string ChildProcess::Errors() const { return Contents(files_.Path("stderr")); }

absl::StatusOr<RunResult> RunProgram(const ChildOptions& options, std::chrono::milliseconds limit) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> child, ChildProcess::Start(options));
  const std::optional<ExitStatus> exit = child->WaitExit(limit);
  if (!exit.has_value()) {
    child->Kill();
    return absl::DeadlineExceededError(
        absl::StrCat(options.program, " still ran after ", limit.count(),
                     " ms; it wrote: ", child->Output(), child->Errors()));
  }
  return RunResult{*exit, child->Output(), child->Errors()};
}

int PickFreePort() {
  static std::mutex mutex;
  static std::set<int> given;  // the system may offer a port again as soon as it is closed
  const std::lock_guard<std::mutex> lock(mutex);
  while (true) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    BASCULE_CHECK_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    BASCULE_CHECK_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    close(listener);
    const int port = ntohs(address.sin_port);
    if (given.insert(port).second) return port;
  }
}

}  // namespace bascule
