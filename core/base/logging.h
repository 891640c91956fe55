// Log lines of the process: level, time, text, to stderr. spdlog stays behind this header (it is
// expensive to include). Any thread. Texts name the thing, the place and the remedy.
#pragma once

#include <string_view>

#include "core/base/text.h"

namespace bascule {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Messages below `level` are dropped. Called once at start; later calls change the level for all
// threads.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view text);

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
