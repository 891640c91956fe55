// A layer defines in its own namespace (Layers()). Of another's it declares names at most, so that a
// reader sees whose a thing is, and no two layers can give one name two meanings in one program. The
// vocabulary of all (base, env, stream, ports) is `bascule` itself, and every layer adds its bounds to
// `bascule::limits`.
#pragma once

#include <string>
#include <string_view>

#include "tests/tidy/definition_rules.h"
#include "tests/tidy/include_rules.h"
#include "tests/tidy/source.h"

namespace bascule::tidy {

// Only `class X;` and the like up to the brace that closes what line `open` opened.
inline bool OnlyDeclares(const Source& source, size_t open) {
  for (size_t i = open + 1; i < source.code_lines.size(); ++i) {
    const std::string_view line = source.code_lines[i];
    if (line.starts_with("}")) return true;
    const bool blank = line.find_first_not_of(' ') == std::string_view::npos;
    const bool declares =
        line.starts_with("class ") || line.starts_with("struct ") || line.starts_with("enum ");
    if (!blank && !(declares && line.ends_with(';') && !line.ends_with("};"))) return false;
  }
  return false;
}

inline Complaints CheckNamespaces(const Source& source) {
  Complaints complaints;
  const Layer* layer = source.IsCpp() ? LayerOf(source.path) : nullptr;
  if (layer == nullptr || source.In("tests")) return complaints;
  const std::string space(layer->space);
  for (const TypeDefinition& type : TypeFinder(source.code).Find()) {
    if (type.name.starts_with(space + "::")) continue;
    complaints.push_back(source.At(type.line) + type.name + " is defined outside " + space +
                         ", the namespace of " + std::string(layer->folder));
  }
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    const std::string_view line = source.code_lines[i];
    if (!line.starts_with("namespace bascule")) continue;
    const std::string_view named = line.substr(10, line.find(' ', 10) - 10);
    const bool own =
        named == space || named.starts_with(space + "::") || named == "bascule::limits";
    if (own || OnlyDeclares(source, i)) continue;
    complaints.push_back(source.At(i) + "defines in " + std::string(named) + "; " +
                         std::string(layer->folder) + " has " + space);
  }
  return complaints;
}

}  // namespace bascule::tidy
