// A group of raft::Raft in one simulated network, from one seed: every fault of raft_faults.h for
// some seconds, then none, and the group must come together again.
//
//   RaftWorld world(seed);
//   if (!world.Run()) FAIL(world.violation());      the same seed runs the same again
//
// Fast by being lean: one queue of events, disks as values, no executor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "tests/sim/raft_checker.h"
#include "tests/sim/raft_faults.h"
#include "tests/sim/raft_member.h"
#include "tests/sim/raft_trace.h"
#include "tests/support/sim_rng.h"

namespace bascule {

struct RaftWorldOptions {
  uint64_t faulty_us = 15'000'000;  // microseconds, with faults
  uint64_t healed_us = 5'000'000;   // without
  // Messages say anything, also what a sound member never would. Nothing is checked but that nobody
  // crashes.
  bool lies = false;
};

class RaftWorld {
 public:
  explicit RaftWorld(uint64_t seed, RaftWorldOptions options = {});

  // False: violation() says what went wrong.
  bool Run();
  std::string violation() const { return checker_.violation().value_or(""); }
  RaftTrace& trace() { return trace_; }
  const RaftChecker& checker() const { return checker_; }
  uint64_t events() const { return events_; }

 private:
  static constexpr size_t kMostMembers = 12;  // that ever were
  static constexpr uint64_t kTickUs = 100'000;
  static constexpr uint64_t kMostEvents = 1'000'000;  // a busy run has some ten thousand

  enum class Kind : uint8_t { kTick, kDeliver, kWritten, kRestart, kHeal, kClient, kFault };
  struct Event {
    uint64_t at;
    uint32_t order;  // of those at the same time: first made, first done
    Kind kind;
    uint8_t node;   // its position in nodes_
    uint32_t what;  // kDeliver: which flight; others: the node's life
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  struct Flight {
    raft::Message message;
    uint64_t snapshot_state = 0;
  };
  struct Node {
    explicit Node(std::unique_ptr<RaftMember> its_member) : member(std::move(its_member)) {}
    std::unique_ptr<RaftMember> member;
    uint32_t life = 0;
    uint64_t tick_us = kTickUs;
    uint64_t stalled_until = 0;
    uint64_t full_until = 0;  // its disk
    uint64_t slow_until = 0;  // its disk
    bool crash_when_writing = false;
    std::vector<uint32_t> inbox;  // flights that wait for the end of a write
    int ticks_missed = 0;
  };

  // --- raft_world.cc: time, network, members ---
  void Add(bool in_first_configuration, const raft::Configuration& configuration);
  void At(uint64_t delay, Kind kind, size_t node, uint32_t what);
  void RunUntil(uint64_t end);
  void Handle(const Event& event);
  void OnTick(size_t node);
  void OnDeliver(size_t node, uint32_t flight);
  void OnWritten(size_t node);
  // Lets a node take what it has to do, as often as it has.
  void Pump(size_t node);
  void Send(size_t from, std::vector<raft::Message> messages);
  void SendOne(size_t from, raft::Message message);
  void Fly(size_t to, raft::Message message, uint64_t snapshot_state);
  bool Happens(double rate_per_second, double seconds) {
    return Chance(rng_, rate_per_second * seconds);
  }

  // --- raft_world_faults.cc: what happens to them ---
  void OnClient();
  void OnFault();
  void HarmNode(size_t node);
  void HarmGroup();
  void Crash(size_t node);
  void Restart(size_t node);
  void HealNetwork();
  void ChangeMembers();
  raft::Message Malformed(raft::Message message);
  size_t Leader() const;  // nodes_.size() when there is none
  // Nothing fails any more.
  void EndFaults();
  // Everybody who belongs to the group has the same, and it takes commands.
  void CheckConverged();
  bool Converged();

  const uint64_t seed_;
  const RaftWorldOptions options_;
  SimRng rng_;
  RaftFaults faults_;
  RaftChecker checker_;
  RaftTrace trace_;
  std::vector<Node> nodes_;
  std::array<std::array<bool, kMostMembers>, kMostMembers> cut_{};  // [from][to]
  std::priority_queue<Event> events_waiting_;
  std::vector<Flight> flights_;
  std::vector<uint32_t> free_flights_;
  uint64_t now_ = 0;
  uint32_t made_ = 0;
  uint64_t events_ = 0;
  uint64_t asked_ = 0;
  bool healed_ = false;
};

}  // namespace bascule
