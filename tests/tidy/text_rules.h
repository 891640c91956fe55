// Rules that one line of text can break: calls that belong to core/env, words that must not stay,
// blanks and paths.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source.h"

namespace bascule::tidy {

inline constexpr size_t kMostColumns = 120;

// `token` in `line`, not as the tail or the head of a longer word.
inline bool HasToken(std::string_view line, std::string_view token) {
  for (size_t at = line.find(token); at != std::string_view::npos; at = line.find(token, at + 1)) {
    size_t end = at + token.size();
    bool begins = at == 0 || !IsWordChar(token.front()) || !IsWordChar(line[at - 1]);
    bool ends = end == line.size() || !IsWordChar(token.back()) || !IsWordChar(line[end]);
    if (begins && ends) return true;
  }
  return false;
}

// What only core/env may call: everything else is given a Clock, Rng or FileSystem.
inline Complaints CheckForces(const Source& source) {
  static const std::vector<std::string_view> sleeps = {"sleep_for", "sleep_until", "sleep(",
                                                       "usleep(", "nanosleep("};
  static const std::vector<std::string_view> forces = {
      "_clock::now", "clock_gettime(", "gettimeofday(", "time(nullptr)",  "time(NULL)", "rand(",
      "srand(",      "random_device",  "getrandom(",    "open(",          "openat(",    "creat(",
      "fopen(",      "fsync(",         "fdatasync(",    "std::filesystem"};
  Complaints complaints;
  // Benchmarks measure real time.
  for (std::string_view folder : {"core/env", "tests/support", "tests/bench", "tests/tidy"}) {
    if (source.In(folder)) return complaints;
  }
  // The last words of a process: whoever writes them was given nothing, and may not wait.
  if (source.path == "core/base/bounded_output.cc") return complaints;
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    std::string_view line = source.code_lines[i];
    for (std::string_view token : sleeps) {
      if (!HasToken(line, token)) continue;
      complaints.push_back(source.At(i) + std::string(token) +
                           ": wait for an event, or let the Executor call later");
    }
    for (std::string_view token : forces) {
      bool clock = token.front() == '_' && line.find(token) != std::string_view::npos;
      if (!source.IsProduct() || !(clock || HasToken(line, token))) continue;
      complaints.push_back(
          source.At(i) + std::string(token) +
          ": clocks, random numbers and files come from core/env, through the constructor");
    }
  }
  return complaints;
}

// The words are written in halves so that this file keeps its own rule.
inline Complaints CheckLeftovers(const Source& source) {
  static const std::vector<std::string> marks = {
      "TO"
      "DO",
      "FIX"
      "ME",
      "XX"
      "X"};
  Complaints complaints;
  for (size_t i = 0; i < source.lines.size(); ++i) {
    for (const std::string& mark : marks) {
      if (HasToken(source.lines[i], mark))
        complaints.push_back(source.At(i) + mark + ": finish it or open an issue");
    }
  }
  return complaints;
}

// A shared flag that says whether somebody is still there: core/env/lifetime.h has it once.
inline Complaints CheckAliveTokens(const Source& source) {
  Complaints complaints;
  if (!source.IsProduct()) return complaints;
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    std::string_view line = source.code_lines[i];
    for (std::string_view token : {"shared_ptr<bool>", "shared_ptr<const bool>", "weak_ptr<bool>",
                                   "make_shared<bool>(true)"}) {
      if (!HasToken(line, token)) continue;
      complaints.push_back(source.At(i) + std::string(token) +
                           ": callbacks that may outlive their owner are guarded by its Lifetime");
      break;
    }
  }
  return complaints;
}

// Exceptions end at the adapter that called the throwing library; only there is `...` honest.
inline Complaints CheckCatchAll(const Source& source) {
  Complaints complaints;
  for (std::string_view adapter : {"core/config", "core/env", "core/api", "nats_bridge", "cmd"}) {
    if (source.In(adapter)) return complaints;
  }
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    std::string_view line = source.code_lines[i];
    if (HasToken(line, "catch") && line.find("...") != std::string_view::npos) {
      complaints.push_back(
          source.At(i) +
          "catch (...) outside an adapter: name what is thrown, or let it end the process");
    }
  }
  return complaints;
}

inline Complaints CheckTypeNames(const Source& source) {
  Complaints complaints;
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    std::string_view line = source.code_lines[i];
    size_t begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) continue;
    line.remove_prefix(begin);
    size_t word = 0;
    for (std::string_view kind : {"enum class ", "class ", "struct ", "using "}) {
      if (word == 0 && line.starts_with(kind)) word = kind.size();
    }
    if (word == 0) continue;
    size_t end = word;
    while (end < line.size() && IsWordChar(line[end])) ++end;
    std::string_view name = line.substr(word, end - word);
    for (std::string_view banned : {"Manager", "Helper", "Helpers", "Util", "Utils", "Processor"}) {
      if (name.ends_with(banned)) {
        complaints.push_back(source.At(i) + std::string(name) +
                             " says nothing: name what it does or holds");
      }
    }
  }
  return complaints;
}

inline size_t Columns(std::string_view line) {
  size_t columns = 0;
  for (char c : line) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return columns;
}

inline Complaints CheckBlanks(const Source& source) {
  Complaints complaints;
  bool code = source.IsCpp() || source.IsShell() || source.IsCMake() || source.Ends(".proto");
  bool ours = code || source.Ends(".md") || source.Ends(".json") || source.Ends(".yaml") ||
              source.Ends(".yml");
  if (!ours) return complaints;
  for (size_t i = 0; i < source.lines.size(); ++i) {
    std::string_view line = source.lines[i];
    if (line.find('\t') != std::string_view::npos)
      complaints.push_back(source.At(i) + "a tab: write blanks");
    if (line.ends_with(' ') || line.ends_with('\r'))
      complaints.push_back(source.At(i) + "a blank at the end");
    if (code && Columns(line) > kMostColumns) {
      complaints.push_back(source.At(i) + std::to_string(Columns(line)) + " columns, at most " +
                           std::to_string(kMostColumns));
    }
  }
  if (!source.text.empty() && source.text.back() != '\n')
    complaints.push_back(source.path + ": no newline at the end");
  return complaints;
}

// Paths of one particular machine. Halves again.
inline Complaints CheckMachinePaths(const Source& source) {
  static const std::vector<std::string> paths = {
      "/wo"
      "rk",
      "/ro"
      "ot",
      "/ho"
      "me"};
  Complaints complaints;
  for (size_t i = 0; i < source.lines.size(); ++i) {
    std::string_view line = source.lines[i];
    for (const std::string& path : paths) {
      for (size_t at = line.find(path); at != std::string_view::npos;
           at = line.find(path, at + 1)) {
        size_t end = at + path.size();
        // Behind a name or a variable it is a part of a longer path.
        bool begins =
            at == 0 || (!IsWordChar(line[at - 1]) &&
                        std::string_view("}).-/*>").find(line[at - 1]) == std::string_view::npos);
        bool ends = end == line.size() || (!IsWordChar(line[end]) && line[end] != '-');
        if (begins && ends)
          complaints.push_back(source.At(i) + path + ": a path of one machine has no place here");
      }
    }
  }
  return complaints;
}

inline Complaints CheckFirstLines(const Source& source) {
  if (source.IsHeader() && source.text.find("#pragma once\n") == std::string::npos) {
    return {source.path + ": a header begins with #pragma once"};
  }
  if (!source.IsShell()) return {};
  for (std::string_view line : source.lines) {
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "set -euo pipefail") return {};
    break;
  }
  return {source.path + ": a shell script's first command is set -euo pipefail"};
}

}  // namespace bascule::tidy
