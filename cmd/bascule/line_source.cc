#include "line_source.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace bascule::cli {

bool LineSource::Fill() {
  if (ended_) return false;
  std::array<pollfd, 2> waits{{{fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}}};
  while (poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
  }
  if (waits[1].revents != 0) {
    // What was typed but not ended is not a line.
    buffer_.clear();
    position_ = 0;
    ended_ = true;
    return false;
  }
  std::array<char, 64 * 1024> chunk;
  ssize_t n = 0;
  while ((n = read(fd_, chunk.data(), chunk.size())) < 0 && errno == EINTR) {
  }
  if (n < 0) error_ = errno;
  if (n <= 0) {
    ended_ = true;
    return false;
  }
  buffer_.erase(0, position_);
  position_ = 0;
  buffer_.append(chunk.data(), static_cast<size_t>(n));
  return true;
}

std::optional<std::string> LineSource::Next() {
  size_t searched = position_;
  for (;;) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(position_, end - position_);
      position_ = end + 1;
      return line;
    }
    const size_t pending = buffer_.size() - position_;
    if (!Fill()) break;
    searched = pending;
  }
  if (error_ != 0 || position_ >= buffer_.size()) return std::nullopt;
  std::string line = buffer_.substr(position_);
  buffer_.clear();
  position_ = 0;
  return line;
}

}  // namespace bascule::cli
