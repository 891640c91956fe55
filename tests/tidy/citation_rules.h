// The numbered rules of replication/README.md: each that is built is cited by a test, so that a
// reader finds the proof and nobody builds a rule without one.
//
// A rule is a number in bold, **R3** or **C2a**. A paragraph that begins with "Built:" lists those
// that the code keeps, as numbers (R3, R3a) or ranges of plain numbers (R10-R12).
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "tests/tidy/source.h"
#include "tests/tidy/text_rules.h"

namespace bascule::tidy {

// Length of a rule number (R or C, digits, perhaps a letter) at the beginning of `text`, 0 when
// there is none.
inline size_t RuleLength(std::string_view text) {
  auto is_digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  if (text.empty() || (text[0] != 'R' && text[0] != 'C') || !is_digit(1)) return 0;
  size_t end = 1;
  while (is_digit(end)) ++end;
  if (end < text.size() && text[end] >= 'a' && text[end] <= 'z') ++end;
  return end < text.size() && IsWordChar(text[end]) ? 0 : end;
}

inline std::set<std::string> DefinedRules(std::string_view readme) {
  std::set<std::string> rules;
  for (size_t at = readme.find("**"); at != std::string_view::npos;
       at = readme.find("**", at + 1)) {
    std::string_view rest = readme.substr(at + 2);
    size_t length = RuleLength(rest);
    if (length > 0 && rest.substr(length).starts_with("**"))
      rules.insert(std::string(rest.substr(0, length)));
  }
  return rules;
}

inline void AddRange(std::string_view from, std::string_view to, std::set<std::string>& rules) {
  int last = std::stoi(std::string(to.substr(1)));
  for (int n = std::stoi(std::string(from.substr(1))); n <= last; ++n) {
    rules.insert(std::string(1, from[0]) + std::to_string(n));
  }
}

inline std::set<std::string> BuiltRules(std::string_view readme) {
  std::set<std::string> rules;
  bool inside = false;
  for (std::string_view line : SplitLines(readme)) {
    inside = line.starts_with("Built:") || (inside && !line.empty());
    if (!inside) continue;
    for (size_t i = 0; i < line.size(); ++i) {
      if (i > 0 && IsWordChar(line[i - 1])) continue;
      std::string_view rest = line.substr(i);
      size_t length = RuleLength(rest);
      if (length == 0) continue;
      rules.insert(std::string(rest.substr(0, length)));
      size_t second =
          rest.substr(length).starts_with('-') ? RuleLength(rest.substr(length + 1)) : 0;
      if (second > 0) AddRange(rest.substr(0, length), rest.substr(length + 1, second), rules);
    }
  }
  return rules;
}

inline Complaints CheckCitations(std::string_view readme, const Tree& tree) {
  Complaints complaints;
  std::set<std::string> defined = DefinedRules(readme);
  for (const std::string& rule : BuiltRules(readme)) {
    if (!defined.contains(rule)) {
      complaints.push_back("replication/README.md calls " + rule +
                           " built, but states no such rule");
    }
    bool cited = false;
    for (const auto& source : tree) {
      if (cited) break;
      cited = source->In("tests") && !source->In("tests/tidy") && HasToken(source->text, rule);
    }
    if (!cited)
      complaints.push_back("rule " + rule +
                           " of replication/README.md is built, but no test names it");
  }
  return complaints;
}

}  // namespace bascule::tidy
