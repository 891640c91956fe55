// Long loads against one running side (bench_soak.cc): does memory stay flat, is every acked
// message there. Each mode ends by itself, bounded by its counts and by --time-limit, and prints
// its facts as one JSON object on stdout.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/bench/options.h"
#include "tests/bench/publisher.h"
#include "tests/bench/target.h"

namespace bascule::bench {

// Records --bytes at full speed; --verify reads everything back and checks each message.
absl::Status SoakLoad(Options& options);

// A reader of --rate messages a second, from the first message on, while --bytes are recorded at
// full speed. What it has not read when the load ends it leaves, or with --drain reads at full
// speed. Everything read is checked.
absl::Status SoakSlowSubscriber(Options& options);

// Creates --streams, publishes --messages to each of them in turn with acks, reads every stream
// back and checks it.
absl::Status SoakManyStreams(Options& options);

// What all modes share: the side under load, a publisher on it, the common options.
struct Soak {
  TargetAddress address;
  std::vector<int> pids;
  size_t size;
  int64_t window;
  std::chrono::seconds limit;
  std::string durability;
  int64_t deadline_ns;
  std::unique_ptr<Target> target;
  std::unique_ptr<Publisher> publisher;

  explicit Soak(Options& options);

  // Connects both; the options have been read by then.
  absl::Status Connect();
  absl::Status CreateStream(const std::string& name, const std::string& subject,
                            int64_t retention_bytes) const;
  // DeadlineExceeded once --time-limit is over at `now_ns`.
  absl::Status InTime(int64_t now_ns) const;
};

}  // namespace bascule::bench
