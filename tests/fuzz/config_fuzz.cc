// Arbitrary bytes as configuration file, variable and flag: an answer or an error, never a crash;
// what loads can be described, and errors stay small.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/config/config.h"

namespace {

void Load(const bascule::config::ConfigSources& sources) {
  const absl::StatusOr<bascule::config::Config> config = bascule::config::LoadConfig(sources);
  constexpr size_t kMostErrorBytes = 256 * 1024;
  if (config.ok()
          ? bascule::config::DescribeConfig(*config).empty()
          : config.status().message().empty() || config.status().message().size() > kMostErrorBytes)
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Load({"fuzz.yaml", text, {}, {}});

  // "KEY=value" as a variable and as a flag; without "=", as the value of a setting with structure.
  const size_t equals = text.find('=');
  const std::string key = equals == std::string::npos ? "streams.declare" : text.substr(0, equals);
  const std::string value = equals == std::string::npos ? text : text.substr(equals + 1);
  Load({"", std::nullopt, {}, {{key, {"--set", value}}}});
  Load({"", std::nullopt, {{"BASCULE_" + key, value}}, {}});
  return 0;
}
