// Several things that must have ended before one goes on.
//
//   {
//     Countdown all([](const absl::Status& first) { ... });
//     for (...) Begin(..., all.Add());
//   }  // from here on `all` may be done; at once when there was nothing, or all has ended
//
// All on one executor; elsewhere only a Part that Lifetime::Bind brings back.
#pragma once

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/base/check.h"

namespace bascule {

class Countdown {
 private:
  struct State;

 public:
  using Done = absl::AnyInvocable<void(const absl::Status&)>;

  // What one of them reports its end to, once. Dropped before, it reports Aborted: nobody waits for
  // ever for what was forgotten, and it shows.
  class Part {
   public:
    explicit Part(std::shared_ptr<State> state) : state_(std::move(state)) { ++state_->waiting; }
    Part(Part&&) noexcept = default;
    Part& operator=(Part&&) = delete;
    ~Part() {
      if (state_ != nullptr) (*this)(absl::AbortedError("ended without an answer"));
    }
    void operator()(const absl::Status& status) {
      BASCULE_CHECK(state_ != nullptr);
      State::End(std::exchange(state_, nullptr), status);
    }

   private:
    std::shared_ptr<State> state_;  // null: reported, or moved away
  };

  // `done` once: with the first error, when all parts have reported and this object is gone.
  explicit Countdown(Done done) : state_(std::make_shared<State>()), own_(state_) {
    state_->done = std::move(done);
  }
  ~Countdown() { own_(absl::OkStatus()); }
  Countdown(const Countdown&) = delete;
  Countdown& operator=(const Countdown&) = delete;

  Part Add() { return Part(state_); }

  // To be called when time is up: `done` comes at once, with the first error so far, unless it was
  // called; what is reported later changes nothing. Keeps nothing alive.
  auto Cutoff() const {
    return [weak = std::weak_ptr<State>(state_)] {
      if (const auto state = weak.lock()) state->Finish();
    };
  }

 private:
  struct State {
    int waiting = 0;
    absl::Status first;
    Done done;  // null: called

    void Finish() {
      if (auto once = std::exchange(done, nullptr)) once(first);
    }
    static void End(std::shared_ptr<State> state, const absl::Status& status) {
      BASCULE_CHECK_GT(state->waiting, 0);
      if (state->first.ok()) state->first = status;
      if (--state->waiting == 0) state->Finish();
    }
  };

  const std::shared_ptr<State> state_;
  Part own_;
};

}  // namespace bascule
