// One partition over the simulated disk and time line, with a fake bus and a sink that notes what
// the disk held at the moment of each ack.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "core/log/recovery.h"
#include "core/wire/batch.h"
#include "core/wire/record.h"
#include "replication/partition/partition.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule::partition {

// Walks whole batches at the front of a segment's bytes; `visit(header, payload)`.
inline void WalkBatches(
    std::string_view bytes,
    const std::function<void(const wire::BatchHeader&, std::string_view)>& visit) {
  wire::BatchHeader header;
  std::string_view payload;
  while (wire::ParseBatch(bytes, header, payload) == wire::BatchParse::kOk) {
    visit(header, payload);
    bytes.remove_prefix(header.total_bytes());
  }
}

struct SentAck {
  std::string inbox;
  std::string stream;
  Offset offset;
  Offset last;
  AckError error;
  AckPolicy policy;
  size_t release;      // acks of one Send have the same
  Offset durable_end;  // of the log on the simulated disk, when it was sent
};

class RecordingAcks final : public AckSink {
 public:
  explicit RecordingAcks(std::function<Offset()> durable_end)
      : durable_end_(std::move(durable_end)) {}
  void Send(std::span<const Ack> acks) override {
    ++releases;
    const Offset durable = durable_end_();
    for (const Ack& ack : acks) {
      sent.push_back({std::string(ack.inbox), std::string(ack.stream), ack.offset, ack.last,
                      ack.error, ack.policy, releases, durable});
    }
  }
  const SentAck* Find(std::string_view inbox) const {
    for (const SentAck& ack : sent) {
      if (ack.inbox == inbox) return &ack;
    }
    return nullptr;
  }
  size_t releases = 0;
  std::vector<SentAck> sent;

 private:
  std::function<Offset()> durable_end_;
};

// Feeds that listen at once unless held back, and tell who is listening.
class FakeFeeds final : public SubjectFeeds {
 public:
  struct Feed final : SubjectFeed {
    Feed(FakeFeeds& of, std::string on, PartitionIngress& to)
        : owner(of), subject(std::move(on)), partition(to) {}
    ~Feed() override {
      const auto it = owner.listening.find(subject);
      if (it != owner.listening.end() && it->second == &partition) owner.listening.erase(it);
    }
    void SetRules(const FeedRules& rules) override { owner.rules[subject] = rules; }
    FakeFeeds& owner;
    std::string subject;
    PartitionIngress& partition;
  };
  std::unique_ptr<SubjectFeed> Open(const FeedOptions& options, PartitionIngress& partition,
                                    Executor& shard,
                                    absl::AnyInvocable<void(absl::Status)> done) override {
    listening[options.subject] = &partition;
    rules[options.subject] = options.rules;
    if (hold_back) {
      held.push_back(std::move(done));
    } else {
      shard.Post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
    }
    return std::make_unique<Feed>(*this, options.subject, partition);
  }
  bool hold_back = false;
  std::vector<absl::AnyInvocable<void(absl::Status)>> held;
  std::map<std::string, PartitionIngress*> listening;  // by subject
  std::map<std::string, FeedRules> rules;              // of open feeds, by subject
};

struct TestMessage {
  std::string value;
  std::string inbox;  // empty: nobody waits
  AckPolicy policy = AckPolicy::kLeader;
  AckFormat format = AckFormat::kEnvelope;
  int64_t expected_offset = -1;
  std::string expected_stream;
  uint32_t payload_bytes = 0;  // 0: the value's
};

inline std::shared_ptr<const IngressBatch> MakeIngress(const std::vector<TestMessage>& messages) {
  auto batch = std::make_shared<IngressBatch>();
  for (const TestMessage& message : messages) {
    IngressRecord record;
    std::string body;
    wire::AppendValue(body, message.value);
    record.body = batch->Add(body);
    record.ack_inbox = batch->Add(message.inbox);
    record.expected_stream = batch->Add(message.expected_stream);
    record.expected_offset = message.expected_offset;
    record.payload_bytes = message.payload_bytes != 0 ? message.payload_bytes
                                                      : static_cast<uint32_t>(message.value.size());
    record.policy = message.policy;
    record.ack_format = message.inbox.empty() ? AckFormat::kNone : message.format;
    batch->records.push_back(record);
  }
  return batch;
}

inline void Deliver(PartitionIngress& partition, const std::vector<TestMessage>& messages) {
  const auto batch = MakeIngress(messages);
  for (const IngressRecord& record : batch->records) partition.Enqueue(batch, record);
  partition.AppendPending();
}

// Everything committed that a subscriber would be shown, and the gap records beside it.
struct PartitionContent {
  std::map<Offset, std::string> messages;
  std::vector<wire::GapRecord> gaps;
  std::vector<LeaderEpoch> epochs;  // of each batch

  void Take(const wire::BatchHeader& header, std::string_view payload) {
    epochs.push_back(header.leader_epoch);
    wire::RecordCursor cursor(payload);
    std::string_view bytes;
    while (cursor.Next(bytes)) {
      wire::RecordView record;
      REQUIRE(wire::ParseRecord(bytes, record));
      wire::GapRecord gap;
      if (header.control()) {
        REQUIRE(wire::ParseGapBody(bytes, gap));
        gaps.push_back(gap);
      } else {
        CHECK(messages.emplace(record.offset, record.value.value_or("")).second);
      }
    }
  }
};

// What `call` answers, within some simulated seconds.
template <typename Answer, typename Call>
Answer Ask(SimScheduler& scheduler, Call call) {
  auto answer = std::make_shared<std::optional<Answer>>();
  call([answer](Answer told) { *answer = std::move(told); });
  REQUIRE(scheduler.RunUntil([&] { return answer->has_value(); }, std::chrono::seconds(30)));
  return **std::move(answer);
}

inline PartitionContent ReadCommitted(SimScheduler& scheduler, PartitionPort& port) {
  const ReaderId reader(99);
  PartitionContent content;
  const auto status = Ask<absl::StatusOr<PartitionStatus>>(
      scheduler, [&](auto done) { port.Describe(std::move(done)); });
  REQUIRE_MESSAGE(status.ok(), status.status().ToString());
  for (Offset at = status->log_start; at < status->high_watermark;) {
    const auto chunk = Ask<absl::StatusOr<ReadChunk>>(scheduler, [&](auto done) {
      port.Read({reader, Direction::kForward, at, 4096}, std::move(done));
    });
    REQUIRE_MESSAGE(chunk.ok(), chunk.status().ToString());
    WalkBatches(chunk->batches.view(),
                [&](const wire::BatchHeader& header, std::string_view payload) {
                  if (header.base_offset >= at) content.Take(header, payload);
                });
    REQUIRE(chunk->next > at);
    at = chunk->next;
  }
  port.CancelRead(reader);
  return content;
}

inline isr::PartitionView ViewOf(const std::vector<std::string>& isr, int min_isr) {
  isr::PartitionView view{1, min_isr, {}};
  for (const std::string& broker : isr) view.replicas.push_back({broker, 1, true, true, false});
  return view;
}

struct PartitionWorldOptions {
  StreamSettings settings{};
  uint64_t seed = 1;
  bool start = true;  // recover, lead epoch 1, listen
  size_t max_message_bytes = 1000;
  TaskOrder pool_order = TaskOrder::kFifo;
  size_t in_flight_records = limits::kPartitionInFlightRecords;
};

class PartitionWorld final : private PartitionEvents {
 public:
  static constexpr char kDirectory[] = "/data/streams/7/0";
  static constexpr PartitionKey kKey{StreamId(7), PartitionId(0)};

  explicit PartitionWorld(PartitionWorldOptions options = {})
      : scheduler(clock, options.seed),
        shard(scheduler.NewExecutor("shard")),
        pool(scheduler.NewExecutor("pool", {.order = options.pool_order})),
        fs(options.seed + 1),
        sync(fs, pool, clock),
        acks([this] { return DurableEnd(); }),
        options_(std::move(options)) {
    NewPartition();
    if (!options_.start) return;
    Lead(LeaderEpoch(1));
    partition->Listen(Partition::Since::kCreation, [](const absl::Status&) {});
    Run();
  }
  ~PartitionWorld() override {
    if (partition) partition->Close(absl::UnavailableError("the test is over"));
    partition.reset();
    scheduler.DropAll();
  }

  void NewPartition() {
    PartitionOptions options;
    options.key = kKey;
    options.stream = "orders";
    options.base_subject = "orders.in";
    options.created = clock.Wall();
    options.settings = options_.settings;
    options.broker = "self";
    options.max_message_bytes = options_.max_message_bytes;
    options.in_flight_records = options_.in_flight_records;
    partition = std::make_shared<Partition>(
        PartitionEnvironment{
            {fs, clock, shard, pool, budget}, sync, acks, feeds, *this, replicas, disk_full},
        std::move(options));
  }
  // What PartitionSet does for an epoch; nothing of an old log may be under way.
  void Lead(LeaderEpoch epoch, std::optional<log::KnownEnd> known_end = std::nullopt,
            const std::vector<std::string>& isr = {"self"}, int min_isr = 1) {
    auto recovered =
        log::RecoverLog(fs, {kDirectory, kKey.stream, kKey.partition, point, known_end});
    REQUIRE_MESSAGE(recovered.ok(), recovered.status().ToString());
    partition->Open(*std::move(recovered));
    partition->Lead(epoch, ViewOf(isr, min_isr));
  }
  // The machine dies and a new process takes over.
  void CrashAndRestart(LeaderEpoch epoch) {
    scheduler.DropAll();
    partition->Close(absl::UnavailableError("dead"));
    partition.reset();
    scheduler.DropAll();
    fs.Crash(scheduler.rng());
    NewPartition();
    Lead(epoch);
    Run();
  }
  void Run() { scheduler.RunUntilIdle(); }
  // Until something waits for the pool: a sync has been asked for and has not begun.
  void RunUntilPoolHasWork() {
    while (pool.waiting() == 0 && scheduler.Step()) {
    }
  }
  void Send(const std::vector<TestMessage>& messages) { Deliver(*partition, messages); }
  // Sends and lets everything come to rest.
  void Publish(const std::vector<TestMessage>& messages) {
    Send(messages);
    Run();
  }

  std::vector<std::string> SegmentPaths() {
    std::vector<std::string> paths;
    const auto entries = fs.List(kDirectory);
    REQUIRE(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      if (log::ParseSegmentFileName(entry.name)) paths.push_back(JoinPath(kDirectory, entry.name));
    }
    return paths;
  }
  // End of the unbroken run of batches that a crash would leave.
  Offset DurableEnd() {
    Offset end;
    for (const std::string& path : SegmentPaths()) {
      const std::string bytes = fs.DurableBytes(path);
      if (bytes.size() < log::kSegmentHeaderBytes) break;
      WalkBatches(std::string_view(bytes).substr(log::kSegmentHeaderBytes),
                  [&](const wire::BatchHeader& header, std::string_view) { end = header.end(); });
    }
    return end;
  }

  absl::StatusOr<ReadRange> Locate(StartPosition start, StopPosition stop = {},
                                   Direction direction = Direction::kForward) {
    std::optional<absl::StatusOr<ReadRange>> range;
    partition->Locate(start, stop, direction,
                      [&](absl::StatusOr<ReadRange> found) { range = std::move(found); });
    Run();
    REQUIRE(range.has_value());
    return *range;
  }
  PartitionStatus Status() {
    std::optional<absl::StatusOr<PartitionStatus>> status;
    partition->Describe([&](absl::StatusOr<PartitionStatus> told) { status = std::move(told); });
    Run();
    REQUIRE(status.has_value());
    REQUIRE_MESSAGE(status->ok(), status->status().ToString());
    return **status;
  }
  // One read that is not expected to park.
  absl::StatusOr<ReadChunk> Read(Offset from, Direction direction = Direction::kForward) {
    std::optional<absl::StatusOr<ReadChunk>> chunk;
    partition->Read({ReaderId(99), direction, from, 4096},
                    [&](absl::StatusOr<ReadChunk> read) { chunk = std::move(read); });
    Run();
    REQUIRE(chunk.has_value());
    return *std::move(chunk);
  }
  PartitionContent ReadAll() { return ReadCommitted(scheduler, *partition); }

  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& shard;
  SimExecutor& pool;
  SimFileSystem fs;
  log::TailCacheBudget budget{64 * 1024};
  log::SyncScheduler sync;
  RecordingAcks acks;
  FakeFeeds feeds;
  ReplicaSwitch replicas{{&shard}};
  std::atomic<bool> disk_full{false};
  std::optional<log::RecoveryPoint> point;
  int durable_events = 0;
  std::vector<Offset> failures;  // durable ends told by OnFailed
  std::shared_ptr<Partition> partition;

 private:
  void OnDurable() override { ++durable_events; }
  void OnFailed(PartitionKey, Offset durable_end, const absl::Status&) override {
    failures.push_back(durable_end);
  }
  void LowerPoint(PartitionKey, log::RecoveryPoint lower,
                  absl::AnyInvocable<void(absl::Status)> done) override {
    point = std::move(lower);
    done(absl::OkStatus());
  }
  void ProposeIsr(PartitionKey, isr::IsrProposal, absl::AnyInvocable<void()>) override {}

  const PartitionWorldOptions options_;
};

inline std::vector<TestMessage> Values(int from, int to, const std::string& inbox_prefix = "") {
  std::vector<TestMessage> messages;
  for (int i = from; i < to; ++i) {
    TestMessage message;
    message.value = Concat("v", i);
    if (!inbox_prefix.empty()) message.inbox = Concat(inbox_prefix, i);
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace bascule::partition
