// Who is gone: connections that broke and could not be made again, sessions without heartbeats.
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/meta/cluster/leader_work.h"
#include "replication/meta/table/command_fence_brokers.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;

// A timer that comes later than this shows that this process, or its thread, did not run.
constexpr milliseconds kLate{50};

std::string NamesOf(const std::vector<BrokerSession>& sessions) {
  std::string names;
  for (const BrokerSession& session : sessions)
    names += Concat(names.empty() ? "" : ", ", session.broker);
  return names;
}

int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<milliseconds>(duration).count();
}

std::string NameOf(const MetaTable& table, PeerId node) {
  for (const auto& [id, broker] : table.brokers()) {
    if (broker.node == node) return Concat(", broker ", id, ",");
  }
  return "";
}

}  // namespace

void LeaderWork::OnPeerUp(const PeerIdentity& peer) {
  BASCULE_CHECK(home_.OnThisThread());
  const MonotonicTime now = clock_.Monotonic();
  const bool reached = ReachesMajority();
  lines_.OnUp(peer, now);
  // It was this broker that could reach nobody: the others have their time from now on.
  if (!reached && ReachesMajority()) lines_.Restart(now);
  LookAtLines();
}

void LeaderWork::OnPeerDown(const PeerIdentity& peer) {
  BASCULE_CHECK(home_.OnThisThread());
  lines_.OnDown(peer, clock_.Monotonic());
  LookAtLines();
}

void LeaderWork::OnTableChange() { lines_.OnTable(table_.brokers()); }

// This process stood still, or its thread was busy: what was sent meanwhile is not counted yet, and who came
// back meanwhile has not been heard of. Silence gets the time back; a broken connection gets all of its time
// anew.
void LeaderWork::NotePause(MonotonicTime now) {
  const Duration late = Between(awake_, now) - options_.heartbeat;
  const bool stood = awake_ != MonotonicTime() && late > options_.heartbeat;
  if (stood) sessions_.Shift(late);
  if (stood || (lines_due_ && Between(*lines_due_, now) > kLate)) lines_.Restart(now);
  awake_ = now;
}

// Whenever a connection, the role or the table changed, and when the next one's time is over.
void LeaderWork::LookAtLines() {
  if (lifetime_.ended() || awake_ == MonotonicTime()) return;
  const MonotonicTime now = clock_.Monotonic();
  NotePause(now);
  TellLeaderLost(now);
  if (role_.leading) FenceGone(now);
  const std::optional<MonotonicTime> next =
      role_.leading ? lines_.NextGone(table_.brokers()) : LeaderLostAt();
  lines_due_.reset();
  // What is due already waits for something else, which leads here, or for the next round.
  if (!next || *next <= now) return;
  lines_due_ = next;
  lines_timer_.Start(Between(now, *next), [this] { LookAtLines(); });
}

std::optional<MonotonicTime> LeaderWork::LeaderLostAt() const {
  const std::optional<MonotonicTime> broken = lines_.BrokenSince(role_.leader);
  if (!broken || told_lost_ == std::pair(role_.leader, *broken)) return std::nullopt;
  return Add(*broken, kLeaderBroken);
}

// Once for each time that it broke: whoever else reaches the leader keeps it in office.
void LeaderWork::TellLeaderLost(MonotonicTime now) {
  const std::optional<MonotonicTime> lost = LeaderLostAt();
  if (!lost || *lost > now) return;
  told_lost_ = {role_.leader, *lines_.BrokenSince(role_.leader)};
  LogInfo("metadata group: the connection to its leader", NameOf(table_, role_.leader),
          " broke and could not be made again within ", Milliseconds(kLeaderBroken),
          " ms: this broker waits for it no longer");
  group_.OnLeaderLost(role_.leader);
}

// Without it nothing can be decided, and it is more likely this broker that is cut off than all the others.
bool LeaderWork::ReachesMajority() const {
  const GroupStatus status = group_.Status();
  size_t voters = 0;
  size_t reached = 0;
  for (const GroupMemberStatus& known : status.members) {
    if (!known.member.voter) continue;
    ++voters;
    if (known.member.id == status.self || lines_.IsUp(known.member.id)) ++reached;
  }
  return reached > voters / 2;
}

// All that are gone by now in one command (R6).
void LeaderWork::FenceGone(MonotonicTime now) {
  sessions_.Heard({self_.id, self_.incarnation}, table_, now);
  std::vector<BrokerSession> gone = sessions_.Expired(table_.brokers(), now);
  const std::vector<BrokerSession> silent = gone;
  const std::vector<BrokerSession> broken = lines_.Gone(table_.brokers(), now);
  if (proposing_ || (silent.empty() && broken.empty())) return;
  if (!broken.empty() && ReachesMajority()) {
    const std::string names = NamesOf(broken);
    LogWarning(broken.size() == 1 ? "the connection to broker " : "the connections to brokers ",
               names, " broke and could not be made again within ",
               Milliseconds(BrokenLines::kBroken), " ms: fencing ", names);
    for (const BrokerSession& session : broken) {
      if (std::find(gone.begin(), gone.end(), session) == gone.end()) gone.push_back(session);
    }
  }
  if (!silent.empty())
    LogWarning("no heartbeat for ", Milliseconds(sessions_.timeout()), " ms: fencing ",
               NamesOf(silent));
  if (gone.empty()) return;
  ProposeOnce(EncodeFenceBrokers(gone), Concat("fencing ", NamesOf(gone)));
}

}  // namespace bascule::metadata
