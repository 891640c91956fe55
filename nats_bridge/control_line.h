// What our commands take of NATS's max_control_line. A server ends the connection over a line that
// is longer, with all that goes through it, and does not say beforehand what it takes. Pure; any
// thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/limits.h"

namespace bascule::nats {

// As a server counts them: what stands behind the command's name, at most.
size_t PubLineBytes(std::string_view subject, std::string_view reply);
size_t SubLineBytes(std::string_view subject, std::string_view group);

// "the line that names it has 5000 bytes, the server takes 4096 (max_control_line)"
std::string LineTooLongText(size_t line, size_t limit);

// The limit to go by after a server refused a line and `longest` was the longest that it was sent:
// the next lower power of two, since that is what operators set, so that few refusals find it.
size_t LowerLineLimit(size_t longest);

// What a connection knows of its server's max_control_line. One thread at a time.
class LineLimit {
 public:
  // limits::kNatsControlLineBytes, until a server refused a line and so showed that it takes less.
  size_t limit() const { return limit_; }
  // Whether a line of `bytes` may be sent; to be asked before each.
  bool Admit(size_t bytes) {
    if (bytes > limit_) return false;
    longest_ = std::max(longest_, bytes);
    return true;
  }
  size_t longest() const { return longest_; }
  // A new connection: nothing was sent on it.
  void Restart() { longest_ = 0; }
  // The server ended the connection over a line. Whether that taught anything.
  bool Refused() {
    if (longest_ == 0) return false;
    const size_t lower = LowerLineLimit(longest_);
    if (lower >= limit_) return false;
    limit_ = lower;
    return true;
  }

 private:
  size_t limit_ = limits::kNatsControlLineBytes;
  size_t longest_ = 0;  // that was sent
};

}  // namespace bascule::nats
