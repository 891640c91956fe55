// A NATS cluster whose servers go, politely and otherwise, beside one that records.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "tests/integration/nats_world.h"
#include "tests/support/side_thread.h"

namespace bascule {
namespace {

// Between the servers of a NATS cluster messages and interest travel for a moment: what was published through
// another server shortly before the gap may not have come, and shortly after it may not be sent yet.
constexpr int64_t kTravels = 1'000'000'000;

// Real servers that know each other.
class ServerCluster {
 public:
  explicit ServerCluster(int size) {
    std::vector<std::string> routes;
    for (int i = 0; i < size; ++i) {
      ports_.push_back(PickFreePort());
      routes.push_back(Concat("\"nats://127.0.0.1:", ports_.back(), "\""));
    }
    for (int i = 0; i < size; ++i) {
      NatsServerOptions options;
      options.config = Concat("server_name: n", i, "\ncluster { name: c, listen: \"127.0.0.1:",
                              ports_[static_cast<size_t>(i)], "\", routes: [");
      for (const std::string& route : routes) options.config += route + "\n";
      options.config += "] }\n";
      auto started = NatsServer::Start(options);
      REQUIRE_MESSAGE(started.ok(), started.status().ToString());
      servers_.push_back(*std::move(started));
    }
    for (int i = 0; i < size; ++i) AwaitOthers(i);
  }
  NatsServer& at(int i) { return *servers_[static_cast<size_t>(i)]; }
  int size() const { return static_cast<int>(servers_.size()); }
  std::vector<std::string> urls() const {
    std::vector<std::string> out;
    for (const auto& server : servers_) out.push_back(server->url());
    return out;
  }
  // Which one has this URL.
  int Find(const std::string& url) const {
    for (size_t i = 0; i < servers_.size(); ++i)
      if (servers_[i]->url() == url) return static_cast<int>(i);
    return -1;
  }
  // Until it names all others to its clients.
  void AwaitOthers(int i) {
    PlainClient client(at(i).url());
    REQUIRE(Eventually([&] {
      char** found = nullptr;
      int count = 0;
      natsConnection_GetServers(client.get(), &found, &count);
      for (int k = 0; k < count; ++k) free(found[k]);
      free(found);
      return count >= size();
    }));
  }

 private:
  std::vector<int> ports_;
  std::vector<std::unique_ptr<NatsServer>> servers_;
};

// Numbered messages through one server, and when each was handed to it.
class NumberingPublisher {
 public:
  NumberingPublisher(const std::string& url, std::string subject)
      : client_(url), subject_(std::move(subject)) {}
  void PublishOne() {
    const Timestamp before = RealClock().Wall();
    client_.Publish(subject_, Concat(sent_.size()));
    client_.Flush();
    sent_.push_back({before, RealClock().Wall()});
  }
  struct Span {
    Timestamp from, to;
  };
  const std::vector<Span>& sent() const { return sent_; }

 private:
  PlainClient client_;
  const std::string subject_;
  std::vector<Span> sent_;
};

// From the first message on that came through, what was heard is in order and once, and what is missing lies
// in a gap. How many are missing.
size_t CheckHeard(const NotingPartition& partition,
                  const std::vector<NumberingPublisher::Span>& sent) {
  std::vector<bool> heard(sent.size(), false);
  int64_t first = -1;
  int64_t last = -1;
  for (const Heard& message : partition.heard()) {
    int64_t number = -1;
    REQUIRE(absl::SimpleAtoi(ToAbsl(message.view().value.value_or("")), &number));
    CHECK(number > last);
    if (first < 0) first = number;
    last = number;
    REQUIRE(static_cast<size_t>(number) < heard.size());
    heard[static_cast<size_t>(number)] = true;
  }
  const std::vector<GapReport> gaps = partition.gaps();
  size_t missing = 0;
  REQUIRE(first >= 0);
  for (size_t i = static_cast<size_t>(first); i < sent.size(); ++i) {
    if (heard[i]) continue;
    ++missing;
    const bool covered = std::any_of(gaps.begin(), gaps.end(), [&](const GapReport& gap) {
      return sent[i].to + kTravels >= gap.from && sent[i].from <= gap.to + kTravels;
    });
    CHECK_MESSAGE(covered, "message ", i, " is missing, and no gap says so");
  }
  return missing;
}

TEST_CASE("nats cluster: a server that is about to end is left before it goes") {
  ServerCluster cluster(2);
  NatsWorld w;
  w.options.urls = {cluster.at(0).url()};  // the other one is learnt
  w.StartBus();
  auto feed = w.OpenAndListen("numbered");
  const auto count = [&](const char* name) { return w.bus->ReadCounters()[name]; };
  NumberingPublisher publisher(cluster.at(1).url(), "numbered");
  SideThread publishing([&](const std::atomic<bool>& stop) {
    while (!stop) publisher.PublishOne();
  });
  REQUIRE(w.Hears(100));
  cluster.at(0).EnterLameDuckMode();
  REQUIRE(Eventually([&] { return count("nats_ingest_moves") == 1; }));
  CHECK(Eventually([&] { return w.bus->server_url() == cluster.at(1).url(); }));
  const size_t before = w.partition.size();
  REQUIRE(w.Hears(before + 100));
  cluster.at(0).Kill();
  REQUIRE(w.Hears(before + 300));
  publishing.Stop();
  publisher.PublishOne();
  REQUIRE(Eventually([&] {
    return w.partition.heard().back().view().value == Concat(publisher.sent().size() - 1);
  }));
  CHECK(count("nats_ingest_disconnects") == 0);
  const size_t missing = CheckHeard(w.partition, publisher.sent());
  const std::vector<GapReport> gaps = w.partition.gaps();
  REQUIRE(gaps.size() == 1);
  MESSAGE("the move took ", (gaps[0].to - gaps[0].from) / 1e6, " ms, ", missing, " of ",
          publisher.sent().size(), " messages were missed in it");
  w.Close(std::move(feed));
}

TEST_CASE("nats cluster: servers are killed one after the other; what is missed lies in gaps") {
  const char* wanted = std::getenv("BASCULE_TEST_NATS_KILLS");
  int kills = 3;
  if (wanted != nullptr) REQUIRE(absl::SimpleAtoi(wanted, &kills));
  ServerCluster cluster(3);
  NatsWorld w;
  w.options.urls = cluster.urls();
  w.StartBus();
  auto feed = w.OpenAndListen("numbered");
  size_t published = 0;
  size_t missing = 0;
  for (int round = 0; round < kills; ++round) {
    // A partition of its own for each round, whose publisher's server lives on.
    NotingPartition partition;
    FeedOptions options;
    options.subject = Concat("round.", round);
    auto own = w.OpenAndListen(options, partition);
    const int present = cluster.Find(w.bus->server_url());
    REQUIRE(present >= 0);
    const bool own_server = round % 3 != 2;  // or one that nobody here uses
    const int other = (present + 1) % 3;
    const int victim = own_server ? present : (present + 2) % 3;
    NumberingPublisher publisher(cluster.at(other).url(), options.subject);
    SideThread publishing([&](const std::atomic<bool>& stop) {
      while (!stop) publisher.PublishOne();
    });
    REQUIRE(Eventually([&] { return partition.size() >= 50; }));
    cluster.at(victim).Kill();
    if (own_server) REQUIRE(Eventually([&] { return partition.gaps().size() == 1; }));
    const size_t before = partition.size();
    REQUIRE(Eventually([&] { return partition.size() >= before + 100; }));
    publishing.Stop();
    publisher.PublishOne();
    REQUIRE(Eventually([&] {
      return partition.heard().back().view().value == Concat(publisher.sent().size() - 1);
    }));
    published += publisher.sent().size();
    const size_t missed = CheckHeard(partition, publisher.sent());
    missing += missed;
    if (!own_server) {
      CHECK(missed == 0);
      CHECK(partition.gaps().empty());
    }
    w.Close(std::move(own));
    REQUIRE(cluster.at(victim).Restart().ok());
    for (int i = 0; i < cluster.size(); ++i) cluster.AwaitOthers(i);
    REQUIRE(Eventually([&] { return w.bus->connected(); }));
  }
  MESSAGE(kills, " servers killed: ", missing, " of ", published,
          " messages were missed, all of them in gaps");
  w.Close(std::move(feed));
}

}  // namespace
}  // namespace bascule
