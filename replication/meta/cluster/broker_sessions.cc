#include "replication/meta/cluster/broker_sessions.h"

#include <utility>

namespace bascule::metadata {

void BrokerSessions::Begin(const std::string& predecessor, MonotonicTime lost) {
  sessions_.clear();
  if (!predecessor.empty()) sessions_[predecessor] = {0, lost, {}};
}

void BrokerSessions::Heard(const BrokerSession& session, const MetaTable& table,
                           MonotonicTime now) {
  const RegisteredBroker* broker = table.FindBroker(session.broker);
  if (broker == nullptr || broker->incarnation != session.incarnation) return;
  Session& known = sessions_[session.broker];
  if (known.incarnation != session.incarnation) known.report = {};
  known.incarnation = session.incarnation;
  known.heard = now;
}

void BrokerSessions::Note(const BrokerSession& session, BrokerReport report) {
  const auto it = sessions_.find(session.broker);
  if (it != sessions_.end() && it->second.incarnation == session.incarnation)
    it->second.report = std::move(report);
}

std::string BrokerSessions::TroubleOf(const std::string& broker) const {
  const auto it = sessions_.find(broker);
  return it == sessions_.end() ? "" : it->second.report.trouble;
}

std::vector<DirectoryGeneration> BrokerSessions::NewGenerations(
    const MetaTable::Brokers& brokers) const {
  std::vector<DirectoryGeneration> further;
  for (const auto& [id, session] : sessions_) {
    const auto broker = brokers.find(id);
    if (broker == brokers.end() || broker->second.incarnation != session.incarnation) continue;
    if (session.report.generation > broker->second.generation)
      further.push_back({{id, session.incarnation}, session.report.generation});
  }
  return further;
}

void BrokerSessions::Shift(Duration by) {
  for (auto& [broker, session] : sessions_) session.heard = Add(session.heard, by);
}

std::vector<BrokerSession> BrokerSessions::Expired(const MetaTable::Brokers& brokers,
                                                   MonotonicTime now) {
  std::vector<BrokerSession> expired;
  for (const auto& [id, broker] : brokers) {
    if (broker.fenced) continue;
    const auto [it, anew] = sessions_.try_emplace(id, Session{broker.incarnation, now, {}});
    if (it->second.incarnation == 0) it->second.incarnation = broker.incarnation;
    // It registered meanwhile.
    if (it->second.incarnation != broker.incarnation) it->second = {broker.incarnation, now, {}};
    if (Between(it->second.heard, now) > timeout_) expired.push_back({id, broker.incarnation});
  }
  return expired;
}

Duration BrokerSessions::SilentFor(const std::string& broker, MonotonicTime now) const {
  const auto it = sessions_.find(broker);
  return it == sessions_.end() ? Duration::zero() : Between(it->second.heard, now);
}

bool BrokerSessions::Holds(const std::string& broker, MonotonicTime now) const {
  const auto it = sessions_.find(broker);
  return it != sessions_.end() && Between(it->second.heard, now) <= timeout_;
}

}  // namespace bascule::metadata
