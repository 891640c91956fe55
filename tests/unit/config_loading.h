// Shorthand for loading a configuration in a test.
#pragma once

#include <map>
#include <string>

#include "core/config/config.h"

namespace bascule::config {

using Variables = std::map<std::string, std::string>;

inline absl::StatusOr<Config> LoadFile(const std::string& text) {
  return LoadConfig({"bascule.yaml", text, {}, {}});
}

inline absl::StatusOr<Config> LoadVariables(const Variables& variables) {
  return LoadConfig({"", std::nullopt, variables, {}});
}

// The error text of a file; empty when it is valid.
inline std::string FileFaults(const std::string& text) {
  return std::string(LoadFile(text).status().message());
}

inline std::string VariableFaults(const Variables& variables) {
  return std::string(LoadVariables(variables).status().message());
}

inline bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace bascule::config
