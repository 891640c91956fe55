// What a cluster costs: at rest, and with very many streams. Off unless asked for; the figures are
// printed, and little is asserted.
//   BASCULE_TEST_CLUSTER_IDLE=<seconds>   five brokers at rest
//   BASCULE_TEST_CLUSTER_SCALE=<streams>  so many streams on three brokers (50000)
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/integration/cluster_load.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// User and system time of the process so far.
double CpuSeconds(MainBroker& broker) {
  std::ifstream file(absl::StrCat("/proc/", broker.pid(), "/stat"));
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  // After "pid (name) state" there are only numbers; utime and stime are the 14th and 15th field.
  const std::vector<std::string> fields =
      absl::StrSplit(all.substr(all.rfind(')') + 2), ' ', absl::SkipEmpty());
  double ticks = 0;
  for (const size_t field : {11, 12}) ticks += std::stod(fields.at(field));
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// What went over the connections to this broker's peer port, both ways, TLS and all, so far.
uint64_t PeerBytes(const std::string& peer_address) {
  const std::string port = peer_address.substr(peer_address.rfind(':') + 1);
  const RunResult sockets = [&] {
    ChildOptions options;
    options.program = "ss";
    options.args = {"-tinH", absl::StrCat("( sport = :", port, " )")};
    auto run = RunProgram(options);
    REQUIRE_MESSAGE(run.ok(), run.status().ToString());
    return *std::move(run);
  }();
  uint64_t bytes = 0;
  for (const auto word : absl::StrSplit(sockets.output, ' ', absl::SkipEmpty())) {
    for (const absl::string_view key : {"bytes_sent:", "bytes_received:"}) {
      uint64_t value = 0;
      if (word.substr(0, key.size()) == key && absl::SimpleAtoi(word.substr(key.size()), &value))
        bytes += value;
    }
  }
  return bytes;
}

TEST_CASE("cluster: the cost of five brokers at rest") {
  const seconds time = TestSeconds("BASCULE_TEST_CLUSTER_IDLE", 0);
  if (time.count() == 0) {
    MESSAGE("skipped: BASCULE_TEST_CLUSTER_IDLE=60 measures");
    return;
  }
  Cluster cluster({.brokers = 5, .tls = true});
  cluster.Start();
  const int leader = cluster.AwaitLeader();
  std::vector<double> cpu;
  std::vector<uint64_t> bytes;
  const auto begun = TestClock::now();
  for (int i = 0; i < cluster.size(); ++i) {
    cpu.push_back(CpuSeconds(cluster.at(i)));
    bytes.push_back(PeerBytes(cluster.PeerAddress(i)));
  }
  (void)Eventually([] { return false; }, time);
  const double took = Seconds(begun);
  uint64_t all = 0;
  for (int i = 0; i < cluster.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const uint64_t moved = PeerBytes(cluster.PeerAddress(i)) - bytes[at];
    all += moved;
    MESSAGE(IdOf(i), std::string(i == leader ? " (leader)" : ""),
            absl::StrFormat(": %.2f CPU seconds a minute, %.0f bytes/s on the connections to it, "
                            "%d MiB resident",
                            (CpuSeconds(cluster.at(i)) - cpu[at]) * 60 / took,
                            static_cast<double>(moved) / took,
                            cluster.at(i).MemoryBytes("VmRSS") / kMiB));
  }
  MESSAGE(absl::StrFormat("all connections: %.0f bytes/s", static_cast<double>(all) / took));
}

// `count` streams from `first` on, asked for together, through all brokers.
void CreateSome(Cluster& cluster, int first, int count) {
  struct Call {
    grpc::ClientContext context;
    proto::CreateStreamResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<proto::CreateStreamResponse>> reader;
  };
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = first; i < first + count; ++i) {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    Bound(call.context);
    proto::CreateStreamRequest request;
    request.set_name(absl::StrCat("stream-", i));
    request.set_subject(absl::StrCat("many.", i));
    call.reader = cluster.at(i % 3).api().AsyncCreateStream(&call.context, request, &queue);
    call.reader->Finish(&call.response, &call.status, nullptr);
  }
  void* tag = nullptr;
  bool ok = false;
  for (int i = 0; i < count; ++i) REQUIRE(queue.Next(&tag, &ok));
  for (const auto& call : calls)
    REQUIRE_MESSAGE(call->status.ok(), call->status.error_message(), "\n", cluster.Tail());
}

void PrintMetaFiles(MainBroker& broker) {
  for (const auto& entry : std::filesystem::directory_iterator(broker.data() + "/meta")) {
    MESSAGE(entry.path().filename().string(), " ", std::filesystem::file_size(entry.path()) / 1024,
            " KiB");
  }
}

TEST_CASE("cluster: very many streams") {
  const auto streams = static_cast<int>(TestSeconds("BASCULE_TEST_CLUSTER_SCALE", 0).count());
  if (streams == 0) {
    MESSAGE("skipped: BASCULE_TEST_CLUSTER_SCALE=50000 measures");
    return;
  }
  constexpr int kAtOnce = 128;
  Cluster cluster;
  cluster.Start();
  auto begun = TestClock::now();
  for (int first = 0; first < streams; first += kAtOnce) {
    CreateSome(cluster, first, std::min(kAtOnce, streams - first));
    if (first / 5000 != (first + kAtOnce) / 5000)
      MESSAGE(absl::StrCat(first + kAtOnce), " streams after ", Seconds(begun), " s");
  }
  MESSAGE(absl::StrFormat("%d streams created, %d at a time: %.0f a second", streams, kAtOnce,
                          streams / Seconds(begun)));
  const int leader = cluster.AwaitLeader();
  for (int i = 0; i < 3; ++i) {
    MESSAGE(IdOf(i), std::string(i == leader ? " (leader)" : ""), ": ",
            cluster.at(i).MemoryBytes("VmRSS") / kMiB, " MiB resident");
  }
  PrintMetaFiles(cluster.at(leader));
  // A new broker gets all of it.
  begun = TestClock::now();
  MainBroker& joined = cluster.Add();
  joined.Launch();
  joined.AwaitServing(seconds(120));
  MESSAGE("a fourth broker serves ", Seconds(begun), " s after its start, with ",
          joined.MemoryBytes("VmRSS") / kMiB, " MiB resident");
  cluster.AwaitAllVote(seconds(60));
  MESSAGE("and votes after ", Seconds(begun), " s");
  // The leader dies.
  begun = TestClock::now();
  cluster.at(leader).Kill();
  int tries = 0;
  CLUSTER_CHECK(cluster, Eventually([&] {
                  const int to = (leader + 1) % 3;
                  return CreateStream(cluster.at(to).api(), absl::StrCat("late-", tries++),
                                      milliseconds(500))
                      .ok();
                }));
  MESSAGE("next create accepted ", Seconds(begun), " s after the leader was killed");
  begun = TestClock::now();
  cluster.at(leader).Launch();
  cluster.at(leader).AwaitServing(seconds(300));
  MESSAGE("the killed broker serves again after ", Seconds(begun), " s");
  cluster.AwaitAllLive(seconds(60));
}

}  // namespace
}  // namespace bascule::cluster_job
