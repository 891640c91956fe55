#include "nats_bridge/leashed_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_split.h"
#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::nats {
namespace {

absl::Status SystemError(const char* what) {
  return absl::InternalError(Concat(what, ": ", strerror(errno)));
}

void CloseFd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

// Between fork and exec: only what is safe in a copy of a multi-threaded process.
[[noreturn]] void BecomeChild(const char* path, char* const* arguments, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  syscall(SYS_close_range, 3U, ~0U, 0U);
  execv(path, arguments);
  static constexpr char kFailed[] = "cannot be executed\n";
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, kFailed, sizeof(kFailed) - 1);
  _exit(127);
}

}  // namespace

LeashedChild::~LeashedChild() {
  if (!running()) return;
  Kill();
  Reap();
}

absl::Status LeashedChild::Spawn(const std::string& path,
                                 const std::vector<std::string>& arguments) {
  BASCULE_CHECK(!running());
  BASCULE_CHECK(!arguments.empty());
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return SystemError("pipe");
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(path.c_str(), argv.data(), pipe_fds[1], parent);
  close(pipe_fds[1]);
  output_fd_ = pipe_fds[0];
  if (pid < 0) {
    const absl::Status status = SystemError("fork");
    CloseFd(output_fd_);
    return status;
  }
  pid_ = pid;
  fcntl(output_fd_, F_SETFL, O_NONBLOCK);
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd_ >= 0) return absl::OkStatus();
  const absl::Status status = SystemError("pidfd_open");
  Kill();
  Reap();
  return status;
}

void LeashedChild::Terminate() {
  if (running()) kill(pid_, SIGTERM);
}

void LeashedChild::Kill() {
  if (running()) kill(pid_, SIGKILL);
}

std::string LeashedChild::Reap() {
  BASCULE_CHECK(running());
  int status = 0;
  pid_t got = -1;
  do {
    got = waitpid(pid_, &status, 0);
  } while (got < 0 && errno == EINTR);
  pid_ = -1;
  CloseFd(pidfd_);
  CloseFd(output_fd_);
  if (got > 0 && WIFEXITED(status)) return Concat("ended with code ", WEXITSTATUS(status));
  if (got > 0 && WIFSIGNALED(status)) {
    return Concat("was ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  }
  return "ended";
}

std::string FindExecutable(const std::string& name) {
  if (name.find('/') != std::string::npos)
    return access(name.c_str(), X_OK) == 0 ? name : std::string();
  const char* path = std::getenv("PATH");
  // Debian installs servers in sbin, which is in root's PATH only.
  const std::string all =
      Concat(path != nullptr ? path : "", ":/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin");
  for (const absl::string_view directory : absl::StrSplit(all, ':', absl::SkipEmpty())) {
    std::string candidate = Concat(directory, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace bascule::nats
