#include "tests/sim/sim_bus.h"

#include <algorithm>
#include <utility>

namespace bascule {

// Destroyed on its shard, like the tasks that it posts there.
class SimFeed final : public SubjectFeed {
 public:
  SimFeed(SimBusConnection& connection, std::string subject, PartitionIngress& partition,
          Executor& shard)
      : connection_(connection),
        subject_(std::move(subject)),
        partition_(partition),
        shard_(shard),
        number_(++connection.bus_.opened_) {
    connection_.bus_.feeds_[number_] = this;
  }
  ~SimFeed() override { connection_.bus_.feeds_.erase(number_); }

  void SetRules(const FeedRules&) override {}  // they are the bridge's

  bool Hears(const std::string& subject) const {
    return connection_.connected_ && subject == subject_;
  }
  // In order: what comes later never arrives before.
  void Deliver(const partition::TestMessage& message, MonotonicTime now) {
    if (gathering_ != nullptr && connection_.bus_.DrawTogether()) {
      gathering_->push_back(message);
      return;
    }
    const MonotonicTime due = Add(now, connection_.bus_.DrawDelay());
    last_ = std::max(last_, due);
    gathering_ = std::make_shared<HandOver>(HandOver{message});
    shard_.After(Between(now, last_),
                 [this, alive = std::weak_ptr<bool>(alive_), messages = gathering_] {
                   if (alive.expired()) return;
                   if (gathering_ == messages) gathering_ = nullptr;
                   bascule::partition::Deliver(partition_, *messages);
                 });
  }
  void TellGap(Timestamp from, Timestamp to) {
    shard_.Post([this, alive = std::weak_ptr<bool>(alive_), from, to] {
      if (!alive.expired()) partition_.RecordGap({from, to, GapReason::kDisconnected, -1});
    });
  }
  const SimBusConnection& connection() const { return connection_; }

 private:
  SimBusConnection& connection_;
  const std::string subject_;
  PartitionIngress& partition_;
  Executor& shard_;
  using HandOver = std::vector<partition::TestMessage>;
  const uint64_t number_;
  MonotonicTime last_;
  std::shared_ptr<HandOver> gathering_;  // the last one, until it arrives
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::unique_ptr<SubjectFeed> SimBusConnection::Open(
    const FeedOptions& options, PartitionIngress& partition, Executor& shard,
    absl::AnyInvocable<void(absl::Status)> listening) {
  auto feed = std::make_unique<SimFeed>(*this, options.subject, partition, shard);
  auto confirm = [&shard, listening = std::move(listening)]() mutable {
    shard.Post([listening = std::move(listening)]() mutable { listening(absl::OkStatus()); });
  };
  if (connected_) {
    confirm();
  } else {
    waiting_.emplace_back(std::move(confirm));
  }
  return feed;
}

void SimBusConnection::Reconnect() {
  if (std::exchange(connected_, true)) return;
  const Timestamp now = bus_.scheduler_.clock().Wall();
  for (const auto& [number, feed] : bus_.feeds_) {
    if (&feed->connection() == this) feed->TellGap(now, now);
  }
  for (auto& confirm : std::exchange(waiting_, {})) confirm();
}

void SimBusConnection::Send(std::span<const Ack> acks) {
  if (!connected_) return;
  for (const Ack& ack : acks) {
    BusAck sent{std::string(ack.inbox), std::string(ack.stream), std::string(ack.partition_subject),
                ack.offset, ack.error};
    bus_.wire_.After(bus_.DrawDelay(), [&bus = bus_, sent = std::move(sent)] {
      if (bus.on_ack) bus.on_ack(sent);
    });
  }
}

bool SimBus::DrawTogether() { return Chance(scheduler_.rng(), together); }

size_t SimBus::Publish(const std::string& subject, const partition::TestMessage& message) {
  size_t heard = 0;
  for (const auto& [number, feed] : feeds_) {
    if (!feed->Hears(subject)) continue;
    feed->Deliver(message, scheduler_.clock().Monotonic());
    ++heard;
  }
  return heard;
}

Duration SimBus::DrawDelay() {
  return Duration(
      static_cast<int64_t>(scheduler_.rng().Below(static_cast<uint64_t>(delay.count()) + 1)));
}

}  // namespace bascule
