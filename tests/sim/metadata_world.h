// Brokers of one cluster as far as metadata goes, each with its store on a simulated disk, the
// driver of the Raft group, frontend, table and the leader's work, in one network and from one seed: streams
// are created and deleted through any of them while machines, disks and cables fail.
//
// Checked: what was acknowledged is there, what was refused is not; nothing is done twice; a read
// that was asked for after an acknowledgement sees it; when all is well again the tables are equal.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "replication/meta/group/raft_group.h"
#include "replication/meta/table/meta_table.h"
#include "tests/sim/kernel.h"

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
  size_t acknowledged() const { return acknowledged_; }
  size_t reads() const { return reads_; }

 private:
  // What is known of a stream's name, which is used once.
  enum class Fate { kAsked, kThere, kRefused, kUnknown };
  struct Stream {
    Fate created = Fate::kAsked;
    std::optional<Fate> deleted;  // kThere: it is gone
  };
  // A life's rates of faults, each second.
  struct Rates {
    double crash = 0;
    double kill = 0;
    double power = 0;  // in the middle of a write
    double sync_error = 0;
    double full_disk = 0;
    double isolation = 0;
    double cut = 0;
    double partition = 0;
    double transfer = 0;
  };

  std::unique_ptr<SimKernel::Process> MakeBroker(SimMachine& machine);
  // Null while it is down, or cannot go on.
  MetadataBroker* At(uint64_t machine);
  void Fail(const std::string& what);
  void Step();
  void Harm(uint64_t machine);
  void HarmNetwork();
  void Heal();
  void Create(uint64_t machine);
  void Delete(uint64_t machine);
  void Read(uint64_t machine);
  void OnCreated(const std::string& name, const absl::Status& status);
  void OnDeleted(const std::string& name, const absl::Status& status);
  void CheckTable(const MetaTable& table, const std::set<std::string>& there,
                  const std::set<std::string>& gone, const std::string& where);
  void CheckNothingLost(const MetaTable& table);
  std::set<std::string> MustBe() const;
  std::set<std::string> MustNotBe() const;
  bool Converged();
  void CheckConverged();
  bool Happens(double each_second) { return Chance(kernel_.rng(), each_second * kStepSeconds); }

  static constexpr double kStepSeconds = 0.02;

  SimKernel kernel_;
  int brokers_ = 3;
  Rates rates_;
  RaftGroupOptions group_options_;
  std::map<std::string, Stream> streams_;
  std::map<uint64_t, MonotonicTime> down_until_;
  std::map<uint64_t, MonotonicTime> full_until_;
  MonotonicTime cut_until_;
  uint64_t names_ = 0;
  size_t acknowledged_ = 0;
  size_t reads_ = 0;
  std::string violation_;
  // What brokers call back after the world's end finds it gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace bascule
