// Sizes that keep the code liveable, with a ratchet: what is already too large stands in
// exceptions.txt with its size and may only shrink.
#pragma once

#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source.h"

namespace bascule::tidy {

inline constexpr size_t kMostFileLines = 500;
inline constexpr size_t kMostFunctionLines = 70;

struct Function {
  std::string name;   // the word before the parameter list
  size_t first_line;  // from 0
  size_t lines;       // signature and closing brace included
};

inline std::string_view Trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \n\t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \n\t") - begin + 1);
}

// Finds function bodies by their braces. `head` below is the text between the last `;`, `{` or `}`
// and a brace: a namespace or a type opens a scope that holds functions; anything else with a
// parameter list is one. What is nested in a function counts as part of it. Good enough for code
// that clang-format has been over.
class FunctionFinder {
 public:
  explicit FunctionFinder(std::string_view code) : code_(code) {}

  std::vector<Function> Find() {
    for (size_t i = 0; i < code_.size(); ++i) {
      char c = code_[i];
      if (c == '\n') ++line_;
      if (c == '{') Open(i);
      if (c == '}') Close(i);
      if (c == ';' && depth_in_function_ == 0) StartHead(i);
      if (c == ':' && depth_in_function_ == 0 && IsAccessLabel(i)) StartHead(i);
    }
    return functions_;
  }

 private:
  enum class Scope { kOuter, kFunction, kInitializer };

  void StartHead(size_t i) { head_begin_ = i + 1; }

  bool IsAccessLabel(size_t i) const {
    std::string_view head = Trimmed(code_.substr(head_begin_, i - head_begin_));
    return head == "public" || head == "private" || head == "protected";
  }

  static bool HasWord(std::string_view head, std::string_view word) {
    for (size_t at = head.find(word); at != std::string_view::npos; at = head.find(word, at + 1)) {
      bool begins = at == 0 || !IsWordChar(head[at - 1]);
      size_t end = at + word.size();
      if (begins && (end == head.size() || !IsWordChar(head[end]))) return true;
    }
    return false;
  }

  // A constructor's member list has begun: `) :` and no `::`.
  static bool HasInitializerList(std::string_view head) {
    for (size_t at = head.find(':'); at != std::string_view::npos; at = head.find(':', at + 1)) {
      if (at + 1 < head.size() && head[at + 1] == ':') {
        ++at;
        continue;
      }
      std::string_view before = Trimmed(head.substr(0, at));
      if (before.ends_with(')') || before.ends_with("noexcept")) return true;
    }
    return false;
  }

  Scope Classify(std::string_view head) const {
    if (head.ends_with('=')) return Scope::kInitializer;
    if (HasInitializerList(head)) {
      bool member = !head.empty() && (IsWordChar(head.back()) || head.back() == '>');
      return member ? Scope::kInitializer : Scope::kFunction;
    }
    if (head.find(')') != std::string_view::npos) return Scope::kFunction;
    for (std::string_view word : {"namespace", "class", "struct", "union", "extern"}) {
      if (HasWord(head, word)) return Scope::kOuter;
    }
    return Scope::kInitializer;
  }

  void Open(size_t i) {
    if (depth_in_function_ > 0) {
      ++depth_in_function_;
      return;
    }
    std::string_view raw = code_.substr(head_begin_, i - head_begin_);
    std::string_view head = Trimmed(raw);
    switch (Classify(head)) {
      case Scope::kOuter:
        StartHead(i);
        return;
      case Scope::kInitializer:
        ++open_initializers_;
        return;
      case Scope::kFunction:
        break;
    }
    if (open_initializers_ > 0) {
      ++open_initializers_;
      return;
    }
    size_t offset = head.empty() ? i : static_cast<size_t>(head.data() - code_.data());
    size_t first = line_;
    for (size_t k = offset; k < i; ++k) first -= code_[k] == '\n' ? 1 : 0;
    functions_.push_back({NameOf(head), first, 0});
    depth_in_function_ = 1;
  }

  void Close(size_t i) {
    if (depth_in_function_ > 0) {
      if (--depth_in_function_ > 0) return;
      Function& function = functions_.back();
      function.lines = line_ - function.first_line + 1;
      StartHead(i);
      return;
    }
    if (open_initializers_ > 0) {
      --open_initializers_;  // the head goes on: `a_{1}, b_{2} {`
      return;
    }
    StartHead(i);
  }

  static std::string NameOf(std::string_view head) {
    std::string_view before = Trimmed(head.substr(0, head.find('(')));
    size_t begin = before.size();
    while (begin > 0 &&
           (IsWordChar(before[begin - 1]) || before[begin - 1] == ':' || before[begin - 1] == '~'))
      --begin;
    return std::string(before.substr(begin));
  }

  std::string_view code_;
  std::vector<Function> functions_;
  size_t line_ = 0;
  size_t head_begin_ = 0;
  size_t depth_in_function_ = 0;
  size_t open_initializers_ = 0;
};

// "path" -> lines of an oversized file, "path:function" -> lines of an oversized function.
using Sizes = std::map<std::string, size_t>;

// Lines "<size> <path>" or "<size> <path>:<function>"; # begins a comment.
inline Sizes ParseExceptions(std::string_view text) {
  Sizes sizes;
  for (std::string_view line : SplitLines(text)) {
    std::istringstream fields{std::string(line.substr(0, line.find('#')))};
    size_t size = 0;
    std::string what;
    if (fields >> size >> what) sizes[what] = size;
  }
  return sizes;
}

// Everything in `source` that is past a limit.
inline Sizes Oversized(const Source& source) {
  Sizes sizes;
  if (!source.IsCpp() && !source.IsShell() && !source.IsCMake()) return sizes;
  if (source.lines.size() > kMostFileLines) sizes[source.path] = source.lines.size();
  for (const Function& function : FunctionFinder(source.code).Find()) {
    if (function.lines <= kMostFunctionLines) continue;
    size_t& size = sizes[source.path + ":" + function.name];
    size = std::max(size, function.lines);
  }
  return sizes;
}

// `measured` of the whole tree against what is tolerated.
inline Complaints CheckRatchet(const Sizes& measured, const Sizes& tolerated) {
  Complaints complaints;
  for (const auto& [what, size] : measured) {
    auto found = tolerated.find(what);
    std::string is = what + " has " + std::to_string(size) + " lines";
    if (found == tolerated.end()) {
      size_t limit = what.find(':') == std::string::npos ? kMostFileLines : kMostFunctionLines;
      complaints.push_back(is + ", at most " + std::to_string(limit) +
                           " are readable: split it by what it does");
    } else if (size > found->second) {
      complaints.push_back(is + " and has grown from " + std::to_string(found->second) +
                           ": split it instead");
    } else if (size < found->second) {
      complaints.push_back(is + ": lower its entry in tests/tidy/exceptions.txt, so that it stays");
    }
  }
  for (const auto& [what, size] : tolerated) {
    if (!measured.contains(what)) {
      complaints.push_back(
          what + " is within the limits: remove its entry from tests/tidy/exceptions.txt");
    }
  }
  return complaints;
}

}  // namespace bascule::tidy
