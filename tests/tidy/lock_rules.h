// Locks say what they guard, in words that clang checks (tests/run.sh, step threads).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source.h"
#include "tests/tidy/text_rules.h"

namespace bascule::tidy {

// absl::Mutex is the one that carries annotations. absl's own waits do not: they end by the wall
// clock in this version, and ThreadSanitizer does not see them.
inline Complaints CheckLocks(const Source& source) {
  static const std::vector<std::string_view> words = {"std::mutex",
                                                      "std::recursive_mutex",
                                                      "std::timed_mutex",
                                                      "std::shared_mutex",
                                                      "std::lock_guard",
                                                      "std::unique_lock",
                                                      "std::scoped_lock",
                                                      "std::shared_lock",
                                                      "std::condition_variable",
                                                      "pthread_mutex_t",
                                                      "std::condition_variable_any"};
  static const std::vector<std::string_view> waits = {
      "absl::CondVar", "absl::Condition",     "AwaitWithTimeout",    "AwaitWithDeadline",
      "LockWhen",      "LockWhenWithTimeout", "LockWhenWithDeadline"};
  Complaints complaints;
  if (!source.IsProduct() || !source.IsCpp()) return complaints;
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    for (std::string_view word : words) {
      if (HasToken(source.code_lines[i], word))
        complaints.push_back(source.At(i) + std::string(word) +
                             ": absl::Mutex says what it guards");
    }
    for (std::string_view wait : waits) {
      if (HasToken(source.code_lines[i], wait))
        complaints.push_back(source.At(i) + std::string(wait) + ": wait with core/env/cond_var.h");
    }
    if (source.lines[i].find("uarded by ") != std::string_view::npos)
      complaints.push_back(source.At(i) + "a comment guards nothing: ABSL_GUARDED_BY");
  }
  return complaints;
}

// The name that a line declares as a mutex; empty: it declares none.
inline std::string_view DeclaredMutex(std::string_view line) {
  constexpr std::string_view kType = "absl::Mutex ";
  const size_t at = line.find_first_not_of(' ');
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at);
  if (line.starts_with("mutable ")) line.remove_prefix(8);
  if (!line.starts_with(kType)) return {};
  line.remove_prefix(kType.size());
  size_t end = 0;
  while (end < line.size() && IsWordChar(line[end])) ++end;
  const std::string_view rest = line.substr(end);
  return rest.starts_with(";") || rest.starts_with(" ABSL_ACQUIRED_") ? line.substr(0, end)
                                                                      : std::string_view();
}

// A mutex that guards nothing by name guards what somebody remembers. One that only orders calls
// has a comment on its line that says so.
inline Complaints CheckGuards(const Source& source) {
  Complaints complaints;
  if (!source.IsProduct() || !source.IsCpp()) return complaints;
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    const std::string_view name = DeclaredMutex(source.code_lines[i]);
    if (name.empty() || source.lines[i].find("//") != std::string_view::npos) continue;
    bool guards = false;
    // From here to the end of the type, or of the file: members stand behind their mutex.
    for (size_t k = i + 1; k < source.code_lines.size() && !guards; ++k) {
      const std::string_view line = source.code_lines[k];
      if (!DeclaredMutex(line).empty() && DeclaredMutex(line) == name) break;
      for (const char* macro : {"ABSL_GUARDED_BY(", "ABSL_PT_GUARDED_BY("}) {
        guards = guards || line.find(macro + std::string(name) + ")") != std::string_view::npos;
      }
    }
    if (!guards) {
      complaints.push_back(source.At(i) + std::string(name) +
                           " guards nothing: ABSL_GUARDED_BY on the members behind it, or a "
                           "comment on its line that says what it is for");
    }
  }
  return complaints;
}

}  // namespace bascule::tidy
