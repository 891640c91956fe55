// Hours of everything at once: honest publishers on a cluster whose brokers are killed, stopped and
// restarted, while clients do to it what clients must not. Outside the usual run: it starts when
// BASCULE_TEST_SOAK_SECONDS says for how long. At its end every acked message stands at the offset
// that its ack named, once.
#include <nats/nats.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nats_bridge/publish_envelope.h"
#include "tests/integration/cluster_load.h"
#include "tests/support/http2_client.h"
#include "tests/support/side_thread.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kSoakStreams = 6;
constexpr milliseconds kAttempt{3000};
constexpr seconds kBetweenFaults{10};
constexpr seconds kBetweenReports{60};
// Nothing is timed here, and the machine may be busy with other things for hours.
constexpr seconds kSoakPatience{300};

std::string StreamName(int i) { return absl::StrCat("soak", i); }

// Runs `step` again and again on a thread of its own until it goes.
class Loop {
 public:
  template <typename Step>
  explicit Loop(Step step)
      : thread_([step = std::move(step)](const std::atomic<bool>& stop) mutable {
          while (!stop) step();
        }) {}

 private:
  SideThread thread_;
};

// One message at a time to one stream, through one broker after the other, each with an ALL ack.
class SoakPublisher {
 public:
  SoakPublisher(Cluster& cluster, std::string stream) : stream_(std::move(stream)) {
    for (int b = 0; b < cluster.size(); ++b) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      brokers_.push_back(proto::API::NewStub(grpc::CreateCustomChannel(
          cluster.at(b).address(), grpc::InsecureChannelCredentials(), arguments)));
    }
  }

  void Step() {
    proto::PublishRequest request;
    request.set_stream(stream_);
    request.set_value(absl::StrCat(stream_, " ", number_++));
    request.set_ackpolicy(proto::ALL);
    proto::PublishResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kAttempt);
    const grpc::Status status =
        brokers_[next_ % brokers_.size()]->Publish(&context, request, &response);
    if (!status.ok()) {
      ++next_;
      ++refused_;
      (void)Eventually([] { return false; }, milliseconds(20));
      return;
    }
    if (response.ack().stream() != stream_ || response.ack().ackerror() != proto::Ack::OK) ++wrong_;
    // One offset for two acked messages is a lie at once, whatever the log says later.
    if (!acked_.emplace(response.ack().offset(), request.value()).second) ++wrong_;
    ++acks_;
  }

  const std::string& stream() const { return stream_; }
  const std::map<int64_t, std::string>& acked() const { return acked_; }  // once nobody steps
  uint64_t acks() const { return acks_; }
  uint64_t refused() const { return refused_; }
  uint64_t wrong() const { return wrong_; }

 private:
  const std::string stream_;
  std::vector<std::unique_ptr<proto::API::Stub>> brokers_;
  size_t next_ = 0;
  int64_t number_ = 0;
  std::map<int64_t, std::string> acked_;
  std::atomic<uint64_t> acks_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> wrong_{0};
};

int PortOf(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

// Streams that are opened and never ended, resets by the hundred, connections that say nothing.
class HttpAttack {
 public:
  explicit HttpAttack(Cluster& cluster) : random_(11) {
    for (int b = 0; b < cluster.size(); ++b) ports_.push_back(PortOf(cluster.at(b).address()));
  }

  void Step() {
    const int port = ports_[random_() % ports_.size()];
    Http2Client client(port);
    if (!client.connected() || !client.Greet()) {
      (void)Eventually([] { return false; }, milliseconds(100));
      return;
    }
    const bool reset = random_() % 2 == 0;
    for (uint32_t i = 0; i < 400; ++i) {
      const uint32_t stream = 2 * i + 1;
      if (!client.OpenCall(stream, "/proto.API/Publish")) break;
      if (reset &&
          !client.Send(http2::kReset, http2::kNone, stream, std::string_view("\0\0\0\x08", 4)))
        break;
    }
    (void)client.Flush();
    std::vector<Http2Client> idle;
    for (int i = 0; i < 50; ++i) idle.emplace_back(port);
    (void)client.AwaitClosed(500);
  }

 private:
  std::mt19937 random_;
  std::vector<int> ports_;
};

// Envelopes whose inboxes fit on no line of NATS, acks that no broker sent, subjects without end.
class BusAttack {
 public:
  explicit BusAttack(Cluster& cluster) : bus_(cluster.nats().url()) {}

  void Step() {
    const std::string stream = StreamName(0);
    const std::string inbox(5000, 'i');
    PublishMessage message;
    message.stream = stream;
    message.subject = "junk.soak";
    message.value = "x";
    message.ack_inbox = inbox;
    std::string envelope;
    nats::AppendPublishEnvelope(envelope, message);
    bus_.Publish("junk.soak", envelope);
    bus_.Publish("junk.soak", "reply", absl::StrCat("soak.", std::string(3000, 'r')));
    for (int i = 0; i < 20; ++i)
      bus_.Publish(absl::StrCat(kNamespace, ".ack.", i), std::string(40, '\x07'));
    bus_.Flush();
    (void)Eventually([] { return false; }, milliseconds(50));
  }

 private:
  main_job::BusClient bus_;
};

// What happens to one broker, and that it serves again afterwards.
void Disturb(Cluster& cluster, std::mt19937& random, std::map<std::string, int>& done) {
  MainBroker& broker = cluster.at(static_cast<int>(random() % 3));
  const auto served = [&] {
    broker.Launch();
    broker.AwaitServing(kSoakPatience);
  };
  switch (random() % 4) {
    case 0:
    case 1:
      broker.Kill();
      served();
      ++done["killed"];
      break;
    case 2:
      broker.Signal(SIGTERM);
      if (const auto exit = broker.AwaitEnd(kSoakPatience); !exit || !exit->ok())
        FAIL("SIGTERM did not end it well:\n", broker.Tail());
      served();
      ++done["restarted"];
      break;
    default:
      broker.Signal(SIGSTOP);
      (void)Eventually([] { return false; }, milliseconds(200 + random() % 4000));
      broker.Signal(SIGCONT);
      ++done["stood still"];
  }
  cluster.AwaitAllLive(kSoakPatience);
}

void CheckStream(Cluster& cluster, const SoakPublisher& publisher) {
  const std::string& stream = publisher.stream();
  std::string leader;
  CLUSTER_REQUIRE(cluster, Eventually(
                               [&] {
                                 leader = LeaderOf(cluster.at(0), stream);
                                 return !leader.empty();
                               },
                               kSoakPatience));
  int at = 0;
  while (IdOf(at) != leader) ++at;
  std::map<int64_t, std::string> stored;
  std::map<std::string, int> times;
  for (const proto::Message& message : cluster.at(at).ReadAll(stream)) {
    stored[message.offset()] = message.value();
    ++times[message.value()];
  }
  int lost = 0, wrong = 0, twice = 0;
  for (const auto& [offset, value] : publisher.acked()) {
    const auto here = stored.find(offset);
    if (here == stored.end()) {
      ++lost;
    } else if (here->second != value) {
      ++wrong;
    }
    if (times[value] > 1) ++twice;
  }
  MESSAGE(stream, ": ", publisher.acked().size(), " acked, ", stored.size(), " stored, ", lost,
          " lost, ", wrong + publisher.wrong(), " answered wrongly, ", twice, " stored twice");
  CLUSTER_CHECK(cluster, lost == 0);
  CLUSTER_CHECK(cluster, wrong + publisher.wrong() == 0);
  CHECK(twice == 0);
  CHECK(!publisher.acked().empty());
}

TEST_CASE("soak: kills and attacks together, and no ack was a lie" *
          doctest::skip(std::getenv("BASCULE_TEST_SOAK_SECONDS") == nullptr)) {
  Cluster cluster;
  cluster.Start();
  std::vector<std::unique_ptr<SoakPublisher>> publishers;
  for (int i = 0; i < kSoakStreams; ++i) {
    CLUSTER_REQUIRE(cluster, CreateStream(cluster.at(0).api(), StreamName(i), kPatience).ok());
    publishers.push_back(std::make_unique<SoakPublisher>(cluster, StreamName(i)));
  }
  std::mt19937 random(static_cast<unsigned>(TestSeconds("BASCULE_TEST_SOAK_SEED", 1).count()));
  std::map<std::string, int> done;
  {
    StreamLoad churn(cluster, {.clients = 2, .late_attempts = true});
    std::vector<std::unique_ptr<Loop>> loops;
    for (const auto& publisher : publishers)
      loops.push_back(std::make_unique<Loop>([&publisher] { publisher->Step(); }));
    loops.push_back(
        std::make_unique<Loop>([attack = HttpAttack(cluster)]() mutable { attack.Step(); }));
    const auto bus = std::make_shared<BusAttack>(cluster);
    loops.push_back(std::make_unique<Loop>([bus] { bus->Step(); }));
    const auto begun = TestClock::now();
    const auto end = begun + TestSeconds("BASCULE_TEST_SOAK_SECONDS", 0);
    for (auto report = begun + kBetweenReports; TestClock::now() < end;) {
      (void)Eventually([] { return false; }, kBetweenFaults);
      Disturb(cluster, random, done);
      if (TestClock::now() < report) continue;
      report = TestClock::now() + kBetweenReports;
      uint64_t acks = 0, refused = 0, wrong = 0;
      for (const auto& publisher : publishers) {
        acks += publisher->acks();
        refused += publisher->refused();
        wrong += publisher->wrong();
      }
      std::string line =
          absl::StrFormat("%d s: %d acked, %d refused or unanswered, %d answered wrongly;",
                          std::chrono::duration_cast<seconds>(TestClock::now() - begun).count(),
                          acks, refused, wrong);
      for (const auto& [what, times] : done) absl::StrAppend(&line, " ", times, " ", what);
      for (int b = 0; b < cluster.size(); ++b)
        absl::StrAppend(&line, b == 0 ? "; MiB " : "/", cluster.at(b).MemoryBytes("VmRSS") >> 20);
      std::fprintf(stderr, "%s\n", line.c_str());
    }
    churn.Stop();
    MESSAGE(churn.Summary());
  }
  cluster.AwaitAllLive(kSoakPatience);
  for (const auto& publisher : publishers) CheckStream(cluster, *publisher);
}

}  // namespace
}  // namespace bascule::cluster_job
