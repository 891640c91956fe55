// A client that does nothing wrong, beside whatever a test does to the broker: one message at a
// time, each with an ALL ack. What it was acked must be in the log, and it must not wait much longer
// than undisturbed.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/integration/main_world.h"
#include "tests/support/side_thread.h"

namespace bascule::main_job {

struct HonestResult {
  std::vector<std::chrono::microseconds> waits;        // of the acked, in order
  std::vector<std::pair<int64_t, std::string>> acked;  // offset, value
  std::vector<std::string> failures;

  std::chrono::microseconds Percentile(double share) const {
    if (waits.empty()) return std::chrono::microseconds::max();
    std::vector<std::chrono::microseconds> sorted = waits;
    std::sort(sorted.begin(), sorted.end());
    const size_t at = static_cast<size_t>(share * static_cast<double>(sorted.size()));
    return sorted[std::min(at, sorted.size() - 1)];
  }
};

class HonestPublisher {
 public:
  HonestPublisher(MainBroker& broker, std::string stream, std::string mark)
      : broker_(broker),
        stream_(std::move(stream)),
        mark_(std::move(mark)),
        thread_([this](const std::atomic<bool>& stop) { Run(stop); }) {}

  int done() const { return done_; }
  HonestResult Stop() {
    thread_.Stop();
    return std::move(result_);
  }

 private:
  void Run(const std::atomic<bool>& stop) {
    for (int i = 0; !stop; ++i) {
      proto::PublishRequest request;
      request.set_stream(stream_);
      request.set_value(mark_ + " " + std::to_string(i));
      request.set_ackpolicy(proto::ALL);
      proto::PublishResponse response;
      grpc::ClientContext context;
      Bound(context);
      const auto begin = std::chrono::steady_clock::now();
      const grpc::Status status = broker_.api().Publish(&context, request, &response);
      const auto end = std::chrono::steady_clock::now();
      if (!status.ok()) {
        result_.failures.push_back(status.error_message());
      } else {
        result_.waits.push_back(std::chrono::duration_cast<std::chrono::microseconds>(end - begin));
        result_.acked.emplace_back(response.ack().offset(), request.value());
      }
      ++done_;
    }
  }

  MainBroker& broker_;
  const std::string stream_;
  const std::string mark_;
  std::atomic<int> done_{0};
  HonestResult result_;
  SideThread thread_;
};

// `count` messages with nothing beside them; on a slow disk as many as ten seconds hold, if that is
// enough to tell a percentile from.
inline HonestResult PublishUndisturbed(MainBroker& broker, const std::string& stream,
                                       const std::string& mark, int count = 1500) {
  constexpr std::chrono::seconds kLong{10};
  constexpr int kFew = 200;
  HonestPublisher publisher(broker, stream, mark);
  const auto begun = std::chrono::steady_clock::now();
  BROKER_CHECK(broker, Eventually([&] {
                 const int done = publisher.done();
                 return done >= count ||
                        (done >= kFew && std::chrono::steady_clock::now() - begun >= kLong);
               }));
  return publisher.Stop();
}

// Everything acked is in the log at its offset.
inline void CheckKept(MainBroker& broker, const std::string& stream,
                      const std::vector<const HonestResult*>& results) {
  std::map<int64_t, std::string> stored;
  for (const proto::Message& message : broker.ReadAll(stream))
    stored[message.offset()] = message.value();
  for (const HonestResult* result : results) {
    CHECK_MESSAGE(result->failures.empty(), result->failures.size(), " failed, the first with ",
                  result->failures.empty() ? "" : result->failures.front());
    for (const auto& [offset, value] : result->acked) CHECK(stored[offset] == value);
  }
}

// Beside threads that spin and never speak to the broker, on all processors but one: what a client that lives on
// the same machine costs by being there. On two of them the scheduler alone lets a message wait for some
// milliseconds.
inline HonestResult PublishBesideSpinning(MainBroker& broker, const std::string& stream,
                                          const std::string& mark) {
  std::deque<SideThread> spinners;
  for (unsigned i = 1; i < std::max(2U, std::thread::hardware_concurrency()); ++i) {
    spinners.emplace_back([](const std::atomic<bool>& stop) {
      while (!stop) {
      }
    });
  }
  return PublishUndisturbed(broker, stream, mark);
}

// The bound of every test of this kind: three times the undisturbed wait, measured before and after.
inline bool Unhurried(const std::string& what, const HonestResult& before,
                      const HonestResult& beside, const HonestResult& after) {
  const auto calm = std::max(before.Percentile(0.99), after.Percentile(0.99));
  MESSAGE(what, ": p50 ", beside.Percentile(0.5).count(), " us, p99 ",
          beside.Percentile(0.99).count(), " us of ", beside.waits.size(), "; calm p50 ",
          before.Percentile(0.5).count(), " us, p99 ", before.Percentile(0.99).count(), " and ",
          after.Percentile(0.99).count(), " us");
  return beside.Percentile(0.99) <= 3 * calm;
}

inline void CheckUnhurried(const std::string& what, const HonestResult& before,
                           const HonestResult& beside, const HonestResult& after) {
  CHECK(Unhurried(what, before, beside, after));
}

}  // namespace bascule::main_job
