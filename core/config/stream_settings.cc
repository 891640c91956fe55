#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/text.h"
#include "core/config/kind.h"
#include "core/config/settings.h"

namespace bascule::config {
namespace {

// A row of a stream's settings as one of `Target`; `get` and `set` reach the value in it.
template <typename Target, typename Get, typename Set>
Setting<Target> RowOf(const StreamSetting& setting, std::string key, Get get, Set set) {
  const Kind<int64_t> kind = StreamSettingKind(setting);
  Setting<Target> row;
  row.key = key;
  row.type = kind.name;
  row.doc = std::string(setting.doc);
  row.apply = [key = std::move(key), parse = kind.parse, set](
                  const Value& value, const Place& place, Target& target, Faults& faults) {
    const absl::StatusOr<int64_t> parsed = parse(value);
    if (parsed.ok()) return set(target, *parsed);
    faults.Add(place, FaultOf(key, parsed.status()));
  };
  row.show = [show = kind.show, get](const Target& target) {
    const std::optional<int64_t> value = get(target);
    return value ? show(*value) : std::string();
  };
  return row;
}

void Add(StreamRows& rows, const StreamSetting& row) {
  const std::string broker_key =
      row.broker_key.empty() ? Concat("streams.", row.key) : std::string(row.broker_key);
  rows.broker.push_back(RowOf<Config>(
      row, broker_key,
      [&row](const Config& config) -> std::optional<int64_t> {
        return row.get(config.stream_defaults);
      },
      [&row](Config& config, int64_t value) { row.set(config.stream_defaults, value); }));
  rows.stream.push_back(RowOf<StreamSpec>(
      row, std::string(row.key),
      [&row](const StreamSpec& spec) { return row.asked(spec.overrides); },
      [&row](StreamSpec& spec, int64_t value) { row.ask(spec.overrides, value); }));
}

template <typename T>
void AddNotBuilt(StreamRows& rows, const std::string& key, const Kind<T>& kind,
                 const std::vector<std::string>& off, const std::string& feature) {
  rows.broker.push_back(NotBuilt<Config>("streams." + key, kind, off, feature));
  rows.stream.push_back(NotBuilt<StreamSpec>(key, kind, off, feature));
}

void AddFuture(StreamRows& rows) {
  AddNotBuilt(rows, "compact.enabled", SwitchKind(), {"false"}, "log compaction");
  AddNotBuilt(rows, "compact.max.goroutines", WholeKind(0), {"10", "0"}, "log compaction");
  AddNotBuilt(rows, "auto.pause.time", PeriodKind("never"), {"0"}, "pausing of idle streams");
  AddNotBuilt(rows, "auto.pause.disable.if.subscribers", SwitchKind(), {"false"},
              "pausing of idle streams");
  AddNotBuilt(rows, "encryption", SwitchKind(), {"false"}, "encryption at rest");
}

}  // namespace

StreamRows MakeStreamRows() {
  StreamRows rows;
  for (const StreamSetting& row : kStreamSettings) Add(rows, row);
  AddFuture(rows);
  return rows;
}

}  // namespace bascule::config
