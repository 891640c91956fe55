// Who was removed while it was away hears nothing of the others, who know it no more: without a
// leader for some seconds a broker asks the members of before whether it is one still, and believes
// whoever leads its cluster, said more than once. Pure.
#pragma once

#include <string>

#include "replication/meta/cluster/cluster_messages.h"

namespace bascule::metadata {

class RemovalWatch {
 public:
  RemovalWatch(std::string cluster_id, PeerId self)
      : cluster_id_(std::move(cluster_id)), self_(self) {}

  // Once a second. True: the others are to be asked who is there.
  bool Tick(bool leader_known);
  // What one of them answered. True, once: this broker was removed.
  bool OnAnswer(const IntroAnswer& answer, bool leader_known);

 private:
  const std::string cluster_id_;
  const PeerId self_;
  int leaderless_seconds_ = 0;
  int removed_answers_ = 0;
};

}  // namespace bascule::metadata
