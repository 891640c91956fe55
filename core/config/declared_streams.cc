#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/limits.h"
#include "core/config/kind.h"
#include "core/config/section.h"
#include "core/config/settings.h"

namespace bascule::config {
namespace {

// How many brokers live is known when the stream is created.
constexpr int kBrokers = static_cast<int>(limits::kClusterMembers);

std::vector<Setting<StreamSpec>> MakeRows() {
  std::vector<Setting<StreamSpec>> rows;
  rows.push_back(Works<StreamSpec>(
      "name", TextKind(CheckNotEmpty), [](auto& spec) -> auto& { return spec.name; },
      "Name of the stream."));
  rows.push_back(Works<StreamSpec>(
      "subject", TextKind(CheckNotEmpty), [](auto& spec) -> auto& { return spec.subject; },
      "NATS subject it records; wildcards allowed."));
  rows.push_back(Works<StreamSpec>(
      "group", TextKind(), [](auto& spec) -> auto& { return spec.group; },
      "NATS queue group to record as a member of."));
  rows.push_back(Works<StreamSpec>(
      "partitions", CountKind(1, limits::kMaxPartitionsPerStream),
      [](auto& spec) -> auto& { return spec.partitions; }, "Number of partitions."));
  rows.push_back(Works<StreamSpec>(
      "replication.factor", CountKind(-1, kBrokers),
      [](auto& spec) -> auto& { return spec.replication_factor; },
      "Copies of each partition; -1 = one on every broker that lives, 0 = as "
      "streams.replication.factor says."));
  for (Setting<StreamSpec>& row : MakeStreamRows().stream) rows.push_back(std::move(row));
  return rows;
}

// Adds what the settings say together; false when the stream cannot be declared.
bool Check(const StreamSpec& spec, const Place& place, const Given& given, Faults& faults) {
  for (const char* key : {"name", "subject"}) {
    if (given.count(key) > 0) continue;
    const std::string which = spec.name.empty() ? "" : absl::StrCat(" ", Quoted(spec.name));
    faults.Add(place, absl::StrCat("declared stream", which, " has no \"", key, "\"; give it one"));
    return false;
  }
  StreamSpec checked = spec;
  const absl::Status status = NormalizeAndValidate(checked, kBrokers, kBrokers);
  if (status.ok()) return true;
  faults.Add(place, absl::StrCat("declared stream ", Quoted(spec.name),
                                 " is not possible: ", status.message()));
  return false;
}

}  // namespace

const SettingTable<StreamSpec>& DeclaredStreamSettings() {
  static const SettingTable<StreamSpec> table(MakeRows());
  return table;
}

void ApplyDeclaredStreams(const Value& value, const Place& place, Config& config, Faults& faults) {
  config.declared_streams.clear();
  if (value.shape != Value::Shape::kList) {
    if (value.shape != Value::Shape::kEmpty)
      faults.Add(place,
                 "\"streams.declare\" must be a list of streams such as [{name: orders, "
                 "subject: orders.>}]");
    return;
  }
  std::map<std::string, Place> places;
  for (const Value& item : value.items) {
    if (faults.full()) return;
    const Place item_place{place.source, item.line};
    if (item.shape != Value::Shape::kSection) {
      faults.Add(item_place,
                 "an item of \"streams.declare\" must be a stream such as {name: orders, subject: "
                 "orders.>}");
      continue;
    }
    StreamSpec spec;
    spec.replication_factor = 0;
    Given given;
    Faults mistakes;
    SectionReader<StreamSpec>(DeclaredStreamSettings(), place.source, spec, given, mistakes)
        .Read(item);
    const bool readable = mistakes.empty();
    faults.Take(std::move(mistakes));
    if (!readable || !Check(spec, item_place, given, faults)) continue;
    const auto [first, fresh] = places.emplace(spec.name, given["name"]);
    if (!fresh) {
      faults.Add(given["name"],
                 absl::StrCat("stream ", Quoted(spec.name), " is declared twice, first at ",
                              ToText(first->second), "; keep one of them"));
      continue;
    }
    config.declared_streams.push_back(std::move(spec));
  }
}

}  // namespace bascule::config
