// Which replicas have lost data and are not level again, and of which partitions more have than the rules
// promise to outlive: as many as min ISR at once.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "core/stream/settings.h"
#include "replication/meta/table/meta_table.h"

namespace bascule {

class ReplicaLosses {
 public:
  // `forget`: nothing is promised of a subject any more.
  explicit ReplicaLosses(std::function<void(const std::string& subject)> forget)
      : forget_(std::move(forget)) {}

  // The newest table that anybody has.
  void OnTable(const metadata::MetaTable& table);
  enum class Which { kAll, kUnsynced };  // those under `os` only
  // Of `broker`, whose process is `incarnation`.
  void Lose(const std::string& broker, uint64_t incarnation, Which which);
  // One of its replicas.
  void Lose(PartitionKey key, const std::string& broker, uint64_t incarnation);
  // Whether every partition with more than one replica outlives it.
  bool Affords(const std::string& broker, Which which) const;
  bool IsReplicated(const std::string& subject) const;
  bool Unsynced(const std::string& subject) const;

 private:
  struct Known {
    std::string subject;
    std::set<std::string> replicas;
    size_t min_isr = 1;
    bool unsynced = false;
    std::map<std::string, uint64_t> lost;  // broker, and its incarnation then
  };
  struct Owed {
    uint64_t incarnation = 0;
    Which which = Which::kUnsynced;
  };
  static bool Concerns(const Known& known, const std::string& broker, Which which) {
    return known.replicas.contains(broker) && (which == Which::kAll || known.unsynced);
  }

  const std::function<void(const std::string&)> forget_;
  MetadataIndex seen_;
  std::map<PartitionKey, Known> known_;
  std::map<std::string, PartitionKey> by_subject_;
  std::map<std::string, Owed>
      owed_;  // by brokers: what they are given until they say so is lost too
};

}  // namespace bascule
