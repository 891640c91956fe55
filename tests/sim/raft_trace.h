// A simulated Raft group's doings as lines of text, for people.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "core/base/text.h"
#include "replication/meta/raft/raft.h"

namespace bascule {

std::string ToText(const raft::Message& message);
std::string ToText(const raft::Entry& entry);
std::string ToText(const raft::Configuration& configuration);
std::string_view ToText(raft::Role role);

// Off: costs nothing (ask `on()` before building a line).
class RaftTrace {
 public:
  static constexpr size_t kKeptLines = 4000;

  void Switch(bool on) { on_ = on; }
  bool on() const { return on_; }
  void SetTime(uint64_t microseconds) { now_ = microseconds; }

  template <typename... Parts>
  void Add(const Parts&... parts) {
    lines_.push_back(Concat(now_ / 1000, ".", now_ / 100 % 10, " ms  ", parts...));
    if (lines_.size() > kKeptLines) lines_.pop_front();
  }
  // The newest `count` lines.
  std::string Tail(size_t count = kKeptLines) const;

 private:
  bool on_ = false;
  uint64_t now_ = 0;
  std::deque<std::string> lines_;
};

}  // namespace bascule
