// YAML text -> Value tree. The subset that a configuration needs: one document of mappings, lists
// and text; anchors, aliases and tags are refused, so a small file cannot stand for a large one.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "core/config/faults.h"
#include "core/config/value.h"

namespace bascule::config {

inline constexpr size_t kMaxConfigBytes = 1024 * 1024;
inline constexpr int kMaxConfigDepth = 16;
inline constexpr size_t kMaxConfigKeyBytes = 256;

// False, with faults added, when `text` is not such a document. An empty document is an empty
// section. `source` names the text in faults; when it has no lines of its own (a variable, a flag),
// `with_lines` is false.
bool ReadYaml(absl::string_view text, const std::string& source, bool with_lines, Value& root,
              Faults& faults);

}  // namespace bascule::config
