// One line on a terminal that says how far long work is. Silent when standard error is no terminal.
#pragma once

#include <string>

#include "cmd/bascule/console.h"
#include "core/env/clock.h"

namespace bascule::cli {

// One thread.
class Progress {
 public:
  Progress(Console& console, Clock& clock, bool wanted = true);
  ~Progress() { Clear(); }

  // Redraws at most ten times a second. `total` 0 = unknown: no bar. `unit` in the plural, `extra`
  // stands at the end.
  void Show(uint64_t done, uint64_t total, const std::string& unit, const std::string& extra = "");
  // Takes the line away, before anything else is printed.
  void Clear();

 private:
  Console& console_;
  Clock& clock_;
  const bool active_;
  bool drawn_ = false;
  uint64_t drawn_done_ = 0;
  double rate_ = 0;  // of `done`, each second
  MonotonicTime drawn_at_;
};

}  // namespace bascule::cli
