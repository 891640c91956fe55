// A cluster of whole brokers, in one thread from one seed: metadata group, partitions with their logs
// on simulated disks, a bus with publishers and acks, while machines, disks, cables and connections
// fail. Clients use the ports that the API uses.
//
// Checked: what was acknowledged about streams (StreamClient); a message that was acked, or that a
// reader was shown, is at its offset for good, once; no offset is given twice; what was refused is
// nowhere; every broker comes to the same table, no broker claims to have lost what it had, and when
// all is well again each partition has a leader that takes a message.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "tests/sim/broker_process.h"
#include "tests/sim/machine_faults.h"
#include "tests/sim/message_model.h"
#include "tests/sim/noted_log.h"
#include "tests/sim/stream_client.h"

namespace bascule {

class BrokerWorld {
 public:
  explicit BrokerWorld(uint64_t seed);
  ~BrokerWorld();

  // False: violation() says what went wrong.
  bool Run();
  const std::string& violation() const { return violation_; }
  std::string Notes() const { return kernel_.Notes(); }
  size_t streams_acknowledged() const { return client_.acknowledged(); }
  size_t acked() const { return messages_.acked(); }
  size_t reads() const { return reads_; }

 private:
  config::Config ConfigOf(uint64_t machine) const;
  std::unique_ptr<SimKernel::Process> MakeBroker(SimMachine& machine);
  BrokerProcess* At(uint64_t machine);  // null while it is down, on its way up, or cannot go on
  bool IsDead(uint64_t machine);
  void Fail(const std::string& what);
  void Step();
  void HarmBus();
  void Publish();
  void PublishMuch(const std::string& stream, size_t partition);
  void Publish(const std::string& stream, size_t partition, size_t padding = 0);
  std::optional<std::string> AnyStream();
  void ReadSomewhere();
  void Read(const std::shared_ptr<PartitionPort>& port, const std::string& stream, size_t partition,
            bool must_succeed);
  void ReadOn(std::shared_ptr<struct PartitionReading> reading);
  bool Converged();
  std::string WhyNotConverged();
  void CheckEnd();
  void CheckTakesMessages(const metadata::MetaTable& table);
  void CheckEverythingThere(const metadata::MetaTable& table);

  SimKernel kernel_;
  NotedLog log_{kernel_};
  FakeDiscoveryBus discovery_{kernel_.scheduler()};
  SimBus bus_{kernel_.scheduler()};
  StreamClient client_;
  MessageModel messages_;
  MachineFaults faults_;
  int brokers_ = 3;
  bool clustered_ = true;
  int64_t snapshot_entries_ = 8192;
  double bus_cuts_ = 0;  // each second, of each broker
  std::map<uint64_t, MonotonicTime> off_bus_until_;
  std::map<uint64_t, PeerId> nodes_;  // as known last
  uint64_t readers_ = 0;
  size_t reads_ = 0;
  size_t reading_ = 0;  // that must succeed, and have not yet
  std::string violation_;
};

}  // namespace bascule
