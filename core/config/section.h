// Reads a section of a file into a target by a table: nested, dotted and mixed names, any case.
#pragma once

#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/spelling.h"
#include "core/config/faults.h"
#include "core/config/setting_table.h"
#include "core/config/value.h"

namespace bascule::config {

// Which settings were given, and where (the source that won).
using Given = std::map<std::string, Place>;

template <typename Target>
class SectionReader {
 public:
  // `source` names the text; a line of 0 in a value means that the source has no lines. Borrows all
  // of them.
  SectionReader(const SettingTable<Target>& table, const std::string& source, Target& target,
                Given& given, Faults& faults)
      : table_(table), source_(source), target_(target), given_(given), faults_(faults) {}

  void Read(const Value& section) { ReadEntries("", section); }

 private:
  void ReadEntries(const std::string& prefix, const Value& section) {
    std::map<std::string, int> lines;
    for (const Value::Entry& entry : section.entries) {
      if (faults_.full()) return;
      const std::string name = prefix + absl::AsciiStrToLower(entry.key);
      const auto [first, fresh] = lines.emplace(name, entry.line);
      if (fresh) {
        ReadEntry(name, entry);
      } else {
        Twice(name, entry.line, first->second);
      }
    }
  }

  void ReadEntry(const std::string& name, const Value::Entry& entry) {
    const Setting<Target>* row = table_.Find(name);
    const bool section = table_.IsSection(name);
    const Value& value = entry.value;
    if (value.shape == Value::Shape::kSection && (section || !row) && !value.entries.empty())
      return ReadEntries(name + ".", value);
    const bool nothing =
        value.shape == Value::Shape::kEmpty || value.shape == Value::Shape::kSection;
    if (section && nothing) return;  // a group whose settings are all commented out
    const Place place{source_, entry.line};
    if (row) return ReadSetting(*row, value, place);
    if (section)
      return faults_.Add(
          place, absl::StrCat("\"", name, "\" is a group of settings, not one; write \"", name,
                              ".<setting>: value\""));
    faults_.Add(place,
                absl::StrCat("unknown setting ", Quoted(name), DidYouMean(name, table_.keys())));
  }

  void ReadSetting(const Setting<Target>& row, const Value& value, const Place& place) {
    const auto [first, fresh] = given_.emplace(row.key, place);
    if (!fresh) return Twice(row.key, place.line, first->second.line);
    row.apply(value, place, target_, faults_);
  }

  void Twice(const std::string& name, int line, int first_line) {
    const std::string first = first_line > 0 ? absl::StrCat(", first on line ", first_line) : "";
    faults_.Add({source_, line},
                absl::StrCat(Quoted(name), " is set twice", first, "; keep one of them"));
  }

  const SettingTable<Target>& table_;
  const std::string& source_;
  Target& target_;
  Given& given_;
  Faults& faults_;
};

}  // namespace bascule::config
