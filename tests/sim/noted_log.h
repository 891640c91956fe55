// The process log goes into the notes of a simulation, as long as this lives: what brokers say stands
// between what happened to them, and standard error stays readable.
#pragma once

#include <string>

#include "core/base/logging.h"
#include "tests/sim/kernel.h"

namespace bascule {

class NotedLog final : public LogSink {
 public:
  explicit NotedLog(SimKernel& kernel) : kernel_(kernel) { SetLogSink(this); }
  ~NotedLog() override { SetLogSink(nullptr); }

  // Without the real time at its beginning, and the newline.
  void Write(std::string line) override {
    const size_t time = line.find(' ');
    kernel_.Note(line.substr(time + 1, line.size() - time - 2));
  }
  bool Flush(std::chrono::milliseconds) override { return true; }
  Losses losses() const override { return {}; }

 private:
  SimKernel& kernel_;
};

}  // namespace bascule
