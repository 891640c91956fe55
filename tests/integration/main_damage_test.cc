// Files damaged between two starts: it says which, does not crash, and serves the rest.
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

namespace fs = std::filesystem;
using grpc::StatusCode;

constexpr int kMessages =
    43;  // ten fill a segment; the active one is not full, so nothing rolls it

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void Flip(const std::string& path, size_t at) {
  std::string bytes = ReadFile(path);
  REQUIRE(at < bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  WriteFile(path, bytes);
}

// A data directory of several sealed segments and an active one, stopped cleanly or killed; each
// test damages a copy of it.
class Damaged {
 public:
  explicit Damaged(bool killed = false) {
    MainBroker writer(nats->url());
    writer.Start();
    writer.CreateStream("hurt", "hurt.x",
                        [](auto& r) { r.mutable_settings()->set_segment_max_bytes(64 * 1024); });
    writer.CreateStream("whole", "whole.x");
    for (int i = 0; i < kMessages; ++i) {
      std::string value = std::to_string(i);
      value.resize(7000, ' ');
      REQUIRE(writer.Publish("hurt", value) == i);
    }
    writer.Publish("whole", "unhurt");
    const std::string folder = writer.PartitionDirectory("hurt");
    whole = writer.PartitionDirectory("whole").substr(writer.data().size());
    killed ? writer.Kill() : writer.Stop();
    fs::copy(writer.data(), data(), fs::copy_options::recursive);
    partition = data() + folder.substr(writer.data().size());
    for (const auto& entry : fs::directory_iterator(partition)) {
      if (entry.path().extension() == ".log") segments.insert(entry.path().string());
    }
    REQUIRE(segments.size() >= 3);
  }

  std::string data() const { return files.Path("data"); }
  std::string First() const { return *segments.begin(); }
  std::string Second() const { return *std::next(segments.begin()); }
  std::string Active() const { return *segments.rbegin(); }
  // The offset that a segment begins with, from its name.
  static int64_t Base(const std::string& segment) {
    return std::stoll(fs::path(segment).stem().string());
  }

  std::unique_ptr<NatsServer> nats = StartNats();
  TempDir files;
  std::string partition;
  std::string whole;  // below data(): the directory of the other stream
  std::set<std::string> segments;
};

void VerifyNames(const Damaged& world, const std::string& file) {
  const RunResult verdict = RunTool("bascule", {"log", "verify", world.data()});
  CHECK_MESSAGE(verdict.exit.code == 5, verdict.output, verdict.errors);
  CHECK_MESSAGE(Has(verdict.output + verdict.errors, fs::path(file).filename().string()),
                verdict.output, verdict.errors);
  CHECK_MESSAGE(Has(verdict.output, world.whole + ": sound"), verdict.output);
}

// Reads from `from` to the newest: the offsets that came, and the status at the end.
std::pair<std::vector<int64_t>, grpc::Status> ReadFrom(MainBroker& broker, int64_t from) {
  proto::SubscribeRequest request = Request("hurt", proto::OFFSET, proto::STOP_LATEST);
  request.set_startoffset(from);
  Subscriber subscriber(broker, request);
  std::vector<int64_t> offsets;
  for (const proto::Message& message : subscriber.Rest()) {
    CHECK(message.value().starts_with(std::to_string(message.offset()) + " "));
    offsets.push_back(message.offset());
  }
  return {offsets, subscriber.status()};
}

// Everything outside [from, to) can be read; inside, the end is DataLoss that names the file.
void CheckDamage(MainBroker& broker, int64_t from, int64_t to, const std::string& file) {
  const auto [before, status] = ReadFrom(broker, 0);
  BROKER_CHECK(broker, static_cast<int64_t>(before.size()) == from);
  BROKER_CHECK(broker, status.error_code() == StatusCode::DATA_LOSS);
  CHECK_MESSAGE(Has(status.error_message(), fs::path(file).filename().string()),
                status.error_message());
  const auto [after, end] = ReadFrom(broker, to);
  BROKER_CHECK(broker, static_cast<int64_t>(after.size()) == kMessages - to);
  BROKER_CHECK(broker, end.error_code() == StatusCode::RESOURCE_EXHAUSTED);
}

// The stream takes messages again, the other stream never noticed, and it stops cleanly.
void CheckGoesOn(MainBroker& broker) {
  CHECK(Values(broker.ReadAll("whole")) == std::vector<std::string>{"unhurt"});
  const int64_t offset = broker.Publish("hurt", absl::StrCat(kMessages, " and on"));
  BROKER_CHECK(broker, offset >= kMessages);
  Subscriber newest(broker, Request("hurt", proto::LATEST, proto::STOP_LATEST));
  const auto message = newest.Next();
  BROKER_REQUIRE(broker, message.has_value());
  CHECK(message->offset() == offset);
  broker.Stop();
}

void CheckAllThere(Damaged& world, const std::vector<std::string>& args = {}) {
  MainBroker broker(world.nats->url(), args, world.data());
  broker.Start();
  const auto [offsets, status] = ReadFrom(broker, 0);
  BROKER_CHECK(broker, offsets.size() == kMessages);
  BROKER_CHECK(broker, status.error_code() == StatusCode::RESOURCE_EXHAUSTED);
  BROKER_CHECK(broker, !Has(broker.Log(), "DAMAGED"));
  CheckGoesOn(broker);
}

TEST_CASE("a flipped bit in a sealed segment: found when read, named, and read around") {
  Damaged world;
  const int64_t from = Damaged::Base(world.Second());
  Flip(world.Second(), 64 + 300);  // in the first batch behind the header
  VerifyNames(world, world.Second());
  MainBroker broker(world.nats->url(), {}, world.data());
  broker.Start();
  CheckDamage(broker, from, from + 1, world.Second());
  CheckGoesOn(broker);
}

TEST_CASE("a sealed segment cut in half: what is left of it is served, the rest named") {
  Damaged world;
  const uint64_t half = fs::file_size(world.Second()) / 2;
  fs::resize_file(world.Second(), half);
  VerifyNames(world, world.Second());
  MainBroker broker(world.nats->url(), {}, world.data());
  broker.Start();
  BROKER_CHECK(broker, Has(broker.Log(), "DAMAGED"));
  BROKER_CHECK(broker, Has(broker.Log(), fs::path(world.Second()).filename().string()) ||
                           Has(broker.Log(), world.partition));
  const auto [before, status] = ReadFrom(broker, 0);
  BROKER_CHECK(broker, status.error_code() == StatusCode::DATA_LOSS);
  CHECK(static_cast<int64_t>(before.size()) > Damaged::Base(world.Second()));
  const int64_t next = Damaged::Base(*std::next(world.segments.begin(), 2));
  const auto [after, end] = ReadFrom(broker, next);
  BROKER_CHECK(broker, static_cast<int64_t>(after.size()) == kMessages - next);
  BROKER_CHECK(broker, !broker.Describe("hurt").partitions(0).degraded().empty());
  CheckGoesOn(broker);
}

TEST_CASE("a sealed segment that is gone: its offsets are named, the rest is served") {
  Damaged world;
  const int64_t from = Damaged::Base(world.Second());
  const int64_t to = Damaged::Base(*std::next(world.segments.begin(), 2));
  fs::remove(world.Second());
  const RunResult verdict = RunTool("bascule", {"log", "verify", world.data()});
  CHECK(verdict.exit.code == 5);
  CHECK(Has(verdict.output, absl::StrCat("offsets ", from, " to ", to - 1, " are missing")));
  MainBroker broker(world.nats->url(), {}, world.data());
  broker.Start();
  BROKER_CHECK(broker, Has(broker.Log(), absl::StrCat("offsets ", from, " to ", to - 1)));
  const auto [before, status] = ReadFrom(broker, 0);
  CHECK(static_cast<int64_t>(before.size()) == from);
  BROKER_CHECK(broker, status.error_code() == StatusCode::DATA_LOSS);
  const auto [after, end] = ReadFrom(broker, to);
  CHECK(static_cast<int64_t>(after.size()) == kMessages - to);
  CheckGoesOn(broker);
}

// From the earliest on: DATA_LOSS at once, over the API and for `bascule subscribe --from earliest`;
// the records that are lost are not counted; the state says so, after another start too.
void CheckBeginningLost(Damaged& world, int64_t to) {
  const RunResult verdict = RunTool("bascule", {"log", "verify", world.data()});
  CHECK(verdict.exit.code == 5);
  CHECK_MESSAGE(Has(verdict.output, absl::StrCat("offsets 0 to ", to - 1, " are missing")),
                verdict.output);
  for (int start = 0; start < 2; ++start) {
    CAPTURE(start);
    MainBroker broker(world.nats->url(), {}, world.data());
    broker.Start();
    BROKER_CHECK(broker, Has(broker.Log(), absl::StrCat("DAMAGED: offsets 0 to ", to - 1)));
    Subscriber earliest(broker, Request("hurt", proto::EARLIEST, proto::STOP_LATEST));
    CHECK(earliest.Rest().empty());
    BROKER_CHECK(broker, earliest.status().error_code() == StatusCode::DATA_LOSS);
    const RunResult replay = RunTool("bascule", {"--server", broker.address(), "subscribe", "hurt",
                                                 "--from", "earliest", "--until", "latest"});
    CHECK_MESSAGE(replay.exit.code == 5, replay.output, replay.errors);
    const auto partition = broker.Describe("hurt").partitions(0);
    CHECK(partition.oldest_offset() == 0);
    CHECK(partition.lost_records() == static_cast<uint64_t>(to));
    CHECK(Has(partition.degraded(), absl::StrCat("offsets 0 to ", to - 1, " are lost")));
    const auto [after, end] = ReadFrom(broker, to);
    if (to < kMessages) CHECK(static_cast<int64_t>(after.size()) >= kMessages - to);
    if (start == 0) broker.Stop();
    if (start == 1) CheckGoesOn(broker);
  }
}

TEST_CASE(
    "the first segments are gone, or all but the active one: a lost beginning, at every start") {
  for (const bool all : {false, true}) {
    CAPTURE(all);
    Damaged world;
    const std::string left = all ? world.Active() : world.Second();
    for (const std::string& segment : world.segments) {
      if (segment < left) fs::remove(segment);
    }
    CheckBeginningLost(world, Damaged::Base(left));
  }
}

TEST_CASE("every segment is gone, or their directory: all is lost, and no offset is given again") {
  for (const bool directory : {false, true}) {
    CAPTURE(directory);
    Damaged world;
    for (const std::string& segment : world.segments) fs::remove(segment);
    if (directory) fs::remove_all(world.partition);
    CheckBeginningLost(world, kMessages);
  }
}

TEST_CASE("what the message says works: a file that is given back from a copy heals the log") {
  Damaged world;
  const std::string aside = world.files.Path("aside");
  fs::rename(world.First(), aside);
  {
    MainBroker broker(world.nats->url(), {}, world.data());
    broker.Start();
    const auto [before, status] = ReadFrom(broker, 0);
    CHECK(Has(status.error_message(), "restore the file from a copy and restart the broker"));
    broker.Stop();
  }
  fs::rename(aside, world.First());
  const RunResult verdict = RunTool("bascule", {"log", "verify", world.data()});
  CHECK_MESSAGE(verdict.exit.code == 0, verdict.output, verdict.errors);
  MainBroker broker(world.nats->url(), {}, world.data());
  broker.Start();
  BROKER_CHECK(broker, !Has(broker.Log(), "DAMAGED"));
  const auto [offsets, status] = ReadFrom(broker, 0);
  BROKER_CHECK(broker, offsets.size() >= kMessages);
  broker.Stop();
}

TEST_CASE("a directory removed under a running broker: no ack, and it says which") {
  Damaged world;
  MainBroker broker(world.nats->url(), {}, world.data());
  broker.Start();
  fs::remove_all(world.partition);
  int64_t offset = -1;
  REQUIRE(Eventually([&] {
    // What was published into the removed file is not acknowledged.
    proto::PublishRequest request;
    request.set_stream("hurt");
    request.set_value("x");
    request.set_ackpolicy(proto::ALL);
    proto::PublishResponse response;
    grpc::ClientContext context;
    Bound(context, std::chrono::seconds(2));
    const grpc::Status status = broker.api().Publish(&context, request, &response);
    if (status.ok()) offset = response.ack().offset();
    return status.ok();
  }));
  CHECK(offset >= kMessages);
  BROKER_CHECK(broker,
               Has(broker.Log(), world.partition + " was changed under the running broker"));
  CHECK(broker.Describe("hurt").partitions(0).lost_records() >= uint64_t{kMessages});
  CHECK(RunTool("bascule", {"log", "verify", world.data()}).exit.code == 5);
  broker.Stop();
}

TEST_CASE("a damaged footer or header of a sealed segment: named; messages are read all the same") {
  for (const bool footer : {true, false}) {
    CAPTURE(footer);
    Damaged world;
    const uint64_t size = fs::file_size(world.Second());
    Flip(world.Second(), footer ? size - 30 : 20);
    VerifyNames(world, world.Second());
    MainBroker broker(world.nats->url(), {}, world.data());
    broker.Start();
    const auto [offsets, status] = ReadFrom(broker, 0);
    BROKER_CHECK(broker, offsets.size() == kMessages);
    CheckGoesOn(broker);
  }
}

TEST_CASE("a flipped bit in the active segment, before what was durable: named, not cut away") {
  for (const bool killed : {false, true}) {
    CAPTURE(killed);
    Damaged world(killed);
    const int64_t from = Damaged::Base(world.Active());
    REQUIRE(from < kMessages - 1);
    Flip(world.Active(), 64 + 300);
    VerifyNames(world, world.Active());
    MainBroker broker(world.nats->url(), {}, world.data());
    broker.Start();
    CheckDamage(broker, from, from + 1, world.Active());
    CheckGoesOn(broker);
  }
}

TEST_CASE("an active segment that was cut short: the lost offsets are named, none is given again") {
  Damaged world;
  const int64_t from = Damaged::Base(world.Active());
  fs::resize_file(world.Active(), 64 + 200);
  MainBroker broker(world.nats->url(), {}, world.data());
  broker.Start();
  BROKER_CHECK(broker, Has(broker.Log(), absl::StrCat("offsets ", from, " to ", kMessages - 1)));
  const auto [before, status] = ReadFrom(broker, 0);
  CHECK(static_cast<int64_t>(before.size()) == from);
  BROKER_CHECK(broker, status.error_code() == StatusCode::DATA_LOSS);
  CheckGoesOn(broker);
}

TEST_CASE("index files are hints: damaged, cut, or gone, everything is read") {
  for (const char* how : {"flip", "cut", "gone", "rubbish"}) {
    CAPTURE(how);
    Damaged world;
    for (const auto& entry : fs::directory_iterator(world.partition)) {
      const std::string path = entry.path().string();
      if (entry.path().extension() != ".idx") continue;
      if (*how == 'f' && fs::file_size(path) > 0) Flip(path, fs::file_size(path) / 2);
      if (*how == 'c') fs::resize_file(path, fs::file_size(path) / 2 + 1);
      if (*how == 'g') fs::remove(path);
      if (*how == 'r') WriteFile(path, std::string(4000, '\xa5'));
    }
    CheckAllThere(world);
  }
}

TEST_CASE("recovery.points damaged, cut, empty or gone: said, and everything is read") {
  for (const char* how : {"flip", "cut", "empty", "gone"}) {
    CAPTURE(how);
    Damaged world;
    const std::string path = world.data() + "/recovery.points";
    if (*how == 'f') Flip(path, 30);
    if (*how == 'c') fs::resize_file(path, fs::file_size(path) / 2);
    if (*how == 'e') fs::resize_file(path, 0);
    if (*how == 'g') fs::remove(path);
    if (*how != 'g') {
      MainBroker broker(world.nats->url(), {}, world.data());
      broker.Start();
      BROKER_CHECK(broker, Has(broker.Log(), "recovery.points: "));
      broker.Stop();
    }
    CheckAllThere(world);
  }
}

// That it refuses to start, and names `file`.
void CheckRefused(Damaged& world, const std::string& file, const std::string& what) {
  MainBroker broker(world.nats->url(), {}, world.data());
  CHECK(broker.StartRefused().code == 1);
  BROKER_CHECK(broker, Has(broker.Log(), file + what));
  BROKER_CHECK(broker, Has(broker.Log(), "damaged"));
  BROKER_CHECK(broker, Has(broker.Log(), "backup"));
  CHECK(fs::exists(world.Second()));  // no stream goes because metadata looked damaged
}

// The newest file of a kind in data/meta.
std::string NewestOf(const Damaged& world, const std::string& kind) {
  std::string newest;
  for (const auto& entry : fs::directory_iterator(world.data() + "/meta")) {
    const std::string path = entry.path();
    if (entry.path().filename().string().starts_with(kind)) newest = std::max(newest, path);
  }
  REQUIRE_FALSE(newest.empty());
  return newest;
}

TEST_CASE("metadata: a torn tail is cut, other damage refuses the start") {
  Damaged world;
  const std::string log = NewestOf(world, "log-");
  const std::string sound = ReadFile(log);
  const size_t end = sound.find_last_not_of('\0') + 1;
  constexpr size_t kInTheFirstRecord = 150;
  REQUIRE(end > kInTheFirstRecord);
  Flip(log, kInTheFirstRecord);
  CheckRefused(world, log, "");
  Flip(log, kInTheFirstRecord);
  std::string torn = sound;
  torn.replace(end, 20, sound.substr(end - 20, 20));
  WriteFile(log, torn);
  CheckAllThere(world);
  const std::string snapshot = NewestOf(world, "snapshot-");
  Flip(snapshot, 40);
  CheckRefused(world, snapshot, "");
  fs::resize_file(snapshot, 10);
  CheckRefused(world, snapshot, "");
}

TEST_CASE("metadata: one bad copy of term and vote is healed from the other") {
  Damaged world;
  Flip(world.data() + "/meta/hardstate", 20);
  CheckAllThere(world);
}

TEST_CASE("damaged identity and version files are named, and refuse the start") {
  Damaged world;
  const std::string identity = ReadFile(world.data() + "/server");
  const std::string id = identity.substr(0, identity.find(' '));
  for (const char* name : {"server", "VERSION"}) {
    CAPTURE(name);
    const std::string path = absl::StrCat(world.data(), "/", name);
    const std::string sound = ReadFile(path);
    for (const std::string& wrong : {std::string(), std::string("\xff\0rubbish", 9)}) {
      WriteFile(path, wrong);
      MainBroker broker(world.nats->url(), {}, world.data());
      CHECK(broker.StartRefused().code == 1);
      BROKER_CHECK(broker, Has(broker.Log(), path + " is damaged"));
    }
    WriteFile(path, sound);
  }
  // The remedies that were named.
  WriteFile(world.data() + "/VERSION", "1");
  fs::remove(world.data() + "/server");
  {
    MainBroker broker(world.nats->url(), {}, world.data());
    CHECK(broker.StartRefused().code == 1);
    BROKER_CHECK(broker, Has(broker.Log(), "is missing although the directory holds data"));
    BROKER_CHECK(broker, Has(broker.Log(), "start once with --id ID"));
  }
  CheckAllThere(world, {"--id", id});
  WriteFile(world.data() + "/VERSION", "2\n");
  MainBroker broker(world.nats->url(), {}, world.data());
  CHECK(broker.StartRefused().code == 1);
  BROKER_CHECK(broker, Has(broker.Log(), "has format 2"));
}

}  // namespace
}  // namespace bascule::main_job
