#include "tests/integration/failover_world.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/support/unsynced_format.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::seconds;

constexpr std::chrono::milliseconds kPatienceForAck{15'000};
constexpr char kOrders[] = "orders";

int FailoverRate() {
  int rate = 2000;
  const char* text = std::getenv("BASCULE_TEST_FAILOVER_RATE");
  if (text != nullptr) REQUIRE(absl::SimpleAtoi(text, &rate));
  return rate;
}

// Debug lines tell who leads a partition and listens.
ClusterOptions FailoverCluster(const FailoverOptions& options) {
  ClusterOptions cluster;
  cluster.peers = true;
  cluster.args = options.args;
  cluster.args.insert(cluster.args.end(), {"--set", "logging.level=debug"});
  cluster.network = options.network;
  return cluster;
}

}  // namespace

FailoverWorld::FailoverWorld(const FailoverOptions& options)
    : options_(options), cluster_(FailoverCluster(options)) {
  for (int i = 0; options_.lossy && i < cluster_.size(); ++i) MakeLossy(i);
  cluster_.Start();
  at(0).CreateStream(kOrders, "orders.in", [](v1::CreateStreamRequest& request) {
    request.set_replication_factor(3);
    request.mutable_settings()->set_reply_acks(v1::REPLY_ACKS_JETSTREAM);
  });
  AwaitWhole();
  FailoverFlood::Options flood;
  flood.rate = FailoverRate();
  flood.insists = options_.insists;
  flood_.emplace(cluster_.nats().url(), "orders.in", flood);
  AwaitAck(Clock::now(), Clock::now());
  (void)flood_->TakeLongestGap();
}

bool FailoverWorld::TimeIsLeft(int seconds_by_default) const {
  return Clock::now() < begun_ + TestSeconds("BASCULE_TEST_FAILOVER_SECONDS", seconds_by_default);
}

int FailoverWorld::PartitionLeader() {
  std::string leader;
  const auto named = [&] {
    for (int i = 0; i < cluster_.size() && leader.empty(); ++i) {
      if (at(i).Running()) leader = LeaderOf(at(i), kOrders);
    }
    return !leader.empty();
  };
  CLUSTER_REQUIRE(cluster_, Eventually(named, kPatience));
  return leader.back() - '1';
}

bool FailoverWorld::Whole(int i) {
  const auto metadata = MetadataOf(at(i));
  if (!metadata) return false;
  for (const auto& stream : metadata->streammetadata()) {
    const auto partition = stream.partitions().find(0);
    if (stream.name() == kOrders && partition != stream.partitions().end())
      return partition->second.isr_size() == cluster_.size();
  }
  return false;
}

void FailoverWorld::AwaitWhole(Milliseconds limit) {
  CLUSTER_REQUIRE(cluster_, Eventually([&] { return Whole(0) && Whole(1) && Whole(2); }, limit));
}

void FailoverWorld::PlaceMetadataLeader(int broker, bool there) {
  const int target = there ? broker : (broker + 1) % cluster_.size();
  bool moved = false;
  const auto placed = [&] {
    const int leader = cluster_.Leader();
    if (leader < 0) return false;
    if ((leader == broker) == there) return true;
    v1::TransferLeadershipRequest request;
    request.set_server_id(IdOf(target));
    v1::TransferLeadershipResponse response;
    grpc::ClientContext context;
    Bound(context, seconds(5));
    (void)at(leader).own().TransferLeadership(&context, request, &response);
    moved = true;
    return false;
  };
  CLUSTER_REQUIRE(cluster_, Eventually(placed, kPatience));
  // What is measured is no election that the test has brought about itself.
  constexpr Milliseconds kSettled{500};
  const auto settled = Clock::now() + kSettled;
  if (moved) AwaitAck(settled, settled);
}

double FailoverWorld::AwaitAck(Clock::time_point blow, Clock::time_point since) {
  const auto acked = flood_->AckedAfter(since, kPatienceForAck);
  CLUSTER_REQUIRE(cluster_, acked.has_value());
  return std::chrono::duration<double, std::milli>(*acked - blow).count();
}

void FailoverWorld::LetFlow(int round) {
  const auto until = Clock::now() + Milliseconds(100 + round * 137 % 400);
  AwaitAck(until, until);
  // An ack comes when a burst is on the disks and the next is not sent: away from that.
  const auto blow = Clock::now() + std::chrono::microseconds(round * 377 % 2000);
  while (Clock::now() < blow) {
  }
}

void FailoverWorld::MakeLossy(int i) {
  const char* bin = std::getenv("BASCULE_BIN");
  REQUIRE(bin != nullptr);
  std::filesystem::create_directories(at(i).data());
  std::filesystem::create_directories(JournalOf(i));
  at(i).env() = {{"LD_PRELOAD", absl::StrCat(bin, "/libunsynced_loss.so")},
                 {UNSYNCED_ROOT, at(i).data()},
                 {UNSYNCED_JOURNAL, JournalOf(i)}};
  const auto& forgetful = options_.forgetful;
  if (std::find(forgetful.begin(), forgetful.end(), i) != forgetful.end())
    at(i).env().emplace_back(UNSYNCED_FORGET, "/streams/");
}

void FailoverWorld::Lose(int i) {
  const UnsyncedLoss loss = RecoverUnsynced(at(i).data(), JournalOf(i));
  lost_.changes += loss.changes;
  lost_.entries += loss.entries;
}

FailoverAccount FailoverWorld::Account(const FailoverFlood::Result& result) {
  AwaitWhole();
  FailoverAccount account(result.acked);
  main_job::Subscriber reader(at(PartitionLeader()),
                              main_job::Request(kOrders, proto::EARLIEST, proto::STOP_LATEST),
                              seconds(300));
  while (const auto message = reader.Next()) account.Take(message->offset(), message->value());
  CLUSTER_CHECK(cluster_, reader.status().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  return account;
}

FailoverFlood::Result FailoverWorld::Finish(const std::string& what) {
  FailoverFlood::Result result = flood_->Stop(kPatience);
  const FailoverAccount account = Account(result);
  for (const std::string& wrong : account.wrong()) FAIL_CHECK(wrong);
  const std::string undone =
      options_.lossy
          ? absl::StrCat("; unsynced changes undone ", lost_.changes, ", entries ", lost_.entries)
          : "";
  MESSAGE(what, ": sent ", result.sent, ", acked ", result.sent - result.unacked,
          ", refused or unknown ", result.refused, ", nobody listened ", result.unheard,
          ", sent again ", result.again, ", stored ", account.stored(), ", acked and lost ",
          account.Lost(), "; the test took ", static_cast<int>(result.cpu * 100),
          "% of a processor", undone);
  CLUSTER_CHECK(cluster_, account.Lost() == 0);
  CHECK(result.acked.size() >= 100);
  return result;
}

void CheckFailoverBars(const std::string& what, double median, double longest, double median_bar,
                       double longest_bar) {
  MESSAGE(what, ": p50 ", static_cast<int>(median), " of ", static_cast<int>(median_bar), ", max ",
          static_cast<int>(longest), " of ", static_cast<int>(longest_bar), " ms");
  if (std::getenv("BASCULE_TEST_FAILOVER_BARS") == nullptr) return;
  CHECK(median <= median_bar);
  CHECK(longest <= longest_bar);
}

}  // namespace bascule::cluster_job
