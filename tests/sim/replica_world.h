// A cluster of whole brokers whose streams have replicas, in one thread from one seed. As BrokerWorld, with
// what only replicas have to outlive: lost and damaged disks, slow ones, leaders that move, brokers that stop
// in order or come late, lines that break; and readers of followers.
//
// Checked: a message acked ALL (or LEADER, where nobody else has a replica), and whatever a reader was shown of
// any replica, is at its offset for good, once, in the same bytes; readers skip nothing; what was refused is
// nowhere; an epoch has one leader; when all is well again every replica is in sync, nobody is doubted, the
// logs are the same, messages are taken and readers come to their ends.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/broker_process.h"
#include "tests/sim/machine_faults.h"
#include "tests/sim/noted_log.h"
#include "tests/sim/replica_checker.h"
#include "tests/sim/replica_losses.h"
#include "tests/sim/stream_client.h"

namespace bascule {

// What happened in a run, or in many.
struct ReplicaCounts {
  enum What {
    kStreams,
    kAcked,
    kReads,
    kFollowerReads,
    kMoves,
    kStops,
    kLostDisks,
    kDamages,
    kPromisedPartitions,
    kForgottenPartitions,
    kElections,
    kEnd
  };
  static const char* NameOf(int what);
  void Add(const ReplicaCounts& other);
  std::array<uint64_t, kEnd> of{};
};

class ReplicaWorld {
 public:
  explicit ReplicaWorld(uint64_t seed);
  ~ReplicaWorld();

  // False: violation() says what went wrong.
  bool Run();
  const std::string& violation() const { return violation_; }
  std::string Notes() const { return kernel_.Notes(); }
  uint64_t Digest() { return kernel_.Digest(); }
  const ReplicaCounts& counts() const { return counts_; }

 private:
  struct Subscriber;
  struct Look;
  struct Target {
    std::string stream;
    size_t partition = 0;
    std::string subject;
  };

  config::Config ConfigOf(uint64_t machine) const;
  void AddMachine();
  BrokerProcess* At(uint64_t machine);  // null while it is down, on its way up, or cannot go on
  bool IsDead(uint64_t machine);
  // The newest that anybody has; null: nobody is there.
  const metadata::MetaTable* NewestTable();
  uint64_t IncarnationOf(uint64_t machine);
  void Fail(const std::string& what);
  uint64_t Draw(uint64_t from, uint64_t to) { return Between(kernel_.rng(), from, to); }
  bool OneIn(uint64_t n) { return kernel_.rng().Below(n) == 0; }
  // Up to `most`, or not at all.
  double Rate(double most);

  // replica_world_faults.cc
  void Harm();
  void HarmBus();
  void StopOne();
  void LoseDisk();
  void Damage();
  std::string DamageReplica(uint64_t machine, PartitionKey key);
  void SlowDown();
  void MoveLeader();
  bool MetadataIsWhole();

  // What clients do.
  void Step();
  void CreateStream();
  std::optional<Target> AnyPartition();
  void Publish(const Target& target, size_t padding = 0);
  void PublishSome();

  // replica_world_checks.cc
  void LookSomewhere();
  void LookAt(uint64_t machine, const Target& target, bool whole);
  void LookOn(const std::shared_ptr<Look>& look);
  void ReadOn(const std::shared_ptr<Subscriber>& subscriber);
  void ReadAll();
  std::string TextOf(const PartitionDescription& partition);
  std::string WhyNotHealed();
  std::string WhyNotHealed(const metadata::MetaTable& table);
  bool Within(Duration limit, const std::function<bool()>& condition);
  void CheckEnd();
  void CheckTakesMessages();
  void CheckReplicas();
  void CheckReaders();
  std::vector<Target> Promised();

  SimKernel kernel_;
  NotedLog log_{kernel_};
  FakeDiscoveryBus discovery_{kernel_.scheduler()};
  SimBus bus_{kernel_.scheduler()};
  StreamClient client_;
  MessageModel messages_;
  ReplicaChecker checker_;
  ReplicaLosses losses_;
  MachineFaults faults_;
  ReplicaCounts counts_;
  uint64_t brokers_ = 3;  // of the beginning
  bool late_ = false;     // one more comes
  bool unsynced_ = false;
  bool retention_ = false;
  int64_t snapshot_entries_ = 8192;
  Duration max_lag_;
  struct {
    double bus_cut = 0;
    double stop = 0;
    double lost_disk = 0;
    double damage = 0;
    double slow = 0;
    double move = 0;
  } rates_;  // each second, of all
  std::map<uint64_t, MonotonicTime> off_bus_until_;
  std::map<uint64_t, PeerId> nodes_;           // as known last
  std::map<uint64_t, uint64_t> incarnations_;  // of processes, as known last
  std::map<std::string, int32_t> partitions_;  // of each stream
  std::vector<std::shared_ptr<Subscriber>> subscribers_;
  uint64_t readers_ = 0;
  size_t looking_ = 0;  // what has to succeed, and has not yet
  struct Place {
    Offset start;
    Offset end;
    Offset committed;
  };
  std::map<std::string, std::map<uint64_t, Place>> places_;  // of whole looks, by machine
  std::string violation_;
};

}  // namespace bascule
