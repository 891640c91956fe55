// Writing to a descriptor that somebody else may have stopped reading, without waiting longer than
// told. One thread at a time for each object.
#pragma once

#include <chrono>
#include <string_view>

namespace bascule {

// A pipe or terminal is opened a second time in non-blocking mode, which leaves the mode of `fd`,
// shared with other processes, as it is; a socket is asked not to wait; files never do for long.
class BoundedOutput {
 public:
  enum class Result {
    kDone,
    kLate,    // the time is up
    kWoken,   // `wake_fd` became readable
    kFailed,  // nobody will ever read it (closed, broken): errno says why
  };
  static constexpr std::chrono::milliseconds kForever{-1};

  explicit BoundedOutput(int fd);  // not owned, open while this object lives
  ~BoundedOutput();
  BoundedOutput(const BoundedOutput&) = delete;
  BoundedOutput& operator=(const BoundedOutput&) = delete;

  // Takes from the front of `text` what was written.
  Result Write(std::string_view& text, std::chrono::milliseconds limit, int wake_fd = -1);

 private:
  enum class Kind { kPlain, kSocket, kNonBlocking };
  int fd_;
  Kind kind_ = Kind::kPlain;
};

// For the last words of a process: no allocation, any thread. False when not all was written.
bool WriteWithin(int fd, std::string_view text, std::chrono::milliseconds limit);

}  // namespace bascule
