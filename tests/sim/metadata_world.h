// Brokers of one cluster as far as metadata goes, each with its store on a simulated disk, the
// driver of the Raft group, frontend, table and the leader's work, in one network and from one seed: streams
// are created and deleted through any of them, and ISR changes proposed, while machines, disks and cables fail.
//
// Checked: what was acknowledged is there, what was refused is not; nothing is done twice; a read
// that was asked for after an acknowledgement sees it; when all is well again the tables are equal, and
// every proposal of a process that lives has ended.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "replication/broker/seams.h"
#include "replication/meta/table/meta_table.h"
#include "tests/sim/kernel.h"
#include "tests/sim/machine_faults.h"
#include "tests/sim/noted_log.h"
#include "tests/sim/stream_client.h"
#include "tests/support/fake_discovery.h"

namespace bascule {

class MetadataBroker;

class MetadataWorld {
 public:
  explicit MetadataWorld(uint64_t seed);
  ~MetadataWorld();

  // False: violation() says what went wrong.
  bool Run();
  const std::string& violation() const { return violation_; }
  std::string Notes() const { return kernel_.Notes(); }
  size_t acknowledged() const { return client_.acknowledged(); }
  size_t reads() const { return reads_; }
  size_t proposed() const { return proposed_; }

 private:
  std::unique_ptr<SimKernel::Process> MakeBroker(SimMachine& machine);
  // Null while it is down, on its way up, or cannot go on.
  MetadataBroker* At(uint64_t machine);
  bool IsDead(uint64_t machine);
  void Fail(const std::string& what);
  void Step();
  void Read(uint64_t machine);
  void Propose(uint64_t machine);
  bool AllProposalsEnded();
  bool Converged();
  void CheckConverged();

  SimKernel kernel_;
  NotedLog log_{kernel_};
  FakeDiscoveryBus discovery_{kernel_.scheduler()};
  StreamClient client_;
  MachineFaults faults_;
  int brokers_ = 3;
  double transfers_ = 0;  // of the lead, each second
  broker::BrokerOptions options_;
  size_t reads_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, int> proposals_;  // not ended, by machine and incarnation
  size_t proposed_ = 0;                                     // ended
  std::string violation_;
  // What brokers call back after the world's end finds it gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace bascule
