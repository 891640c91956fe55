// Lines of a file descriptor, interruptible while waiting for the next one.
#pragma once

#include <optional>
#include <string>

namespace bascule::cli {

// One thread. Lines end at \n, which is cut off; a last line without one counts.
class LineSource {
 public:
  // Reading stops for good as soon as `wake_fd` is readable.
  LineSource(int fd, int wake_fd) : fd_(fd), wake_fd_(wake_fd) {}
  // Absent at the end, after an interrupt and after a read error (`error()` is not 0 then).
  std::optional<std::string> Next();
  // Whether Next() would return a line without waiting.
  bool HasBuffered() const { return buffer_.find('\n', position_) != std::string::npos; }
  int error() const { return error_; }

 private:
  bool Fill();  // false: nothing more will come

  int fd_;
  int wake_fd_;
  int error_ = 0;
  bool ended_ = false;
  std::string buffer_;
  size_t position_ = 0;  // of what has not been returned yet
};

}  // namespace bascule::cli
