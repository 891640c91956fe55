#include "tests/sim/kernel.h"

namespace bascule {

SimKernel::SimKernel(uint64_t seed)
    : rng_(seed),
      began_(clock_.Monotonic()),
      scheduler_(clock_, rng_.Next()),
      network_(scheduler_) {}

SimKernel::~SimKernel() {
  for (auto& [number, slot] : machines_) End(slot);
}

SimMachine& SimKernel::AddMachine(const std::string& name, Factory factory) {
  const uint64_t number = machines_.size() + 1;
  Slot& slot = machines_[number];
  slot.machine = std::make_unique<SimMachine>(number, name, rng_.Next());
  slot.factory = std::move(factory);
  return *slot.machine;
}

void SimKernel::Start(uint64_t number) {
  Slot& slot = machines_.at(number);
  End(slot);
  SimMachine& machine = *slot.machine;
  ++machine.incarnation;
  const std::string name = Concat(machine.name, "#", machine.incarnation);
  machine.home = &scheduler_.NewExecutor(name);
  machine.transport =
      network_.Connect({machine.id, machine.name, machine.address(), machine.incarnation, 1});
  Note(name, " starts");
  slot.process = slot.factory(machine);
}

// No task runs in between: nobody calls into a process that is being destroyed.
void SimKernel::End(Slot& slot) {
  if (slot.machine->home != nullptr) slot.machine->home->Close();
  slot.process.reset();
  slot.machine->transport.reset();
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
}

std::string SimKernel::Notes() const {
  std::string text;
  for (const std::string& note : notes_) text += note + "\n";
  return text;
}

}  // namespace bascule
