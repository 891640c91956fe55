// Log lines of the process: level, time, text, to stderr. spdlog stays behind this header (it is
// expensive to include). Any thread. Texts name the thing, the place and the remedy. A text is one
// line: control characters in it are written as escapes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/text.h"

namespace bascule {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Messages below `level` are dropped. Called once at start; later calls change the level for all
// threads.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view text);

// Where finished lines go, newline included. Without one each is written to stderr at once, by the
// thread that logs; a daemon has a core/env/log_writer.h.
class LogSink {
 public:
  virtual ~LogSink() = default;
  // Any thread; never waits.
  virtual void Write(std::string line) = 0;
  // Waits until everything written before the call has left, at most `limit`; whether it has.
  virtual bool Flush(std::chrono::milliseconds limit) = 0;
  struct Losses {
    uint64_t dropped = 0;  // lines, since the start
    bool stuck = false;    // lines wait, and nothing has been taken for a while
  };
  virtual Losses losses() const = 0;
};

// `sink` lives to the end of the process, or until another one (nullptr: stderr) is set and nobody
// logs any more.
void SetLogSink(LogSink* sink);
bool FlushLog(std::chrono::milliseconds limit);
LogSink::Losses LogLosses();
// A whole line as LogLine would hand it on.
std::string FormatLogLine(LogLevel level, std::string_view text);

template <typename... Args>
void LogDebug(const Args&... args) {
  if (LogEnabled(LogLevel::kDebug)) LogLine(LogLevel::kDebug, Concat(args...));
}
template <typename... Args>
void LogInfo(const Args&... args) {
  if (LogEnabled(LogLevel::kInfo)) LogLine(LogLevel::kInfo, Concat(args...));
}
template <typename... Args>
void LogWarning(const Args&... args) {
  if (LogEnabled(LogLevel::kWarning)) LogLine(LogLevel::kWarning, Concat(args...));
}
template <typename... Args>
void LogError(const Args&... args) {
  LogLine(LogLevel::kError, Concat(args...));
}

}  // namespace bascule
