// Runs one soak mode (soak.h) against a side that soak.sh has started.
//
//   bench_soak load|slow-subscriber|many-streams --side ours|peer --nats URL [--grpc HOST:PORT] ...
#include "tests/bench/soak.h"

#include <cstdio>
#include <map>

int main(int argc, char** argv) {
  using namespace bascule::bench;
  Options options(argc, argv);
  const std::map<std::string, absl::Status (*)(Options&)> modes = {
      {"load", SoakLoad},
      {"slow-subscriber", SoakSlowSubscriber},
      {"many-streams", SoakManyStreams}};
  const auto mode = modes.find(options.mode());
  if (mode == modes.end()) options.Fail("modes are load, slow-subscriber and many-streams");
  const absl::Status done = mode->second(options);
  if (done.ok()) return 0;
  std::fprintf(stderr, "bench_soak %s: %s\n", options.mode().c_str(), done.ToString().c_str());
  return 1;
}
