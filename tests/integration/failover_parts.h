// What the time without acks after a kill is made of, as the brokers' log lines tell: they share a clock
// with the test, and asking the brokers meanwhile would disturb what is measured.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {

enum FailoverPart {
  kMetadataLed,  // another broker leads the metadata group, where the killed one did
  kNoticed,      // a broker says that it fences the killed one
  kFenced,       // a broker has applied that
  kElected,      // a broker has applied who leads the partition now
  kListening,    // the NATS server has confirmed the new leader's subscription
  kAcked,        // the first message acked that was sent after the kill
  kFailoverParts,
};

// Milliseconds since the kill; what nobody said is not there (who comes back in time is not fenced).
using FailoverMoments = std::array<std::optional<double>, kFailoverParts>;

// All but kAcked. From the logs' lines since `blow`.
FailoverMoments MomentsOf(Cluster& cluster, int killed, bool led_metadata,
                          std::chrono::system_clock::time_point blow);

class FailoverTable {
 public:
  void Add(const FailoverMoments& moments);
  size_t kills() const { return waits_.size(); }
  double Median() const;
  double Longest() const { return Max(waits_); }
  // Times without acks, then those of each part, from the end of the part before.
  std::string Summary() const;

 private:
  std::vector<double> waits_;
  std::array<std::vector<double>, kFailoverParts> parts_;
};

// "noticed 310 fenced +12 ... = 350 ms"
std::string InWords(const FailoverMoments& moments);

}  // namespace bascule::cluster_job
