// Addresses of brokers that were heard of over the bus. Anybody there may say anything, so that they
// are few, are asked last, and one after the other of each who said something: whoever names many
// keeps nobody else's from being asked. Pure.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "replication/meta/cluster/cluster_messages.h"

namespace bascule::metadata {

class ClusterHearsay {
 public:
  // Where `answer` says that brokers are: who answers, then the leader, then the members. Addresses
  // in `known` are asked anyway.
  void Hear(const IntroAnswer& answer, const std::set<std::string>& known, MonotonicTime now);
  // The next address to ask, and from then on not again for limits::kHearsayAgain.
  std::optional<std::string> Next(MonotonicTime now);
  // Something waits to be asked, or there was no place for it lately: what the bus says is not all
  // looked into.
  bool Pending(MonotonicTime now) const;

 private:
  bool Tried(const std::string& address, MonotonicTime now) const;

  std::map<PeerId, std::deque<std::string>> waiting_;  // by who says to have answered; not empty
  PeerId last_;                                        // whose turn it was
  std::map<std::string, MonotonicTime> tried_;
  MonotonicTime dropped_;  // 0 = never
};

}  // namespace bascule::metadata
