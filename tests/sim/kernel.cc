#include "tests/sim/kernel.h"

namespace bascule {

SimKernel::SimKernel(uint64_t seed)
    : rng_(seed),
      began_(clock_.Monotonic()),
      scheduler_(clock_, rng_.Next()),
      network_(scheduler_) {}

SimKernel::~SimKernel() { EndAll(); }

void SimKernel::EndAll() {
  for (auto& [number, slot] : machines_) End(slot);
}

SimMachine& SimKernel::AddMachine(const std::string& name, Factory factory) {
  const uint64_t number = machines_.size() + 1;
  Slot& slot = machines_[number];
  slot.machine = std::make_unique<SimMachine>(number, name, rng_.Next(), scheduler_, network_);
  slot.factory = std::move(factory);
  return *slot.machine;
}

void SimKernel::Start(uint64_t number) {
  Slot& slot = machines_.at(number);
  End(slot);
  SimMachine& machine = *slot.machine;
  ++machine.incarnation;
  machine.home = &machine.NewThread("home");
  Note(machine.name, "#", machine.incarnation, " starts");
  slot.process = slot.factory(machine);
}

// No task runs in between: nobody calls into a process that is being destroyed.
void SimKernel::End(Slot& slot) {
  for (SimExecutor* thread : slot.machine->threads) thread->Close();
  slot.process.reset();
  slot.machine->threads.clear();
  slot.machine->home = nullptr;
}

void SimKernel::Kill(uint64_t number) {
  Slot& slot = machines_.at(number);
  if (!slot.process) return;
  Note(slot.machine->name, " is killed");
  End(slot);
  slot.machine->disk.Kill();
}

void SimKernel::Crash(uint64_t number) {
  Slot& slot = machines_.at(number);
  if (slot.process) Note(slot.machine->name, " loses its power");
  End(slot);
  slot.machine->disk.Crash(slot.machine->rng);
  ++slot.machine->boots;
}

std::string SimKernel::Notes() const {
  std::string text;
  for (const std::string& note : notes_) text += note + "\n";
  return text;
}

uint64_t SimKernel::Digest() {
  Mix(static_cast<uint64_t>(Between(began_, clock_.Monotonic()).count()));
  Mix(rng_.Next());
  Mix(scheduler_.rng().Next());
  for (auto& [number, slot] : machines_) Mix(slot.machine->rng.Next());
  return digest_;
}

}  // namespace bascule
