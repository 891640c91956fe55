// The tables: every setting of the broker, and every setting of one declared stream. Made at first
// use, constant from then on.
#pragma once

#include <vector>

#include "core/config/config.h"
#include "core/config/setting_table.h"
#include "core/stream/description.h"

namespace bascule::config {

const SettingTable<Config>& BrokerSettings();

// Items of streams.declare.
const SettingTable<StreamSpec>& DeclaredStreamSettings();

// Reads the list `value` of streams.declare into the configuration; `place` names the source (items
// have their own lines in a file).
void ApplyDeclaredStreams(const Value& value, const Place& place, Config& config, Faults& faults);

// Settings that a stream can have and the broker has defaults for, as rows of either table.
struct StreamRows {
  std::vector<Setting<Config>> broker;
  std::vector<Setting<StreamSpec>> stream;
};
StreamRows MakeStreamRows();

// Rows of the cluster: clustering.raft.* and cluster.*.
std::vector<Setting<Config>> MakeClusterRows();

}  // namespace bascule::config
