#include "core/base/bounded_output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace bascule {
namespace {

using SteadyClock = std::chrono::steady_clock;

int ReopenWithoutWaiting(int fd) {
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
  return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

// What poll may wait: -1 without an end, 0 when it is over.
int Left(SteadyClock::time_point deadline, std::chrono::milliseconds limit) {
  if (limit < std::chrono::milliseconds::zero()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
}

}  // namespace

BoundedOutput::BoundedOutput(int fd) : fd_(fd) {
  struct stat file {};
  if (fstat(fd, &file) != 0) return;
  if (S_ISSOCK(file.st_mode)) {
    kind_ = Kind::kSocket;
  } else if (S_ISFIFO(file.st_mode) || S_ISCHR(file.st_mode)) {
    const int own = ReopenWithoutWaiting(fd);
    if (own < 0) return;
    fd_ = own;
    kind_ = Kind::kNonBlocking;
  }
}

BoundedOutput::~BoundedOutput() {
  if (kind_ == Kind::kNonBlocking) close(fd_);
}

BoundedOutput::Result BoundedOutput::Write(std::string_view& text, std::chrono::milliseconds limit,
                                           int wake_fd) {
  const SteadyClock::time_point deadline = SteadyClock::now() + limit;
  while (!text.empty()) {
    pollfd ready[2] = {{fd_, POLLOUT, 0}, {wake_fd, POLLIN, 0}};
    const int found = poll(ready, wake_fd >= 0 ? 2 : 1, Left(deadline, limit));
    if (found < 0 && errno == EINTR) continue;
    if (found < 0) return Result::kFailed;
    if (ready[0].revents == 0) return found == 0 ? Result::kLate : Result::kWoken;
    // A blocking pipe that is ready takes this much at once.
    const size_t most =
        kind_ == Kind::kPlain ? std::min<size_t>(text.size(), PIPE_BUF) : text.size();
    const ssize_t written = kind_ == Kind::kSocket
                                ? send(fd_, text.data(), most, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : write(fd_, text.data(), most);
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
      return Result::kFailed;
    }
  }
  return Result::kDone;
}

bool WriteWithin(int fd, std::string_view text, std::chrono::milliseconds limit) {
  BoundedOutput output(fd);
  return output.Write(text, limit) == BoundedOutput::Result::kDone;
}

}  // namespace bascule
