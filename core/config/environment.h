// Settings from environment variables: BASCULE_ and the key with underscores for dots, or
// LIFTBRIDGE_ likewise.
#pragma once

#include <map>
#include <string>

#include "core/config/config.h"
#include "core/config/faults.h"
#include "core/config/section.h"

namespace bascule::config {

// "nats.servers" -> "BASCULE_NATS_SERVERS".
std::string EnvironmentName(const std::string& key);

// Reads all settings in `environment` into the configuration, BASCULE_ ones over LIFTBRIDGE_ ones.
// Empty variables count as not set. Unknown names are faults for BASCULE_ and passed over for
// LIFTBRIDGE_, whose other variables may be meant for somebody else.
void ReadEnvironmentSettings(const std::map<std::string, std::string>& environment, Config& config,
                             Given& given, Faults& faults);

// One text as a setting's value: as it stands, or parsed as YAML where the setting has structure.
void ReadTextSetting(const Setting<Config>& row, const std::string& text, const std::string& source,
                     Config& config, Given& given, Faults& faults);

}  // namespace bascule::config
