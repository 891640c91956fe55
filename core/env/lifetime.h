// Callbacks that may come when whoever they are for is gone. The last member of an owner that lives
// on one executor (`home`):
//
//   Lifetime lifetime_{home_};
//   log.ReadBarrier(lifetime_.Guard([this](const absl::Status& s) { ... }));   // comes on home
//   peers.Call(..., lifetime_.Bind([this](absl::StatusOr<std::string> answer) { ... }));
//
//                comes on home                      comes on any thread
//   Guard(fn)    fn runs, unless the owner is gone  is a fault (CHECK)
//   Bind(fn)     posts to home, there as Guard      posts to home, there as Guard
//
// The owner is destroyed on home, or when home runs nothing any more; `home` outlives whatever was
// guarded or bound. An answer that somebody waits for must not hang on a callback that may be left
// out: give that somebody an error when it is dropped (Countdown::Part does).
#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/env/executor.h"

namespace bascule {

class Lifetime {
 private:
  struct State {
    explicit State(Executor& executor) : home(executor) {}
    Executor& home;
    // Written on home, and read there while the owner lives; later from anywhere.
    std::atomic<bool> ended{false};
  };

 public:
  // As copyable as `Fn` is; may be called many times.
  template <typename Fn>
  class Guarded {
   public:
    Guarded(std::shared_ptr<const State> state, Fn fn)
        : state_(std::move(state)), fn_(std::move(fn)) {}
    template <typename... Args>
    void operator()(Args&&... args) {
      if (state_->ended) return;
      BASCULE_CHECK(state_->home.OnThisThread());
      fn_(std::forward<Args>(args)...);
    }

   private:
    std::shared_ptr<const State> state_;
    Fn fn_;
  };

  // Called once at most. `Fn`, with what it captured, is destroyed on home, also when this is never
  // called.
  template <typename Fn>
  class Bound {
   public:
    Bound(std::shared_ptr<const State> state, Fn fn)
        : state_(std::move(state)), fn_(std::make_unique<Fn>(std::move(fn))) {}
    Bound(Bound&&) noexcept = default;
    Bound& operator=(Bound&&) = delete;
    ~Bound() {
      if (fn_ == nullptr || state_->home.OnThisThread()) return;
      Executor& home = state_->home;
      home.Post([fn = std::move(fn_)] {});
    }
    // The arguments are copied or moved: none may be a view.
    template <typename... Args>
    void operator()(Args&&... args) {
      static_assert((!std::is_same_v<std::decay_t<Args>, std::string_view> && ...));
      BASCULE_CHECK(fn_ != nullptr);
      Executor& home = state_->home;
      home.Post(
          [state = std::move(state_), fn = std::move(fn_),
           values = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)]() mutable {
            if (!state->ended) std::apply(*fn, std::move(values));
          });
    }

   private:
    std::shared_ptr<const State> state_;
    std::unique_ptr<Fn> fn_;  // null: called, or moved away
  };

  explicit Lifetime(Executor& home) : state_(std::make_shared<State>(home)) {}
  ~Lifetime() { End(); }
  Lifetime(const Lifetime&) = delete;
  Lifetime& operator=(const Lifetime&) = delete;

  // On home, or where the owner is destroyed: from now on nothing of it is called, for good.
  void End() { state_->ended = true; }
  bool ended() const { return state_->ended; }

  // Any thread, while the owner is there.
  template <typename Fn>
  Guarded<Fn> Guard(Fn fn) const {
    return Guarded<Fn>(state_, std::move(fn));
  }
  template <typename Fn>
  Bound<Fn> Bind(Fn fn) const {
    return Bound<Fn>(state_, std::move(fn));
  }

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace bascule
