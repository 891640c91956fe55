// A table of settings: for each key its type, meaning, and how a value gets into the target. Known
// keys, sections, suggestions, environment names and the printed reference all derive from such
// tables.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/config/faults.h"
#include "core/config/kind.h"
#include "core/config/value.h"

namespace bascule::config {

template <typename Target>
struct Setting {
  enum class State {
    kWorks,
    kMet,       // any value is fulfilled by how this version works
    kNotBuilt,  // refused, except for the values that ask for nothing
  };
  std::string key;  // lower case, dotted
  std::string type;
  State state = State::kWorks;
  bool secret = false;      // never shown
  bool structured = false;  // its text form, in a variable or flag, is YAML
  std::string doc;          // kNotBuilt: the feature
  // Reads a value into the target, or adds faults.
  std::function<void(const Value&, const Place&, Target&, Faults&)> apply;
  // The target's value as text; kNotBuilt and kMet: the value that stands for what the broker does.
  std::function<std::string(const Target&)> show;

  Setting Secret() && {
    secret = true;
    return std::move(*this);
  }
};

template <typename Target>
class SettingTable {
 public:
  explicit SettingTable(std::vector<Setting<Target>> rows) : rows_(std::move(rows)) {
    for (const Setting<Target>& row : rows_) {
      keys_.push_back(row.key);
      BASCULE_CHECK(by_key_.emplace(row.key, &row).second);
      for (size_t dot = row.key.find('.'); dot != std::string::npos;
           dot = row.key.find('.', dot + 1))
        sections_.insert(row.key.substr(0, dot));
    }
  }
  SettingTable(const SettingTable&) = delete;
  SettingTable& operator=(const SettingTable&) = delete;

  const std::vector<Setting<Target>>& rows() const { return rows_; }
  const std::vector<std::string>& keys() const { return keys_; }
  // Null when there is no such key.
  const Setting<Target>* Find(const std::string& key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : found->second;
  }
  // Whether settings are named `name`.something.
  bool IsSection(const std::string& name) const { return sections_.count(name) > 0; }

 private:
  const std::vector<Setting<Target>> rows_;
  std::vector<std::string> keys_;
  std::map<std::string, const Setting<Target>*> by_key_;
  std::set<std::string> sections_;
};

inline std::string FaultOf(const std::string& key, const absl::Status& status) {
  return absl::StrCat("\"", key, "\" ", status.message());
}

// A setting kept in `access(target)`, which is a T, or an optional one.
template <typename Target, typename T, typename Access>
Setting<Target> Works(std::string key, Kind<T> kind, Access access, std::string doc) {
  Setting<Target> row;
  row.key = key;
  row.type = kind.name;
  row.doc = std::move(doc);
  row.apply = [key, parse = kind.parse, access](const Value& value, const Place& place,
                                                Target& target, Faults& faults) {
    absl::StatusOr<T> parsed = parse(value);
    if (parsed.ok()) {
      access(target) = *std::move(parsed);
    } else {
      faults.Add(place, FaultOf(key, parsed.status()));
    }
  };
  row.show = [show = kind.show, access](const Target& target) -> std::string {
    const auto& value = access(target);
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, T>) {
      return show(value);
    } else {
      return value ? show(*value) : std::string();
    }
  };
  return row;
}

// A setting of Liftbridge whose feature this version does not have. `off`: the values that ask for
// nothing; the first is the one to recommend.
template <typename Target, typename T>
Setting<Target> NotBuilt(std::string key, Kind<T> kind, std::vector<std::string> off,
                         std::string feature) {
  Setting<Target> row;
  row.key = key;
  row.type = kind.name;
  row.state = Setting<Target>::State::kNotBuilt;
  row.doc = feature;
  row.show = [off](const Target&) { return off.empty() ? std::string() : off.front(); };
  row.apply = [key, kind, off, feature](const Value& value, const Place& place, Target&,
                                        Faults& faults) {
    const absl::StatusOr<T> parsed = kind.parse(value);
    if (!parsed.ok()) {
      faults.Add(place, FaultOf(key, parsed.status()));
      return;
    }
    for (const std::string& text : off) {
      const absl::StatusOr<T> nothing = kind.parse(Value::Text(text));
      BASCULE_CHECK(nothing.ok());
      if (*nothing == *parsed) return;
    }
    const bool has_off = !off.empty() && !off.front().empty();
    faults.Add(place, absl::StrCat("\"", key, "\" belongs to ", feature,
                                   ", which this version does not have; remove it",
                                   has_off ? absl::StrCat(" or set it to ", off.front()) : ""));
  };
  return row;
}

// A setting of Liftbridge that any well-formed value of is fulfilled by how this version works, as
// `doc` explains.
template <typename Target, typename T>
Setting<Target> Met(std::string key, Kind<T> kind, std::string shown, std::string doc) {
  Setting<Target> row = NotBuilt<Target, T>(key, kind, {shown}, std::move(doc));
  row.state = Setting<Target>::State::kMet;
  row.apply = [key, parse = kind.parse](const Value& value, const Place& place, Target&,
                                        Faults& faults) {
    const absl::StatusOr<T> parsed = parse(value);
    if (!parsed.ok()) faults.Add(place, FaultOf(key, parsed.status()));
  };
  return row;
}

}  // namespace bascule::config
