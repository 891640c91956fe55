// The ports of core/api in memory: a partition that serves batches from a shard thread of its own,
// a bus that remembers what was published and acks from a delivery thread, metadata that does what
// a test says.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/env/thread_executor.h"
#include "core/ports/bus_publisher.h"
#include "core/ports/partition_port.h"
#include "core/ports/server_facts.h"
#include "core/ports/stream_admin.h"
#include "core/ports/stream_catalog.h"
#include "core/wire/ack.h"
#include "core/wire/batch.h"
#include "core/wire/record.h"

namespace bascule::api {

// A record body with a value alone.
inline std::string ValueBody(std::string_view value) {
  std::string body;
  wire::AppendValue(body, value);
  return body;
}

// Everything runs on the shard; the public calls below the ports' may come from any thread.
class FakePartition final : public PartitionPort {
 public:
  FakePartition() : shard_("shard", 1) {}
  // Read callbacks that are still parked are answered first.
  ~FakePartition() override {
    EndReads(absl::UnavailableError("the test is over"));
    shard_.Stop();
  }

  // Appends one batch, committed at once unless `committed` is false.
  void Append(const std::vector<std::string>& bodies, uint8_t attributes = 0,
              bool committed = true) {
    std::lock_guard lock(mutex_);
    builder_.Begin(end_, LeaderEpoch(1), Timestamp(1000 + end_.value()), hw_, attributes);
    for (const std::string& body : bodies) builder_.Add(body);
    AddBatch(builder_.Finish(), end_, end_ + static_cast<int64_t>(bodies.size()), committed);
  }
  // Bytes as they are, said to hold [base, end).
  void AppendRaw(std::string bytes, Offset base, Offset end) {
    std::lock_guard lock(mutex_);
    AddBatch(std::move(bytes), base, end, true);
  }
  void Commit() {
    std::lock_guard lock(mutex_);
    hw_ = end_;
    shard_.Post([this] { ServeParked(); });
  }
  void CutBefore(Offset start) {
    std::lock_guard lock(mutex_);
    while (!batches_.empty() && batches_.front().end <= start) batches_.pop_front();
  }
  // Parked and later reads end with `status`.
  void EndReads(absl::Status status) {
    std::lock_guard lock(mutex_);
    end_reads_ = std::move(status);
    shard_.Post([this] { ServeParked(); });
  }
  void SetLocate(
      std::function<absl::StatusOr<ReadRange>(const StartPosition&, const StopPosition&)> locate) {
    std::lock_guard lock(mutex_);
    locate_ = std::move(locate);
  }
  void SetDescribe(absl::StatusOr<PartitionStatus> status) {
    std::lock_guard lock(mutex_);
    describe_ = std::move(status);
  }
  // Bytes of a read; a hint to the reader is not taken.
  void SetChunkBytes(size_t bytes) { chunk_bytes_ = bytes; }

  // Reads answer, but say that the next one should begin at the same offset.
  void StandStill() { stands_still_ = true; }

  int reads() const { return reads_; }
  int cancelled_reads() const { return cancelled_; }
  int parked() {
    std::lock_guard lock(mutex_);
    return static_cast<int>(parked_.size());
  }
  // Readers that have read and were not told off.
  int readers() {
    std::lock_guard lock(mutex_);
    return static_cast<int>(readers_.size());
  }
  // Chunks that somebody still holds.
  int chunks_alive() const { return *alive_; }
  StartPosition last_start() {
    std::lock_guard lock(mutex_);
    return last_start_;
  }
  StopPosition last_stop() {
    std::lock_guard lock(mutex_);
    return last_stop_;
  }

  void Locate(const StartPosition& start, const StopPosition& stop, Direction direction,
              absl::AnyInvocable<void(absl::StatusOr<ReadRange>)> done) override {
    shard_.Post([this, start, stop, direction, done = std::move(done)]() mutable {
      std::unique_lock lock(mutex_);
      last_start_ = start;
      last_stop_ = stop;
      auto range = locate_ ? locate_(start, stop) : DefaultRange(start, stop, direction);
      lock.unlock();
      done(std::move(range));
    });
  }

  void Read(const ReadRequest& request,
            absl::AnyInvocable<void(absl::StatusOr<ReadChunk>)> done) override {
    ++reads_;
    shard_.Post([this, request, done = std::move(done)]() mutable {
      {
        std::lock_guard lock(mutex_);
        readers_.insert(request.reader);
        parked_.push_back({request, std::move(done)});
      }
      ServeParked();
    });
  }

  void CancelRead(ReaderId reader) override {
    shard_.Post([this, reader] {
      {
        std::lock_guard lock(mutex_);
        readers_.erase(reader);
        cancelled_readers_.insert(reader);
      }
      ServeParked();
    });
  }

  void SetGaps(std::function<absl::StatusOr<GapPage>(Offset from, size_t most)> gaps) {
    std::lock_guard lock(mutex_);
    gaps_ = std::move(gaps);
  }
  void ListGaps(Offset from, size_t most,
                absl::AnyInvocable<void(absl::StatusOr<GapPage>)> done) override {
    shard_.Post([this, from, most, done = std::move(done)]() mutable {
      std::unique_lock lock(mutex_);
      absl::StatusOr<GapPage> page = gaps_ ? gaps_(from, most) : GapPage{};
      lock.unlock();
      done(std::move(page));
    });
  }

  void Describe(absl::AnyInvocable<void(absl::StatusOr<PartitionStatus>)> done) override {
    shard_.Post([this, done = std::move(done)]() mutable {
      std::unique_lock lock(mutex_);
      auto status = describe_ ? *describe_ : absl::StatusOr<PartitionStatus>(OwnStatus());
      lock.unlock();
      done(std::move(status));
    });
  }

 private:
  struct Batch {
    std::string bytes;
    Offset base;
    Offset end;
  };
  struct Parked {
    ReadRequest request;
    absl::AnyInvocable<void(absl::StatusOr<ReadChunk>)> done;
  };

  void AddBatch(std::string bytes, Offset base, Offset end, bool committed) {
    batches_.push_back({std::move(bytes), base, end});
    end_ = end;
    if (committed) hw_ = end;
    shard_.Post([this] { ServeParked(); });
  }

  PartitionStatus OwnStatus() const {
    PartitionStatus status;
    status.log_start = batches_.empty() ? end_ : batches_.front().base;
    status.high_watermark = hw_;
    status.log_end = status.flushed_end = status.last_message_end = end_;
    status.leader = true;
    return status;
  }

  absl::StatusOr<ReadRange> DefaultRange(const StartPosition& start, const StopPosition& stop,
                                         Direction direction) const {
    ReadRange range{hw_, std::nullopt};
    if (direction == Direction::kReverse) range.from = hw_ - 1;
    if (start.kind == StartPosition::Kind::kOffset) range.from = Offset(start.offset);
    if (start.kind == StartPosition::Kind::kEarliest)
      range.from = batches_.empty() ? Offset(0) : batches_.front().base;
    if (stop.kind == StopPosition::Kind::kOffset) range.last = Offset(stop.offset);
    if (stop.kind == StopPosition::Kind::kLatest) range.last = hw_ - 1;
    return range;
  }

  void ServeParked() {
    std::vector<std::pair<Parked, absl::StatusOr<ReadChunk>>> answers;
    {
      std::lock_guard lock(mutex_);
      std::vector<Parked> waiting;
      waiting.swap(parked_);
      for (Parked& parked : waiting) {
        std::optional<absl::StatusOr<ReadChunk>> answer = Answer(parked.request);
        if (answer) {
          answers.emplace_back(std::move(parked), *std::move(answer));
        } else {
          parked_.push_back(std::move(parked));
        }
      }
    }
    for (auto& [parked, answer] : answers) parked.done(std::move(answer));
  }

  std::optional<absl::StatusOr<ReadChunk>> Answer(const ReadRequest& request) {
    if (cancelled_readers_.erase(request.reader) != 0) {
      ++cancelled_;
      return absl::CancelledError("read cancelled");
    }
    if (request.direction == Direction::kReverse) return Reverse(request.from);
    if (request.from < hw_) {
      auto it = std::find_if(batches_.begin(), batches_.end(),
                             [&](const Batch& b) { return b.end > request.from; });
      std::string bytes;
      Offset next = hw_;
      for (;
           it != batches_.end() && it->base < hw_ && (bytes.empty() || bytes.size() < chunk_bytes_);
           ++it) {
        bytes += it->bytes;
        next = it->end;
      }
      if (stands_still_) next = request.from;
      if (!bytes.empty()) return ReadChunk{Track(std::move(bytes)), next, hw_};
    }
    if (end_reads_) return *end_reads_;
    return std::nullopt;
  }

  absl::StatusOr<ReadChunk> Reverse(Offset from) {
    size_t count = 0;
    while (count < batches_.size() && batches_[count].base <= from) ++count;
    if (count == 0) return absl::OutOfRangeError("nothing there");
    size_t first = count;
    size_t bytes = 0;
    while (first > 0 && (bytes == 0 || bytes < chunk_bytes_))
      bytes += batches_[--first].bytes.size();
    std::string joined;
    for (size_t i = first; i < count; ++i) joined += batches_[i].bytes;
    const Offset next = first == 0 ? Offset(-1) : batches_[first].base - 1;
    return ReadChunk{Track(std::move(joined)), next, hw_};
  }

  Bytes Track(std::string bytes) {
    ++*alive_;
    std::shared_ptr<const std::string> owner(new std::string(std::move(bytes)),
                                             [alive = alive_](const std::string* p) {
                                               --*alive;
                                               delete p;
                                             });
    return Bytes(owner, *owner);
  }

  std::mutex mutex_;
  std::deque<Batch> batches_;
  wire::BatchBuilder builder_;
  Offset end_{0};
  Offset hw_{0};
  std::vector<Parked> parked_;
  std::set<ReaderId> readers_;
  std::set<ReaderId> cancelled_readers_;
  std::optional<absl::Status> end_reads_;
  std::optional<absl::StatusOr<PartitionStatus>> describe_;
  std::function<absl::StatusOr<GapPage>(Offset, size_t)> gaps_;
  std::function<absl::StatusOr<ReadRange>(const StartPosition&, const StopPosition&)> locate_;
  StartPosition last_start_;
  StopPosition last_stop_;
  std::atomic<size_t> chunk_bytes_{256 * 1024};
  std::atomic<bool> stands_still_{false};
  std::atomic<int> reads_{0};
  std::atomic<int> cancelled_{0};
  std::shared_ptr<std::atomic<int>> alive_ = std::make_shared<std::atomic<int>>(0);
  ThreadExecutor shard_;  // last: its thread uses the rest
};

// Of every stream of ApiWorld, and so of the acks of its partitions.
inline constexpr Timestamp kFakeCreated(77);
inline constexpr LeaderEpoch kFakeEpoch(4);

// What was published, as owned values.
struct Published {
  std::string nats_subject;
  std::string key, value, stream, subject, ack_inbox, correlation_id;
  std::map<std::string, std::string> headers;
  int32_t ack_policy = 0;
  int64_t expected_offset = 0;
};

class FakeBus final : public BusPublisher {
 public:
  FakeBus() : delivery_("nats", 1) {}
  ~FakeBus() override { delivery_.Stop(); }

  // Called for each publish; its answer (an encoded proto.Ack, or nothing) goes to the message's
  // inbox.
  std::function<std::optional<std::string>(const Published&)> on_publish;

  // An ack as a partition sends it, offsets counting up.
  std::string Ack(const Published& message, uint64_t error = 0) {
    wire::AckView ack;
    ack.stream = message.stream;
    ack.partition_subject = message.nats_subject;
    ack.message_subject = message.nats_subject;
    ack.offset = error == 0 ? next_offset_++ : 0;
    ack.ack_inbox = message.ack_inbox;
    ack.correlation_id = message.correlation_id;
    ack.ack_policy = static_cast<uint64_t>(message.ack_policy);
    ack.ack_error = error;
    ack.stream_created = kFakeCreated.value();
    const std::string number = message.nats_subject.substr(message.nats_subject.rfind('.') + 1);
    if (!number.empty() && number.find_first_not_of("0123456789") == std::string::npos)
      ack.partition = std::stoi(number);
    ack.leader_epoch = kFakeEpoch.value();
    std::string bytes;
    wire::AppendAck(bytes, ack);
    return bytes;
  }
  void AckAll() {
    on_publish = [this](const Published& message) { return std::optional(Ack(message)); };
  }
  void Deliver(std::string inbox, std::string ack) {
    delivery_.Post([this, inbox = std::move(inbox), ack = std::move(ack)] {
      std::lock_guard lock(inboxes_mutex_);
      auto [begin, end] = inboxes_.equal_range(inbox);
      for (auto it = begin; it != end; ++it) ++verdicts_[(*it->second)(ack)];
    });
  }
  void FailWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(status);
  }
  std::vector<Published> published() {
    std::lock_guard lock(mutex_);
    return published_;
  }
  size_t inboxes() {
    std::lock_guard lock(inboxes_mutex_);
    return inboxes_.size();
  }
  // Acks that the handlers did not take.
  int foreign() { return Judged(AckVerdict::kForeign); }
  int replaced() { return Judged(AckVerdict::kReplaced); }
  int unmatched() { return Judged(AckVerdict::kUnmatched); }
  void set_max_payload(int64_t bytes) { max_payload_ = bytes; }

  absl::Status Publish(std::string_view subject, const PublishMessage& message) override {
    Published copy = Copy(subject, message);
    {
      std::lock_guard lock(mutex_);
      if (!failure_.ok()) return failure_;
      published_.push_back(copy);
    }
    if (on_publish) {
      if (auto ack = on_publish(copy)) Deliver(copy.ack_inbox, *std::move(ack));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<AckInbox>> OpenAckInbox(std::optional<std::string> subject,
                                                         AckHandler handler) override {
    {
      std::lock_guard lock(mutex_);
      if (!open_failure_.ok()) return open_failure_;
    }
    std::string name = subject ? *subject : "test.ack." + std::to_string(++inbox_number_);
    return std::make_unique<Inbox>(*this, std::move(name), std::move(handler));
  }
  void FailInboxesWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    open_failure_ = std::move(status);
  }
  int64_t max_payload() const override { return max_payload_; }
  bool connected() const override { return true; }

 private:
  class Inbox final : public AckInbox {
   public:
    Inbox(FakeBus& bus, std::string subject, AckHandler handler)
        : bus_(bus), subject_(std::move(subject)), handler_(std::move(handler)) {
      std::lock_guard lock(bus_.inboxes_mutex_);
      place_ = bus_.inboxes_.emplace(subject_, &handler_);
    }
    // The lock is held while a handler runs, so this waits for one that does.
    ~Inbox() override {
      std::lock_guard lock(bus_.inboxes_mutex_);
      bus_.inboxes_.erase(place_);
    }
    const std::string& subject() const override { return subject_; }

   private:
    FakeBus& bus_;
    const std::string subject_;
    AckHandler handler_;
    std::multimap<std::string, AckHandler*>::iterator place_;
  };

  int Judged(AckVerdict verdict) {
    std::lock_guard lock(inboxes_mutex_);
    return verdicts_[verdict];
  }

  static Published Copy(std::string_view subject, const PublishMessage& message) {
    Published copy;
    copy.nats_subject = subject;
    copy.key = message.key;
    copy.value = message.value;
    copy.stream = message.stream;
    copy.subject = message.subject;
    copy.ack_inbox = message.ack_inbox;
    copy.correlation_id = message.correlation_id;
    copy.ack_policy = message.ack_policy;
    copy.expected_offset = message.expected_offset;
    for (const auto& [name, value] : message.headers) copy.headers[std::string(name)] = value;
    return copy;
  }

  std::mutex mutex_;
  std::vector<Published> published_;
  absl::Status failure_;
  absl::Status open_failure_;
  std::atomic<int64_t> max_payload_{1 << 20};
  std::atomic<int64_t> next_offset_{0};
  std::atomic<int> inbox_number_{0};
  std::mutex inboxes_mutex_;
  std::multimap<std::string, AckHandler*> inboxes_;
  std::map<AckVerdict, int> verdicts_;  // guarded by inboxes_mutex_
  ThreadExecutor delivery_;
};

class FakeAdmin final : public StreamAdmin {
 public:
  void CreateStream(StreamSpec spec, Duration timeout,
                    absl::AnyInvocable<void(absl::Status)> done) override {
    last_spec = std::move(spec);
    last_timeout = timeout;
    done(answer);
  }
  void DeleteStream(std::string name, Duration timeout,
                    absl::AnyInvocable<void(absl::Status)> done) override {
    last_deleted = std::move(name);
    last_timeout = timeout;
    done(answer);
  }
  void UpdateStream(std::string name, StreamOverrides changes, Duration timeout,
                    absl::AnyInvocable<void(absl::Status)> done) override {
    last_updated = std::move(name);
    last_changes = std::move(changes);
    last_timeout = timeout;
    done(answer);
  }
  std::vector<BrokerDescription> Brokers() override { return brokers; }

  absl::Status answer;
  StreamSpec last_spec;
  std::string last_deleted;
  std::string last_updated;
  StreamOverrides last_changes;
  Duration last_timeout{};
  std::vector<BrokerDescription> brokers{{"me", "", 0, "", 3, 2}};
};

class FakeFacts final : public ServerFactsSource {
 public:
  ServerFacts Facts() override { return facts; }
  ServerFacts facts;
};

}  // namespace bascule::api
