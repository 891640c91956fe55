// A type is defined once per namespace over the whole tree. Two classes of one full name in one
// program break its one-definition rule without a word from compiler or linker: whoever destroys
// the one may run the destructor of the other. Types of anonymous namespaces in .cc files are
// nobody else's business.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source.h"

namespace bascule::tidy {

struct TypeDefinition {
  std::string name;  // with its namespaces
  size_t line;       // from 0
};

// Finds class, struct, union and enum bodies by their braces; `head` is the text between the last
// `;`, `{` or `}` and a brace. What stands in a type or a function is scoped by that.
class TypeFinder {
 public:
  explicit TypeFinder(std::string_view code) : code_(code) {}

  std::vector<TypeDefinition> Find() {
    for (size_t i = 0; i < code_.size(); ++i) {
      const char c = code_[i];
      if (c == '\n') ++line_;
      if (c == '{') Open(Words(code_.substr(head_begin_, i - head_begin_)));
      if (c == '}' && !scopes_.empty()) scopes_.pop_back();
      if (c == ';' || c == '{' || c == '}') head_begin_ = i + 1;
    }
    return found_;
  }

 private:
  struct Scope {
    bool names = false;    // a namespace: what is in it is looked at
    bool visible = false;  // and none around it is anonymous
    std::string prefix;    // "a::b::"
  };

  // Identifiers with their `::`, and every other sign as a word of its own; no preprocessor lines.
  static std::vector<std::string> Words(std::string_view head) {
    std::vector<std::string> words;
    for (std::string_view line : SplitLines(head)) {
      if (line.starts_with('#')) continue;
      for (size_t i = 0; i < line.size();) {
        size_t end = i;
        while (end < line.size() && (IsWordChar(line[end]) || line.substr(end, 2) == "::" ||
                                     (end > i && line.substr(end - 1, 2) == "::"))) {
          ++end;
        }
        if (end == i) ++end;
        if (line[i] != ' ') words.emplace_back(line.substr(i, end - i));
        i = end;
      }
    }
    return words;
  }

  void Open(const std::vector<std::string>& words) {
    const Scope outer = scopes_.empty() ? Scope{true, true, ""} : scopes_.back();
    Scope inner;
    size_t at = 0;
    while (at < words.size() && words[at] == "inline") ++at;
    if (at < words.size() && words[at] == "namespace") {
      const bool anonymous = at + 1 >= words.size();
      inner = {outer.names, outer.visible && !anonymous,
               outer.prefix + (anonymous ? "" : words[at + 1] + "::")};
    } else if (words.size() == 1 && words[0] == "extern") {
      inner = outer;  // extern "C", its literal blanked
    } else if (outer.names && outer.visible) {
      Note(words, outer.prefix);
    }
    scopes_.push_back(inner);
  }

  // The name is the last word before a base list, `final` or the brace; a specialization has none
  // of its own, and a parameter list belongs to a function.
  void Note(const std::vector<std::string>& words, const std::string& prefix) {
    bool type = false;
    int angles = 0;
    std::string name;
    for (const std::string& word : words) {
      if (word == "<") ++angles;
      if (word == ">") --angles;
      if (angles > 0 || word == ">") {
        if (type) return;
        continue;
      }
      if (word == "(" || word == "=") return;
      if (word == "class" || word == "struct" || word == "union" || word == "enum") {
        type = true;
      } else if (type && (word == ":" || word == "final")) {
        break;
      } else if (type && IsWordChar(word[0])) {
        name = word;
      }
    }
    if (type && !name.empty()) found_.push_back({prefix + name, line_});
  }

  std::string_view code_;
  std::vector<TypeDefinition> found_;
  std::vector<Scope> scopes_;
  size_t head_begin_ = 0;
  size_t line_ = 0;
};

inline Complaints CheckDefinedOnce(const Tree& tree) {
  std::map<std::string, std::string> places;
  Complaints complaints;
  for (const auto& source : tree) {
    for (const TypeDefinition& type : TypeFinder(source->code).Find()) {
      const auto [first, fresh] = places.emplace(type.name, source->At(type.line));
      if (fresh) continue;
      complaints.push_back(source->At(type.line) + type.name + " is defined in " + first->second +
                           "too; one program with both destroys the one as the other: rename one, "
                           "or give it to its layer's namespace");
    }
  }
  return complaints;
}

}  // namespace bascule::tidy
