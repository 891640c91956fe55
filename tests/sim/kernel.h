// A few machines on one virtual time line, from one seed: a clock, a network, and for each machine
// a disk, a thread and random numbers of its own. What runs on them is made by the test.
//
//   SimKernel kernel(seed);
//   kernel.AddMachine("b1", [&](SimMachine& machine) {
//     return std::make_unique<Broker>(machine);
//   });
//   kernel.Start(1);
//   kernel.scheduler().RunFor(std::chrono::seconds(1));
//   kernel.Crash(1);                        the power: what was not synced may be gone
//   kernel.Start(1);
//
// Processes are started and ended between steps of the scheduler, never inside one.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "tests/sim/sim_network.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule {

struct SimMachine {
  SimMachine(uint64_t number, std::string its_name, uint64_t seed, SimScheduler& its_scheduler,
             SimNetwork& its_network)
      : id(number),
        name(std::move(its_name)),
        rng(seed),
        disk(rng.Next()),
        scheduler(its_scheduler),
        network(its_network) {}

  const PeerId id;
  const std::string name;  // of the server
  uint64_t incarnation = 0;
  uint64_t boots = 1;  // raised by each crash
  SimRng rng;
  SimFileSystem disk;
  SimScheduler& scheduler;
  SimNetwork& network;
  // Of this life; closed at its end, before the process is destroyed.
  SimExecutor* home = nullptr;
  std::vector<SimExecutor*> threads;  // home too
  SimExecutor& NewThread(const std::string& role, SimExecutorOptions options = {}) {
    threads.push_back(&scheduler.NewExecutor(Concat(name, "#", incarnation, " ", role), options));
    return *threads.back();
  }
  // Its part of the network, for one life.
  std::unique_ptr<PeerPort> Connect(PeerIdentity self, PeerEvents* events = nullptr) {
    self.server_id = name;
    self.address = address();
    return network.Connect(std::move(self), events);
  }
  std::string address() const { return Concat(name, ":9293"); }
};

class SimKernel {
 public:
  // One life of what runs on a machine. Destroyed when it ends: nothing it posted runs any more.
  class Process {
   public:
    virtual ~Process() = default;
  };
  using Factory = std::function<std::unique_ptr<Process>(SimMachine&)>;

  explicit SimKernel(uint64_t seed);
  ~SimKernel();

  SimMachine& AddMachine(const std::string& name, Factory factory);
  // Ends what runs there, and makes it anew.
  void Start(uint64_t machine);
  // The process ends: the page cache stays.
  void Kill(uint64_t machine);
  // The machine ends.
  void Crash(uint64_t machine);
  // Nothing runs any more: before what the processes refer to goes away.
  void EndAll();
  bool up(uint64_t machine) const { return machines_.at(machine).process != nullptr; }
  Process* process(uint64_t machine) { return machines_.at(machine).process.get(); }
  SimMachine& machine(uint64_t number) { return *machines_.at(number).machine; }
  size_t size() const { return machines_.size(); }

  SimClock& clock() { return clock_; }
  SimScheduler& scheduler() { return scheduler_; }
  SimNetwork& network() { return network_; }
  Rng& rng() { return rng_; }

  // Lines of what happened, with their time.
  template <typename... Parts>
  void Note(const Parts&... parts) {
    const int64_t passed = Between(began_, clock_.Monotonic()).count() / 1'000'000;
    notes_.push_back(Concat(passed, " ms  ", parts...));
    for (const char c : notes_.back()) Mix(static_cast<unsigned char>(c));
    if (notes_.size() > kKeptNotes) notes_.pop_front();
  }
  std::string Notes() const;
  // Of all lines there ever were, of the time, and of where every source of chance stands: two runs that differ in
  // a single step hardly have the same. It draws, so it is the last that is asked of a run.
  uint64_t Digest();

 private:
  static constexpr size_t kKeptNotes = 5000;
  struct Slot {
    std::unique_ptr<SimMachine> machine;
    Factory factory;
    std::unique_ptr<Process> process;
  };
  void End(Slot& slot);
  void Mix(uint64_t value) { digest_ = (digest_ ^ value) * 0x100000001b3; }  // FNV-1a

  SimRng rng_;
  SimClock clock_;
  const MonotonicTime began_;
  SimScheduler scheduler_;
  SimNetwork network_;
  std::map<uint64_t, Slot> machines_;
  std::deque<std::string> notes_;
  uint64_t digest_ = 0xcbf29ce484222325;
};

}  // namespace bascule
