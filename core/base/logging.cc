#include "core/base/logging.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "absl/synchronization/mutex.h"
#include "core/base/bounded_output.h"
#include "core/base/log_text.h"

namespace bascule {
namespace {

// What spdlog does here is the line: time, level, pattern. Its sinks and queues write by stdio on
// the caller's thread, or on one that nobody can leave behind (core/README.md, section 9).
struct Formatter {
  absl::Mutex mutex;
  // It keeps the last second's text.
  spdlog::pattern_formatter pattern ABSL_GUARDED_BY(mutex){"%Y-%m-%dT%H:%M:%S.%eZ %^%-5l%$ %v",
                                                           spdlog::pattern_time_type::utc};
  const bool colours = isatty(STDERR_FILENO) == 1;
};

Formatter& TheFormatter() {
  static Formatter& formatter = *new Formatter();  // threads may log until the process is gone
  return formatter;
}

std::atomic<LogLevel> least_level{LogLevel::kInfo};
std::atomic<LogSink*> the_sink{nullptr};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string_view Colour(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "\033[36m";
    case LogLevel::kInfo:
      return "\033[32m";
    case LogLevel::kWarning:
      return "\033[33m\033[1m";
    case LogLevel::kError:
      return "\033[31m\033[1m";
  }
  return "";
}

}  // namespace

void SetLogLevel(LogLevel level) { least_level = level; }
bool LogEnabled(LogLevel level) { return level >= least_level; }

std::string FormatLogLine(LogLevel level, std::string_view text) {
  const std::string line = OneLine(text);
  const spdlog::details::log_msg message(spdlog::string_view_t(), ToSpdlog(level),
                                         spdlog::string_view_t(line.data(), line.size()));
  spdlog::memory_buf_t formatted;
  Formatter& formatter = TheFormatter();
  {
    const absl::MutexLock lock(&formatter.mutex);
    formatter.pattern.format(message, formatted);
  }
  std::string out(formatted.data(), formatted.size());
  if (formatter.colours && message.color_range_end > message.color_range_start) {
    out.insert(message.color_range_end, "\033[m");
    out.insert(message.color_range_start, Colour(level));
  }
  return out;
}

void LogLine(LogLevel level, std::string_view text) {
  std::string line = FormatLogLine(level, text);
  if (LogSink* sink = the_sink.load()) return sink->Write(std::move(line));
  static absl::Mutex& whole_lines = *new absl::Mutex();  // guards standard error
  const absl::MutexLock lock(&whole_lines);
  std::string_view rest = line;
  BoundedOutput(STDERR_FILENO).Write(rest, BoundedOutput::kForever);
}

void SetLogSink(LogSink* sink) { the_sink = sink; }

bool FlushLog(std::chrono::milliseconds limit) {
  LogSink* sink = the_sink.load();
  return sink == nullptr || sink->Flush(limit);
}

LogSink::Losses LogLosses() {
  const LogSink* sink = the_sink.load();
  return sink == nullptr ? LogSink::Losses() : sink->losses();
}

}  // namespace bascule
