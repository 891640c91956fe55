// A NatsBus against a real nats-server, a partition that notes what it is handed, and a plain NATS
// client.
#pragma once

#include <doctest/doctest.h>
#include <nats/nats.h>

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "core/env/clock.h"
#include "core/env/rng.h"
#include "core/env/thread_executor.h"
#include "core/wire/record.h"
#include "nats_bridge/nats_bus.h"
#include "tests/support/eventually.h"
#include "tests/support/nats_server.h"

namespace bascule {

struct Heard {
  std::string body, subject, ack_inbox, correlation_id;
  wire::RecordView view() const {
    wire::RecordView out;
    REQUIRE(wire::ParseBody(body, out));
    return out;
  }
};

// Keeps copies of all it is handed and acknowledges at once, with offsets from 0. Reads: any
// thread.
class NotingPartition : public PartitionIngress {
 public:
  void Enqueue(const std::shared_ptr<const IngressBatch>& batch,
               const IngressRecord& record) override {
    const auto text = [&](ArenaRange range) { return std::string(batch->View(range)); };
    const std::lock_guard lock(mutex_);
    if (sink != nullptr && record.ack_format != AckFormat::kNone) {
      Ack ack;
      ack.format = record.ack_format;
      ack.inbox = batch->View(record.ack_inbox);
      ack.correlation_id = batch->View(record.correlation_id);
      ack.stream = "noted";
      ack.message_subject = batch->View(record.subject);
      ack.offset = Offset(static_cast<int64_t>(heard_.size()));
      ack.last = Offset(static_cast<int64_t>(heard_.size()) - 1);
      ack.policy = record.policy;
      const bool wrong =
          record.expected_offset >= 0 && record.expected_offset != ack.offset.value();
      if (wrong) ack.error = AckError::kIncorrectOffset;
      sink->Send(std::span(&ack, 1));
      if (wrong) return;
    }
    heard_.push_back({text(record.body), text(record.subject), text(record.ack_inbox),
                      text(record.correlation_id)});
  }
  void AppendPending() override {}
  void RecordGap(const GapReport& gap) override {
    const std::lock_guard lock(mutex_);
    gaps_.push_back(gap);
  }

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return heard_.size();
  }
  std::vector<Heard> heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  std::vector<GapReport> gaps() const {
    const std::lock_guard lock(mutex_);
    return gaps_;
  }

  AckSink* sink = nullptr;

 private:
  mutable std::mutex mutex_;
  std::vector<Heard> heard_;
  std::vector<GapReport> gaps_;
};

// The calendar runs, what is measured passes only in leaps: what is to be over after some seconds lasts
// for as long as a test wants it to.
class LeapingClock final : public Clock {
 public:
  MonotonicTime Monotonic() override { return MonotonicTime(++now_); }  // no two at once
  Timestamp Wall() override { return RealClock().Wall(); }
  void Leap(Duration by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{1'000'000'000};
};

// Runs as the machine's, and leaps besides.
class RunningClock final : public Clock {
 public:
  MonotonicTime Monotonic() override { return RealClock().Monotonic() + leapt_.load(); }
  Timestamp Wall() override { return RealClock().Wall(); }
  void Leap(Duration by) { leapt_ += by.count(); }

 private:
  std::atomic<int64_t> leapt_{0};
};

// Somebody else's connection.
class PlainClient {
 public:
  explicit PlainClient(const std::string& url) {
    REQUIRE(natsConnection_ConnectTo(&nc_, url.c_str()) == NATS_OK);
  }
  ~PlainClient() { natsConnection_Destroy(nc_); }
  PlainClient(const PlainClient&) = delete;
  PlainClient& operator=(const PlainClient&) = delete;
  natsConnection* get() { return nc_; }
  void Publish(const std::string& subject, std::string_view payload) {
    REQUIRE(natsConnection_Publish(nc_, subject.c_str(), payload.data(),
                                   static_cast<int>(payload.size())) == NATS_OK);
  }
  void Flush() { REQUIRE(natsConnection_Flush(nc_) == NATS_OK); }

 private:
  natsConnection* nc_ = nullptr;
};

class NatsWorld {
 public:
  explicit NatsWorld(const NatsServerOptions& server_options = {}) {
    auto started = NatsServer::Start(server_options);
    REQUIRE_MESSAGE(started.ok(), started.status().ToString());
    server = std::move(*started);
    options.urls = {server->url()};
    options.server_id = "test";
    options.cluster_namespace = "ns";
  }
  ~NatsWorld() {
    if (bus != nullptr) bus->Stop();
    shard.Stop();
  }

  void StartBus() {
    auto started = nats::NatsBus::Start(options, clock, RealRng());
    REQUIRE_MESSAGE(started.ok(), started.status().ToString());
    bus = std::move(*started);
    partition.sink = bus.get();
  }
  // Opens a feed; the returned future holds what `listening` was told first.
  std::pair<std::unique_ptr<SubjectFeed>, std::future<absl::Status>> Open(FeedOptions feed,
                                                                          PartitionIngress& to) {
    if (feed.partition_subject.empty()) feed.partition_subject = feed.subject;
    if (feed.max_message_bytes == 0) feed.max_message_bytes = limits::kDefaultMessageBytes;
    auto told = std::make_shared<std::promise<absl::Status>>();
    auto future = told->get_future();
    return {bus->Open(feed, to, shard,
                      [told, first = true](absl::Status status) mutable {
                        if (std::exchange(first, false)) told->set_value(std::move(status));
                      }),
            std::move(future)};
  }
  std::unique_ptr<SubjectFeed> OpenAndListen(FeedOptions feed, PartitionIngress& to) {
    auto [opened, told] = Open(std::move(feed), to);
    const absl::Status status = told.get();
    REQUIRE_MESSAGE(status.ok(), status.ToString());
    REQUIRE(Eventually([&] { return bus->connected(); }));  // the egress connection too
    return std::move(opened);
  }
  std::unique_ptr<SubjectFeed> OpenAndListen(const std::string& subject) {
    FeedOptions feed;
    feed.subject = subject;
    return OpenAndListen(std::move(feed), partition);
  }
  // Feeds end on their shard.
  void Close(std::unique_ptr<SubjectFeed> feed) {
    std::promise<void> done;
    shard.Post([&] {
      feed.reset();
      done.set_value();
    });
    done.get_future().get();
  }
  // The server is another process from now on, and the bus has noticed.
  void Reconnect() {
    const uint64_t before = bus->ReadCounters()["nats_ingest_connects"];
    server->Kill();
    REQUIRE(server->Restart().ok());
    REQUIRE(Eventually(
        [&] { return bus->connected() && bus->ReadCounters()["nats_ingest_connects"] > before; }));
  }
  bool Hears(size_t count) {
    return Eventually([&] { return partition.size() >= count; });
  }

  std::unique_ptr<NatsServer> server;
  nats::NatsOptions options;
  RunningClock clock;
  NotingPartition partition;
  ThreadExecutor shard{"shard", 1};
  std::unique_ptr<nats::NatsBus> bus;
};

}  // namespace bascule
