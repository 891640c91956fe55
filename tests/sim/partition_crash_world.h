// A broker on a machine that dies again and again, driven at random, and a model of what it has
// promised.
#pragma once

#include <map>
#include <set>
#include <string>

#include "tests/unit/partition_broker.h"

namespace bascule {

// One seed's world. Check* use doctest's assertions.
class PartitionCrashWorld {
 public:
  explicit PartitionCrashWorld(uint64_t seed) : rng(seed * 7919 + 1), machine(seed) {}

  // A random stretch of creating, deleting, publishing and letting time pass.
  void Live(int steps);
  // The end of a life, by power loss, SIGKILL or orderly stop, and the next one.
  void EndAndRestart();
  // Everything promised is kept: streams that were acknowledged exist, deleted ones are gone, each
  // acked message is at its offset, once, in order; nothing else is there but what was sent.
  void Check();

  SimRng rng;
  partition::Machine machine;

 private:
  // What the requester knows.
  enum class Fate { kGone, kMaybeCreated, kExists, kMaybeDeleted };
  struct Stream {
    Fate fate = Fate::kGone;
    uint64_t generation = 0;     // of this name: answers to an older one do not count
    std::set<std::string> sent;  // to this generation
  };
  void Create(const std::string& name);
  void Delete(const std::string& name);
  void Publish(const std::string& name);
  void CheckStream(const std::string& name, Stream& stream);

  std::map<std::string, Stream> streams_;
  uint64_t messages_ = 0;
  uint64_t life_ = 0;
};

}  // namespace bascule
