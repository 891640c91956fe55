// Arbitrary bytes where brokers speak about metadata: commands, snapshots, requests, introductions
// and their answers. Everything is taken or refused, and what was taken is written again as it was
// read.
//
// Input: a byte (which of them), the bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "replication/meta/cluster/broker_registrar.h"
#include "replication/meta/cluster/cluster_messages.h"
#include "replication/meta/requests/meta_frontend.h"
#include "replication/meta/requests/meta_requests.h"
#include "tests/support/fake_metadata_log.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"
#include "tests/unit/meta_samples.h"

namespace {

using namespace bascule;  // NOLINT: a test program of one file

void Require(bool condition) {
  if (!condition) std::abort();
}

metadata::MetaTable SampleTable() {
  metadata::MetaTable table = metadata::TableWith({"b1", "b2"});
  table.Apply(MetadataIndex(3),
              metadata::EncodeCreateStream(metadata::SampleStream("s", 2, {"b1", "b2"})));
  return table;
}

void CheckRoundTrip(const metadata::MetaTable& table) {
  metadata::MetaTable again;
  Require(again.Restore(table.applied(), table.Snapshot()).ok());
  Require(again.Snapshot() == table.Snapshot());
  Require(metadata::Differences(table, again).empty());
}

void FuzzCommand(std::string_view bytes) {
  metadata::MetaTable table = SampleTable();
  table.Apply(MetadataIndex(4), bytes);
  CheckRoundTrip(table);
  table.Apply(MetadataIndex(5), metadata::EncodeFenceBrokers({{"b1", 1}, {"b2", 2}}));
  CheckRoundTrip(table);
}

void FuzzSnapshot(std::string_view bytes) {
  metadata::MetaTable table = SampleTable();
  const std::string before = table.Snapshot();
  if (!table.Restore(MetadataIndex(9), bytes).ok()) return Require(table.Snapshot() == before);
  CheckRoundTrip(table);
  table.Apply(table.applied() + 1, metadata::EncodeRegisterBroker(metadata::Broker("b1", 9)));
  table.Apply(table.applied() + 1, metadata::EncodeDeleteStream("s"));
  CheckRoundTrip(table);
}

class NoDeltas final : public DeltaSink {
 public:
  void OnDelta(const MetaDelta&, absl::AnyInvocable<void(absl::Status)> settled) override {
    settled(absl::OkStatus());
  }
};

// As a request of the broker "b2" to a leader.
void FuzzRequest(std::string_view bytes) {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& home = scheduler.NewExecutor("home");
  FakeMetadataGroup group(scheduler);
  const metadata::BrokerSelf self{"b1", PeerId(1), 42, "b1:9293", ""};
  metadata::MetaFrontend frontend(home, clock, nullptr, self);
  metadata::BrokerRegistrar registrar(home, frontend, self, /*alone=*/true);
  const auto log = group.Attach(PeerId(1), home, frontend.state());
  frontend.SetLog(*log);
  group.Elect(PeerId(1));
  NoDeltas sink;
  SimFileSystem disk(1);
  (void)disk.CreateDirectories("data");
  const auto record = metadata::RegistrationRecord::Open(disk, "data");
  registrar.Register(sink, **record, [](const absl::Status& status) { Require(status.ok()); });
  scheduler.RunFor(std::chrono::milliseconds(10));
  int answers = 0;
  frontend.peer_handler().OnPeerCall({PeerId(2), "b2", "b2:9293", 2, 1}, std::string(bytes),
                                     std::chrono::milliseconds(100),
                                     [&answers](const absl::StatusOr<std::string>&) { ++answers; });
  scheduler.RunFor(std::chrono::milliseconds(200));
  Require(answers == 1);
  CheckRoundTrip(frontend.table());
  scheduler.DropAll();
}

void FuzzMessages(std::string_view bytes) {
  if (const auto request = metadata::DecodeIntroRequest(bytes); request.ok()) {
    const std::string once = metadata::EncodeIntroRequest(*request);
    Require(metadata::EncodeIntroRequest(*metadata::DecodeIntroRequest(once)) == once);
  }
  if (const auto answer = metadata::DecodeIntroAnswer(bytes); answer.ok()) {
    const std::string once = metadata::EncodeIntroAnswer(*answer);
    Require(metadata::EncodeIntroAnswer(*metadata::DecodeIntroAnswer(once)) == once);
  }
  if (const auto status = metadata::DecodeClusterStatus(bytes); status.ok()) {
    const std::string once = metadata::EncodeClusterStatus(*status);
    Require(metadata::EncodeClusterStatus(*metadata::DecodeClusterStatus(once)) == once);
  }
  if (const auto session = metadata::DecodeHeartbeat(bytes); session.ok())
    Require(*metadata::DecodeHeartbeat(metadata::EncodeHeartbeat(*session)) == *session);
  const metadata::RequestOutcome outcome = metadata::DecodeResponse(std::string(bytes));
  Require(metadata::EncodeResponse(metadata::DecodeResponse(metadata::EncodeResponse(outcome))) ==
          metadata::EncodeResponse(outcome));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      FuzzCommand(bytes);
      break;
    case 1:
      FuzzSnapshot(bytes);
      break;
    case 2:
      FuzzRequest(bytes);
      break;
    default:
      FuzzMessages(bytes);
  }
  return 0;
}
