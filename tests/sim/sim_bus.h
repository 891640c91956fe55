// NATS as the brokers of a simulated cluster and their clients see it: what is published on a subject
// reaches every feed that listens to it then, in order and a little later, by itself or in one hand-over
// with what was published before and is still on its way; acks go back one by one.
// A broker that is cut off hears nothing, and knows afterwards that it did not.
//
//   SimBus bus(scheduler);
//   bus.on_ack = [&](const BusAck& ack) { ... };
//   std::unique_ptr<SimBusConnection> b1 = bus.Connect();    SubjectFeeds and AckSink of one process
//   bus.Publish("in.s1", message);
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/ports/ack_sink.h"
#include "core/ports/subject_feeds.h"
#include "tests/support/sim_executor.h"
#include "tests/unit/partition_world.h"

namespace bascule {

class SimBus;

struct BusAck {
  std::string inbox;
  std::string stream;
  std::string partition_subject;
  Offset offset;
  AckError error = AckError::kOk;
};

class SimBusConnection final : public SubjectFeeds, public AckSink {
 public:
  explicit SimBusConnection(SimBus& bus) : bus_(bus) {}
  std::unique_ptr<SubjectFeed> Open(const FeedOptions& options, PartitionIngress& partition,
                                    Executor& shard,
                                    absl::AnyInvocable<void(absl::Status)> listening) override;
  void Send(std::span<const Ack> acks) override;
  bool connected() const { return connected_; }
  void Disconnect() { connected_ = false; }
  // Every feed is told what it may have missed.
  void Reconnect();

 private:
  friend class SimBus;
  friend class SimFeed;
  SimBus& bus_;
  bool connected_ = true;
  std::vector<absl::AnyInvocable<void()>> waiting_;  // who opened a feed meanwhile
};

class SimBus {
 public:
  explicit SimBus(SimScheduler& scheduler)
      : scheduler_(scheduler), wire_(scheduler.NewExecutor("bus")) {}
  ~SimBus() { wire_.Close(); }

  std::unique_ptr<SimBusConnection> Connect() { return std::make_unique<SimBusConnection>(*this); }
  // How many feeds will hear it.
  size_t Publish(const std::string& subject, const partition::TestMessage& message);
  // Also of processes that have ended since.
  std::function<void(const BusAck&)> on_ack;
  Duration delay = std::chrono::milliseconds(2);  // up to
  double together = 0.5;                          // that a message goes with the one before

 private:
  friend class SimBusConnection;
  friend class SimFeed;
  Duration DrawDelay();
  bool DrawTogether();

  SimScheduler& scheduler_;
  SimExecutor& wire_;
  std::map<uint64_t, class SimFeed*> feeds_;  // by when they were opened
  uint64_t opened_ = 0;
};

}  // namespace bascule
