// The disk runs full: publishes are refused in words, reads go on, and it heals by itself.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using grpc::StatusCode;

// A file system that only this test fills: a tmpfs of its own when it may mount one, or else a
// folder in /dev/shm, where nobody else writes much.
class SmallDisk {
 public:
  SmallDisk() {
    mounted_ = mount("tmpfs", own_.path().c_str(), "tmpfs", 0, "size=96m") == 0;
    if (mounted_) return;
    std::string name = "/dev/shm/bascule-test-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) shared_ = name;
  }
  ~SmallDisk() {
    std::error_code ignored;
    if (!shared_.empty()) std::filesystem::remove_all(shared_, ignored);
    if (mounted_) umount2(own_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  std::string path() const { return mounted_ ? own_.path() : shared_; }
  uint64_t Free() const {
    struct statvfs space {};
    REQUIRE(statvfs(path().c_str(), &space) == 0);
    return space.f_bavail * space.f_frsize;
  }
  // Takes space until `left` is free, at most.
  void FillTo(uint64_t left) {
    const int file = open((path() + "/filling").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    REQUIRE(file >= 0);
    const uint64_t free = Free();
    struct stat now {};
    REQUIRE(fstat(file, &now) == 0);
    if (free > left) {
      (void)!posix_fallocate(file, now.st_size, static_cast<off_t>(free - left));
    }
    close(file);
  }
  void Empty() { std::filesystem::remove(path() + "/filling"); }

 private:
  TempDir own_;
  bool mounted_ = false;
  std::string shared_;
};

grpc::Status TryPublishDisk(MainBroker& broker, const std::string& value) {
  proto::PublishRequest request;
  request.set_stream("disk");
  request.set_value(value);
  proto::PublishResponse response;
  grpc::ClientContext context;
  Bound(context);
  return broker.api().Publish(&context, request, &response);
}

v1::Partition State(MainBroker& broker) { return broker.Describe("disk").partitions(0); }

TEST_CASE("at the reserve: refused in words, reads go on, heals, one gap record with the count") {
  SmallDisk disk;
  REQUIRE_FALSE(disk.path().empty());
  auto nats = StartNats();
  const uint64_t spare = std::min(32 * kMiB, disk.Free() / 3);
  const uint64_t reserve = disk.Free() - spare;
  MainBroker broker(nats->url(), {"--set", absl::StrCat("disk.reserve=", reserve)},
                    disk.path() + "/data");
  broker.Start();
  broker.CreateStream("disk", "disk.x");
  broker.CreateStream("pubacks", "disk.js", [](auto& r) {
    r.mutable_settings()->set_reply_acks(v1::REPLY_ACKS_JETSTREAM);
  });
  broker.Publish("disk", "before");
  BusClient bus(nats->url());
  bus.Listen("answers");
  for (uint64_t round = 1; round <= 2; ++round) {
    disk.FillTo(reserve - kMiB);
    BROKER_REQUIRE(broker, Eventually([&] { return !State(broker).degraded().empty(); }));
    CHECK(Has(State(broker).degraded(), "below the reserve"));
    CHECK(broker.Info().degraded_size() >= 1);
    const grpc::Status refused = TryPublishDisk(broker, "refused");
    CHECK(refused.error_code() != StatusCode::OK);
    CHECK(refused.error_code() != StatusCode::DEADLINE_EXCEEDED);
    bus.Publish("disk.js", "refused", "answers");
    const auto answer = bus.Take(kPatience);
    BROKER_REQUIRE(broker, answer.has_value());
    CHECK(Has(*answer, "\"error\""));
    for (int i = 0; i < 7; ++i) bus.Publish("disk.x", "nobody is told");
    bus.Flush();
    BROKER_CHECK(broker, Eventually([&] { return State(broker).messages_refused() == 8 * round; }));
    CHECK(broker.ReadAll("disk").size() == round);
    disk.Empty();
    BROKER_REQUIRE(broker, Eventually([&] { return State(broker).gap_records() == round; }));
    CHECK(State(broker).messages_in_gaps() == 7 * round);
    CHECK(State(broker).degraded().empty());
    broker.Publish("disk", "after");
    CHECK(broker.ReadAll("disk").size() == round + 1);
  }
  CHECK(broker.Describe("pubacks").partitions(0).gap_records() == 0);
  broker.Stop();
}

TEST_CASE("a disk that is really full: nothing acknowledged is lost, and it heals") {
  SmallDisk disk;
  if (!disk.mounted()) {
    MESSAGE("needs the right to mount a file system: not run");
    return;
  }
  auto nats = StartNats();
  MainBroker broker(nats->url(), {"--set", "disk.reserve=0"}, disk.path() + "/data");
  broker.Start();
  broker.CreateStream("disk", "disk.x",
                      [](auto& r) { r.mutable_settings()->set_segment_max_bytes(1024 * 1024); });
  std::vector<std::string> stored;
  const auto publish = [&](int number) {
    std::string value = std::to_string(number);
    value.resize(100'000, ' ');
    const grpc::Status status = TryPublishDisk(broker, value);
    if (status.ok()) stored.push_back(value);
    return status;
  };
  for (int round = 0; round < 2; ++round) {
    disk.FillTo(4 * kMiB);
    int number = 0;
    while (publish(number).ok()) REQUIRE_MESSAGE(++number < 200, "never full\n", broker.Tail());
    const grpc::Status refused = publish(999);
    BROKER_CHECK(broker, !refused.ok());
    BROKER_CHECK(broker, Values(broker.ReadAll("disk")) == stored);
    disk.Empty();
    BROKER_REQUIRE(broker, Eventually([&] { return publish(1000).ok(); }));
    broker.Kill();
    broker.Start();
    BROKER_CHECK(broker, Values(broker.ReadAll("disk")) == stored);
  }
}

TEST_CASE(
    "on a disk without a byte left a broker starts, and streams can be deleted: that makes room") {
  SmallDisk disk;
  if (!disk.mounted()) {
    MESSAGE("needs the right to mount a file system: not run");
    return;
  }
  auto nats = StartNats();
  MainBroker broker(nats->url(), {"--set", "disk.reserve=0"}, disk.path() + "/data");
  broker.Start();
  broker.CreateStream("disk", "disk.x");
  std::string value(500'000, 'x');
  for (int i = 0; i < 40; ++i) BROKER_REQUIRE(broker, TryPublishDisk(broker, value).ok());
  // Others give back a little while it is taken.
  BROKER_REQUIRE(broker, Eventually([&] {
                   disk.FillTo(0);
                   return disk.Free() < 256 * 1024;
                 }));
  const auto says_full = [&broker] {
    const auto info = broker.Info();
    return std::any_of(info.degraded().begin(), info.degraded().end(),
                       [](const std::string& sentence) { return Has(sentence, "nearly full"); });
  };
  const auto create = [&broker](const std::string& name) {
    v1::CreateStreamRequest request;
    request.set_name(name);
    request.set_subject(name);
    v1::CreateStreamResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
    return broker.own().CreateStream(&context, request, &response);
  };
  BROKER_REQUIRE(broker, Eventually(says_full));
  for (int round = 0; round < 2; ++round) {
    const grpc::Status refused = create("more");
    CHECK(refused.error_code() == StatusCode::UNAVAILABLE);
    CHECK_MESSAGE(Has(refused.error_message(), "nearly full"), refused.error_message());
    if (round == 0) {
      broker.Kill();
      broker.Start();
      BROKER_REQUIRE(broker, Eventually(says_full));
    }
  }
  proto::DeleteStreamRequest request;
  request.set_name("disk");
  proto::DeleteStreamResponse response;
  grpc::ClientContext context;
  Bound(context);
  const grpc::Status deleted = broker.api().DeleteStream(&context, request, &response);
  BROKER_CHECK(broker, deleted.ok());
  BROKER_REQUIRE(broker, Eventually([&] { return disk.Free() > 15 * kMiB; }));
  BROKER_REQUIRE(broker, Eventually([&] { return create("more").ok(); }));
  BROKER_CHECK(broker, Eventually([&] { return !says_full(); }));
  broker.Stop();
}

}  // namespace
}  // namespace bascule::main_job
