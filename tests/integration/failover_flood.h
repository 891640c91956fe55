// A publisher over NATS that never stops: numbered messages at a steady rate, each with an ALL ack
// asked for, whatever becomes of the brokers. What was acked must be in the log for good.
#pragma once

#include <nats/nats.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"
#include "tests/support/side_thread.h"

namespace bascule::cluster_job {

class FailoverFlood {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Result {
    std::map<int64_t, uint64_t> acked;  // number, offset
    uint64_t sent = 0;
    uint64_t refused = 0;  // error acks: outcome unknown, or refused for now
  };

  FailoverFlood(const std::string& nats_url, std::string subject, int rate)
      : subject_(std::move(subject)) {
    REQUIRE(natsConnection_ConnectTo(&connection_, nats_url.c_str()) == NATS_OK);
    natsInbox* inbox = nullptr;
    REQUIRE(natsInbox_Create(&inbox) == NATS_OK);
    inbox_ = inbox;
    natsInbox_Destroy(inbox);
    REQUIRE(natsConnection_Subscribe(&acks_, connection_, absl::StrCat(inbox_, ".*").c_str(),
                                     &FailoverFlood::OnAck, this) == NATS_OK);
    REQUIRE(natsSubscription_SetPendingLimits(acks_, -1, -1) == NATS_OK);
    thread_.emplace([this, rate](const std::atomic<bool>& stop) { Run(rate, stop); });
  }
  ~FailoverFlood() {
    thread_.reset();
    natsSubscription_Destroy(acks_);
    natsConnection_Destroy(connection_);
  }

  // When the first ack came of a message that was sent at or after `since`.
  std::optional<Time> AckedAfter(Time since, std::chrono::milliseconds limit) {
    std::optional<Time> when;
    (void)Eventually(
        [&] {
          const std::lock_guard lock(mutex_);
          const auto first = std::lower_bound(sent_at_.begin(), sent_at_.end(), since);
          for (auto it = first; it != sent_at_.end() && !when; ++it) {
            const auto found = acked_at_.find(it - sent_at_.begin());
            if (found != acked_at_.end() && (!when || found->second < *when)) when = found->second;
          }
          return when.has_value();
        },
        limit);
    return when;
  }
  // Sends no more; waits for acks that are still on their way.
  Result Stop(std::chrono::milliseconds settle) {
    thread_->Stop();
    uint64_t before = 0;
    (void)Eventually(
        [&] {
          const std::lock_guard lock(mutex_);
          return std::exchange(before, result_.acked.size()) == result_.acked.size() &&
                 result_.acked.size() + result_.refused >= result_.sent;
        },
        settle);
    const std::lock_guard lock(mutex_);
    return result_;
  }

 private:
  void Run(int rate, const std::atomic<bool>& stop) {
    const Time begin = std::chrono::steady_clock::now();
    for (int64_t n = 0; !stop; ++n) {
      // A load's pace, not its synchronisation.
      const Time due = begin + std::chrono::nanoseconds(1'000'000'000 / rate) * n;
      (void)Eventually([&] { return std::chrono::steady_clock::now() >= due; },
                       std::chrono::milliseconds(1000));
      {
        const std::lock_guard lock(mutex_);
        sent_at_.push_back(std::chrono::steady_clock::now());
        ++result_.sent;
      }
      const std::string value = absl::StrCat("m", n);
      (void)natsConnection_PublishRequest(connection_, subject_.c_str(),
                                          absl::StrCat(inbox_, ".", n).c_str(), value.data(),
                                          static_cast<int>(value.size()));
    }
  }
  static void OnAck(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
    const Time now = std::chrono::steady_clock::now();
    const std::string subject = natsMsg_GetSubject(message);
    const std::string data(natsMsg_GetData(message),
                           static_cast<size_t>(natsMsg_GetDataLength(message)));
    natsMsg_Destroy(message);
    auto& flood = *static_cast<FailoverFlood*>(self);
    int64_t number = 0;
    if (!absl::SimpleAtoi(subject.substr(subject.rfind('.') + 1), &number)) return;
    const std::lock_guard lock(flood.mutex_);
    const size_t at = data.find("\"seq\":");
    uint64_t sequence = 0;
    if (data.find("\"error\"") != std::string::npos || at == std::string::npos ||
        !absl::SimpleAtoi(data.substr(at + 6, data.find('}', at) - at - 6), &sequence)) {
      ++flood.result_.refused;
      return;
    }
    flood.result_.acked.emplace(number, sequence - 1);
    flood.acked_at_.emplace(number, now);
  }

  const std::string subject_;
  std::string inbox_;
  natsConnection* connection_ = nullptr;
  natsSubscription* acks_ = nullptr;
  std::mutex mutex_;
  std::vector<Time> sent_at_;         // by number
  std::map<int64_t, Time> acked_at_;  // by number
  Result result_;
  std::optional<SideThread> thread_;
};

}  // namespace bascule::cluster_job
