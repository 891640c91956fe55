// A publisher over NATS that never stops: numbered messages at a steady rate, each with an ALL ack
// asked for, whatever becomes of the brokers. What was acked must be in the log for good. It shares a
// small machine with what it measures, so it does little per message: a burst each millisecond, and
// everything by number.
#pragma once

#include <nats/nats.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/side_thread.h"

namespace bascule::cluster_job {

class FailoverFlood {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  using Milliseconds = std::chrono::milliseconds;
  struct Options {
    int rate = 2000;       // messages per second
    bool insists = false;  // what is refused, or not answered for kAnswer, is sent again
  };
  struct Acked {
    int64_t number;
    int64_t offset;
  };
  struct Result {
    std::vector<Acked> acked;  // what was sent again may have several
    uint64_t sent = 0;         // numbers
    uint64_t unacked = 0;      // numbers
    uint64_t again = 0;
    uint64_t refused = 0;  // outcome unknown, or refused for now
    uint64_t unheard = 0;  // nobody listened
    double cpu = 0;        // of one processor, what this process took since the flood began
  };

  FailoverFlood(const std::string& nats_url, std::string subject, Options options);
  ~FailoverFlood();
  FailoverFlood(const FailoverFlood&) = delete;
  FailoverFlood& operator=(const FailoverFlood&) = delete;

  // When the first ack came of a message that was first sent at or after `since`, which may be yet to
  // come. One caller at a time.
  std::optional<Time> AckedAfter(Time since, Milliseconds limit);
  // Between two acks that followed each other, or the last one and now; since the last call.
  Milliseconds TakeLongestGap();
  // Sends nothing new; waits for acks that are still on their way, and insists on them if it does.
  Result Stop(Milliseconds settle);

 private:
  static constexpr Milliseconds kTick{1};
  static constexpr Milliseconds kAnswer{1000};
  static constexpr Milliseconds kRefused{500};  // until it is sent again: never a second flood
  struct Message {
    Time sent;  // first
    Time acked;
    int64_t offset = -1;
    uint32_t attempt = 0;
  };
  struct Again {
    Time due;
    int64_t number;
    uint32_t attempt;  // only if this is still its last one
  };

  void Run(const std::atomic<bool>& stop);
  void Gather(Time now);
  void GatherAgain(std::deque<Again>& queue, Time now);
  void Send(const std::vector<int64_t>& numbers);
  static void OnAck(natsConnection*, natsSubscription*, natsMsg* message, void* self);
  void Take(int64_t number, std::string_view text, bool heard);
  void NoteAck(int64_t number, int64_t offset, Time now);
  bool AllAnswered() const;

  const std::string subject_;
  const Options options_;
  const Time begun_ = Clock::now();
  const double cpu_begun_;
  std::string inbox_;  // with the last dot
  natsConnection* connection_ = nullptr;
  natsSubscription* acks_ = nullptr;

  std::mutex mutex_;
  std::condition_variable pace_;
  std::condition_variable changed_;
  // All below are guarded by mutex_.
  std::deque<Message> messages_;  // by number
  std::vector<Acked> acked_twice_;
  std::deque<Again> unanswered_;
  std::deque<Again> put_off_;
  std::vector<int64_t> burst_;
  std::optional<Time> watched_;  // what AckedAfter waits for
  std::optional<Time> seen_;
  Time last_ack_ = begun_;
  Clock::duration longest_gap_{};
  bool ending_ = false;
  uint64_t acked_ = 0;  // numbers
  uint64_t again_ = 0;
  uint64_t refused_ = 0;
  uint64_t unheard_ = 0;
  std::optional<SideThread> thread_;  // last: it ends first
};

}  // namespace bascule::cluster_job
