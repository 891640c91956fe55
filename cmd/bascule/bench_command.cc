// `bascule bench publish | replay`: rates and latencies of a broker as a client sees them.
#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cmd/bascule/async_publisher.h"
#include "cmd/bascule/bench_report.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/interrupt.h"
#include "cmd/bascule/message_feed.h"
#include "cmd/bascule/progress.h"
#include "core/base/latency_histogram.h"

namespace bascule::cli {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(100);

const char* AckName(AckPolicy policy) {
  switch (policy) {
    case AckPolicy::kAll:
      return "all";
    case AckPolicy::kLeader:
      return "leader";
    case AckPolicy::kNone:
      return "none";
  }
  return "";
}

// One stream's share of a run: a thread of its own; the counters may be read while it works, the
// rest after Join().
class Worker {
 public:
  Worker(Clock& clock, BrokerPtr broker) : broker_(std::move(broker)), clock_(clock) {}
  virtual ~Worker() = default;
  void Start() {
    thread_ = std::thread([this] {
      Work();
      ended_at_ = clock_.Monotonic();
      finished_ = true;
    });
  }
  void Join() { thread_.join(); }
  bool finished() const { return finished_; }
  const BrokerPtr& broker() const { return broker_; }
  MonotonicTime ended_at() const { return ended_at_; }
  uint64_t done() const { return done_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t errors() const { return errors_; }
  const grpc::Status& status() const { return status_; }
  const std::string& first_error() const { return first_error_; }
  LatencyHistogram& latency() { return latency_; }

 protected:
  virtual void Work() = 0;

  const BrokerPtr broker_;
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> errors_{0};
  LatencyHistogram latency_;
  grpc::Status status_;
  std::string first_error_;

 private:
  Clock& clock_;
  MonotonicTime ended_at_;
  std::atomic<bool> finished_{false};
  std::thread thread_;
};

class PublishWorker : public Worker {
 public:
  PublishWorker(Session& session, BrokerPtr broker, const BenchPublishOptions& options,
                std::string stream, int64_t size)
      : Worker(session.client.clock(), std::move(broker)),
        session_(session),
        options_(options),
        stream_(std::move(stream)),
        size_(size) {}

 private:
  void Work() override;
  void Take(const AsyncPublisher::Answer& answer);

  Session& session_;
  const BenchPublishOptions& options_;
  const std::string stream_;
  const int64_t size_;
};

void PublishWorker::Take(const AsyncPublisher::Answer& answer) {
  if (answer.response.has_asyncerror()) {
    if (errors_++ == 0) first_error_ = answer.response.asyncerror().message();
    return;
  }
  latency_.Add(answer.latency);
  ++done_;
  bytes_ += static_cast<uint64_t>(size_);
}

void PublishWorker::Work() {
  AsyncPublisher publisher(broker_, session_.client.clock(),
                           {static_cast<uint64_t>(options_.window), session_.client.timeout()},
                           [this](const AsyncPublisher::Answer& answer) { Take(answer); });
  proto::PublishRequest request;
  request.set_stream(stream_);
  request.set_partition(options_.partition);
  request.set_ackpolicy(static_cast<proto::AckPolicy>(options_.ack));
  request.set_expectedoffset(-1);
  // Not all alike, so that compression along the way finds no more than in a text.
  std::string value(static_cast<size_t>(size_), '\0');
  for (size_t i = 0; i < value.size(); ++i)
    value[i] = static_cast<char>('a' + (i * i + i / 7) % 26);
  request.set_value(value);
  for (int64_t i = 0; i < options_.count && !session_.interrupt.raised() && errors_ == 0; ++i) {
    request.set_correlationid(std::to_string(i));
    const bool last = i + 1 == options_.count;
    if (!publisher.Send(request,
                        last ? AsyncPublisher::Next::kLater : AsyncPublisher::Next::kAtOnce))
      break;
    if (options_.ack != AckPolicy::kNone) continue;
    ++done_;
    bytes_ += static_cast<uint64_t>(size_);
  }
  status_ = publisher.Finish();
  errors_ += publisher.unanswered();
}

class ReplayWorker : public Worker {
 public:
  ReplayWorker(Session& session, PartitionLeader leader, const BenchReplayOptions& options)
      : Worker(session.client.clock(), leader.broker),
        session_(session),
        leader_(std::move(leader)),
        options_(options) {}

 private:
  void Work() override;

  Session& session_;
  const PartitionLeader leader_;
  const BenchReplayOptions& options_;
};

void ReplayWorker::Work() {
  proto::SubscribeRequest request;
  request.set_stream(leader_.stream.name());
  request.set_partition(options_.partition);
  request.set_startposition(proto::EARLIEST);
  request.set_stopposition(proto::STOP_LATEST);
  Clock& clock = session_.client.clock();
  const MonotonicTime begun = clock.Monotonic();
  MessageFeed feed(leader_.broker, request);
  const Interrupt::Handler handler(session_.interrupt, [&feed] { feed.Cancel(); });
  std::vector<proto::Message> batch;
  int64_t last = -1;
  for (;;) {
    const auto event = feed.Take(batch, session_.client.timeout());
    if (!batch.empty() && last < 0) latency_.Add(Between(begun, clock.Monotonic()));
    for (const proto::Message& message : batch) {
      if (message.offset() <= last && errors_++ == 0) {
        first_error_ = absl::StrCat("offset ", message.offset(), " came after ", last);
      }
      last = message.offset();
      ++done_;
      bytes_ += message.value().size();
      if (options_.count && done_ >= *options_.count) return;
    }
    if (event == MessageFeed::Event::kEnded) break;
    if (event == MessageFeed::Event::kIdle && !feed.established()) {
      status_ = {grpc::StatusCode::DEADLINE_EXCEEDED, ""};
      return;
    }
  }
  const std::string& text = feed.status().error_message();
  const bool complete = feed.status().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                        (text == "Stop offset reached" || text == "Stream is empty" ||
                         text == "End of readonly partition");
  if (!complete && !session_.interrupt.raised()) status_ = feed.status();
}

using Workers = std::vector<std::unique_ptr<Worker>>;

// Runs all to their end and adds them up.
BenchRow Measure(Session& session, Workers& workers, uint64_t expected, BenchRow row) {
  Clock& clock = session.client.clock();
  Progress progress(session.console, clock);
  // Keeps an interrupt from ending the process: the workers see it and stop.
  const Interrupt::Handler handler(session.interrupt, [] {});
  const MonotonicTime begun = clock.Monotonic();
  for (auto& worker : workers) worker->Start();
  const auto total = [&](auto counter) {
    uint64_t sum = 0;
    for (auto& worker : workers) sum += ((*worker).*counter)();
    return sum;
  };
  while (std::any_of(workers.begin(), workers.end(),
                     [](auto& worker) { return !worker->finished(); })) {
    if (!session.interrupt.Pause(kTick)) break;
    progress.Show(total(&Worker::done), expected, "messages", HumanBytes(total(&Worker::bytes)));
  }
  LatencyHistogram latency;
  MonotonicTime ended = begun;
  for (auto& worker : workers) {
    worker->Join();
    ended = std::max(ended, worker->ended_at());
    latency.Merge(worker->latency());
  }
  row.elapsed = Between(begun, ended);
  row.messages = total(&Worker::done);
  row.bytes = total(&Worker::bytes);
  row.errors = total(&Worker::errors);
  row.p50 = latency.Percentile(0.5);
  row.p99 = latency.Percentile(0.99);
  row.max = latency.max();
  row.interrupted = session.interrupt.raised();
  return row;
}

// The first thing that went wrong in a run, if any.
std::optional<Failure> Trouble(Session& session, const Workers& workers,
                               const std::vector<std::string>& streams, const std::string& doing) {
  for (size_t i = 0; i < workers.size(); ++i) {
    const std::string what = doing + " " + streams[i];
    if (!workers[i]->first_error().empty()) {
      return Failure{ExitCode::kRefused,
                     absl::StrCat("cannot ", what, ": ", workers[i]->first_error()), ""};
    }
    if (!workers[i]->status().ok() && !session.interrupt.raised()) {
      return session.client.Explain(workers[i]->status(), what, streams[i], workers[i]->broker());
    }
  }
  return std::nullopt;
}

// Makes what --create asks for; finds out early what is missing otherwise.
std::optional<Failure> Prepare(Session& session, const BenchPublishOptions& options) {
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return broker.failure();
  for (const std::string& stream : options.streams) {
    if (options.create) {
      v1::CreateStreamRequest request;
      request.set_name(stream);
      request.set_subject("bench." + stream);
      request.set_partitions(options.partition + 1);
      request.set_if_absent(true);
      v1::CreateStreamResponse response;
      auto context = session.client.NewContext();
      const grpc::Status status = (*broker)->own->CreateStream(context.get(), request, &response);
      if (!status.ok()) return session.client.Explain(status, "create stream " + stream);
    }
    Outcome<PartitionLeader> leader = session.client.FindLeader(stream, options.partition);
    if (leader.ok()) continue;
    Failure failure = leader.failure();
    if (failure.code == ExitCode::kNotFound) failure.hint += "; --create makes the streams";
    return failure;
  }
  return std::nullopt;
}

}  // namespace

ExitCode Run(Session& session, const BenchPublishOptions& options) {
  if (const auto failure = Prepare(session, options)) return Report(session.console, *failure);
  Outcome<BrokerPtr> broker = session.client.Connect();
  std::vector<BenchRow> rows;
  std::optional<Failure> trouble;
  for (const int64_t size : options.sizes) {
    Workers workers;
    for (const std::string& stream : options.streams) {
      workers.push_back(std::make_unique<PublishWorker>(session, *broker, options, stream, size));
    }
    BenchRow row;
    row.kind = "publish";
    row.streams = options.streams;
    row.size = size;
    row.window = options.window;
    row.ack = AckName(options.ack);
    rows.push_back(Measure(session, workers, static_cast<uint64_t>(options.count) * workers.size(),
                           std::move(row)));
    trouble = Trouble(session, workers, options.streams, "publish to");
    if (trouble || session.interrupt.raised()) break;
  }
  PrintBench(session.console.out, rows, session.json);
  return trouble ? Report(session.console, *trouble) : ExitCode::kOk;
}

ExitCode Run(Session& session, const BenchReplayOptions& options) {
  Workers workers;
  uint64_t expected = 0;
  for (const std::string& stream : options.streams) {
    Outcome<PartitionLeader> leader = session.client.FindLeader(stream, options.partition);
    if (!leader.ok()) return Report(session.console, leader.failure());
    const auto present = static_cast<uint64_t>(leader->partition.highwatermark() + 1);
    expected += options.count ? std::min(*options.count, present) : present;
    workers.push_back(std::make_unique<ReplayWorker>(session, std::move(*leader), options));
  }
  BenchRow row;
  row.kind = "replay";
  row.streams = options.streams;
  row = Measure(session, workers, expected, std::move(row));
  if (row.messages > 0) row.size = static_cast<int64_t>(row.bytes / row.messages);
  PrintBench(session.console.out, {row}, session.json);
  const auto trouble = Trouble(session, workers, options.streams, "replay");
  return trouble ? Report(session.console, *trouble) : ExitCode::kOk;
}

}  // namespace bascule::cli
