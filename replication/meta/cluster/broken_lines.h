// Since when this broker's own control connection to each of the others is broken, and whether that
// shows that the process there is gone. Pure; on every broker: who becomes metadata leader knows it
// already.
//
//   connection stands ──breaks──► is dialled at once ──► stands again: nothing happened
//                                                   └──► kBroken later: its process is gone, unless
//      a heartbeat of it came meanwhile (only our own way to it is broken), or it registered since,
//      or it was fenced before and this connection had not stood for kSteady (it flaps)
//   What does not count so is left to the session timeout.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "replication/meta/table/meta_commands.h"
#include "replication/meta/table/meta_table.h"
#include "replication/peer_transport.h"

namespace bascule::metadata {

class BrokenLines {
 public:
  // Broken for so long, although it was dialled at once: nobody is there.
  static constexpr std::chrono::milliseconds kBroken{300};
  // Of those that break together (a rack, a machine) none waits for the others longer than this.
  static constexpr std::chrono::milliseconds kTogether{20};
  // What the process had sent before it died has arrived after so long. With the 200 ms from one heartbeat to
  // the next less than kBroken, or one who lives may be heard too late.
  static constexpr std::chrono::milliseconds kUnderWay{75};
  // Who was fenced and came back is believed to be gone at once only when its connection stood so long.
  static constexpr std::chrono::seconds kSteady{10};

  // As PeerEvents has them.
  void OnUp(const PeerIdentity& peer, MonotonicTime now);
  void OnDown(const PeerIdentity& peer, MonotonicTime now);
  // A heartbeat of this process arrived, by whichever way.
  void OnHeard(const BrokerSession& session, MonotonicTime now);
  // The table is another one. Whoever registers after its connection broke lives.
  void OnTable(const MetaTable::Brokers& brokers);
  // This process stood still, or could reach nobody: what is broken is so from now on.
  void Restart(MonotonicTime now);

  bool IsUp(PeerId peer) const;
  // nullopt: it is not broken, or never stood.
  std::optional<MonotonicTime> BrokenSince(PeerId peer) const;
  // Unfenced brokers whose processes are gone; with the first of them, those that are due within kTogether.
  std::vector<BrokerSession> Gone(const MetaTable::Brokers& brokers, MonotonicTime now) const;
  // When Gone has to be asked next, were nothing to happen; nullopt: there is nothing to wait for.
  std::optional<MonotonicTime> NextGone(const MetaTable::Brokers& brokers) const;

 private:
  struct Line {
    std::string server_id;
    uint64_t incarnation = 0;
    bool up = false;
    MonotonicTime since;  // up, or broken
    bool counts = false;  // broken, and nothing speaks against its process being gone
  };
  // What is registered of a node.
  struct Known {
    uint64_t incarnation = 0;
    bool fenced = false;
    bool returned = false;  // this process was fenced and is not any more
  };
  const Line* Counting(const RegisteredBroker& broker) const;

  std::map<PeerId, Line> lines_;
  std::map<PeerId, Known> known_;
};

}  // namespace bascule::metadata
