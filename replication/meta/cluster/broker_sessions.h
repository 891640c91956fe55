// Which brokers the metadata leader has heard of, and whose session is over. Pure; on the leader.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/table/command_note_generations.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {

class BrokerSessions {
 public:
  explicit BrokerSessions(Duration timeout) : timeout_(timeout) {}

  // A new leader: every broker gets a full timeout, except the predecessor, which counts as last
  // heard when it was `lost`. Empty: there was none.
  void Begin(const std::string& predecessor, MonotonicTime lost);
  // A heartbeat. Of a process that is not registered it means nothing.
  void Heard(const BrokerSession& session, const MetaTable& table, MonotonicTime now);
  // What a broker said of itself with its last heartbeat; that of another process than the one that
  // was heard means nothing.
  void Note(const BrokerSession& session, BrokerReport report);
  // Nothing could be heard for so long (we stood still): nobody's fault.
  void Shift(Duration by);
  // Unfenced brokers that were silent for longer than the timeout. A broker seen for the first time
  // counts as heard now.
  std::vector<BrokerSession> Expired(const MetaTable::Brokers& brokers, MonotonicTime now);
  // Since when nothing was heard of it; zero for one that was never expected.
  Duration SilentFor(const std::string& broker, MonotonicTime now) const;
  // Heard within the timeout, fenced or not.
  bool Holds(const std::string& broker, MonotonicTime now) const;
  // Empty, or why the broker should get nothing new, as it says itself.
  std::string TroubleOf(const std::string& broker) const;
  // Directories that have come further than `brokers` says.
  std::vector<DirectoryGeneration> NewGenerations(const MetaTable::Brokers& brokers) const;
  Duration timeout() const { return timeout_; }

 private:
  struct Session {
    uint64_t incarnation = 0;  // 0: whichever is registered
    MonotonicTime heard;
    BrokerReport report;
  };
  const Duration timeout_;
  std::map<std::string, Session> sessions_;
};

}  // namespace bascule::metadata
