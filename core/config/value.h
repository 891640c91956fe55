// What a source says, before anybody knows what it means: a tree of text with the lines it came
// from.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/quantity.h"

namespace bascule::config {

struct Value {
  enum class Shape { kEmpty, kText, kList, kSection };
  struct Entry;
  Shape shape = Shape::kEmpty;
  int line = 0;                // from 1; 0 = not from a file
  std::string text;            // kText
  std::vector<Value> items;    // kList
  std::vector<Entry> entries;  // kSection, in the order written

  static Value Text(std::string text);
};

struct Value::Entry {
  std::string key;  // as written
  int line = 0;
  Value value;
};

// Where something was said: "bascule.yaml:12", "BASCULE_PORT", "--port".
struct Place {
  std::string source;
  int line = 0;  // 0 = the source has no lines
};

std::string ToText(const Place& place);

inline Value Value::Text(std::string text) {
  Value value;
  value.shape = Shape::kText;
  value.text = std::move(text);
  return value;
}

}  // namespace bascule::config
