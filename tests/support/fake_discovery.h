// Brokers of one simulated bus ask and answer each other. Header only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "core/ports/discovery.h"
#include "tests/support/sim_executor.h"

namespace bascule {

class FakeDiscovery;

class FakeDiscoveryBus {
 public:
  explicit FakeDiscoveryBus(SimScheduler& scheduler) : wire(scheduler.NewExecutor("bus")) {}
  using Found = absl::AnyInvocable<void(std::string_view)>;

  bool connected = true;
  Duration period = std::chrono::milliseconds(500);
  uint64_t asked = 0;
  SimExecutor& wire;
  // By when they came, so that the same seed is the same run.
  std::map<uint64_t, absl::AnyInvocable<std::string(std::string_view)>> answerers;
  uint64_t members = 0;
};

class FakeDiscovery final : public Discovery {
 public:
  explicit FakeDiscovery(FakeDiscoveryBus& bus) : bus_(bus), number_(++bus.members) {}
  ~FakeDiscovery() override { bus_.answerers.erase(number_); }

  void AnswerQueries(absl::AnyInvocable<std::string(std::string_view)> answer) override {
    bus_.answerers[number_] = std::move(answer);
  }
  std::unique_ptr<DiscoveryQuery> Ask(std::string question,
                                      FakeDiscoveryBus::Found found) override {
    return std::make_unique<Query>(bus_, std::move(question), std::move(found));
  }

 private:
  class Query final : public DiscoveryQuery {
   public:
    Query(FakeDiscoveryBus& bus, std::string question, FakeDiscoveryBus::Found found)
        : bus_(bus), question_(std::move(question)), found_(std::move(found)) {
      Repeat();
    }
    ~Query() override { *alive_ = false; }
    bool asked() const override { return bus_.connected; }

   private:
    void Repeat() {
      if (bus_.connected) {
        ++bus_.asked;
        for (auto& [who, answer] : bus_.answerers) {
          const std::string bytes = answer(question_);
          bus_.wire.After(std::chrono::milliseconds(1), [this, alive = alive_, bytes] {
            if (*alive && !bytes.empty()) found_(bytes);
          });
        }
      }
      bus_.wire.After(bus_.period, [this, alive = alive_] {
        if (*alive) Repeat();
      });
    }
    FakeDiscoveryBus& bus_;
    const std::string question_;
    FakeDiscoveryBus::Found found_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  };
  FakeDiscoveryBus& bus_;
  const uint64_t number_;
};

}  // namespace bascule
