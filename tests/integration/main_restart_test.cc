// Starts, stops, and a NATS that is not there: what the broker remembers, refuses and reports.
#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/env/file_system.h"
#include "core/log/batch_scanner.h"
#include "core/log/segment_format.h"
#include "core/ports/ingress.h"
#include "tests/integration/crash_world.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using grpc::StatusCode;

// A nats-server's address where nobody listens yet.
std::unique_ptr<NatsServer> StoppedNats() {
  auto nats = StartNats();
  nats->Stop();
  return nats;
}

int64_t Now() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The gap records of a partition of one segment, from its file: no API shows their times.
std::vector<wire::GapRecord> GapsOnDisk(const std::string& directory) {
  std::vector<wire::GapRecord> gaps;
  const std::string path = JoinPath(directory, log::SegmentFileName(Offset(0)));
  auto file = RealFileSystem().Open(path, OpenMode::kRead);
  REQUIRE_MESSAGE(file.ok(), file.status().ToString());
  log::BatchScanner scanner(**file, FilePosition(log::kSegmentHeaderBytes),
                            FilePosition(*(*file)->Size()));
  while (*scanner.Next() == log::BatchScanner::Outcome::kBatch) {
    wire::RecordCursor cursor(scanner.payload());
    std::string_view record;
    while (scanner.header().control() && cursor.Next(record))
      REQUIRE(wire::ParseGapBody(record, gaps.emplace_back()));
  }
  return gaps;
}

v1::Partition Partition0(MainBroker& broker, const std::string& stream) {
  return broker.Describe(stream).partitions(0);
}

TEST_CASE("restarts keep streams, ids, creation times, settings and the server's id") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("first", "keep.first", [](auto& r) {
    r.set_partitions(2);
    r.mutable_settings()->set_retention_max_messages(1000);
    r.mutable_settings()->set_durability(v1::DURABILITY_OS);
  });
  broker.CreateStream("gone", "keep.gone");
  broker.CreateStream("second", "keep.second", [](auto& r) { r.set_group("g"); });
  broker.Publish("first", "a", 1);
  grpc::ClientContext context;
  Bound(context);
  proto::DeleteStreamRequest erase;
  erase.set_name("gone");
  proto::DeleteStreamResponse erased;
  BROKER_REQUIRE(broker, broker.api().DeleteStream(&context, erase, &erased).ok());
  const v1::Stream first = broker.Describe("first"), second = broker.Describe("second");
  const auto info = broker.Info();
  CHECK(info.server_id().size() >= 6);
  CHECK(info.server_id().size() <= 8);
  for (const bool killed : {false, true}) {
    CAPTURE(killed);
    killed ? broker.Kill() : broker.Stop();
    broker.Start();
    const v1::Stream now = broker.Describe("first");
    CHECK(now.id() == first.id());
    CHECK(now.created() == first.created());
    CHECK(now.subject() == first.subject());
    CHECK(now.partitions_size() == 2);
    CHECK(now.settings().SerializeAsString() == first.settings().SerializeAsString());
    CHECK(broker.Describe("second").id() == second.id());
    CHECK(broker.Describe("second").group() == "g");
    CHECK(broker.Info().server_id() == info.server_id());
    CHECK(broker.Info().incarnation() != info.incarnation());
    CHECK(broker.Info().streams() == 2);
    const auto kept = broker.ReadAll("first", 1);
    BROKER_REQUIRE(broker, !kept.empty());
    CHECK(kept[0].value() == "a");
  }
  broker.CreateStream("gone", "keep.gone");
  CHECK(broker.Describe("gone").id() > second.id());  // ids are never used again
  CHECK(broker.Describe("gone").partitions(0).newest_offset() == -1);
}

TEST_CASE("SIGTERM in the middle of a load: every record is acknowledged, nothing is torn") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  crash::CrashPublisher publisher(nats->url());
  broker.CreateStream(crash::kStream, crash::kSubject, [](auto& r) {
    r.mutable_settings()->set_reply_acks(v1::REPLY_ACKS_JETSTREAM);
    r.mutable_settings()->set_segment_max_bytes(256 * 1024);
  });
  for (int round = 0; round < 3; ++round) {
    BROKER_REQUIRE(broker, publisher.Probe());
    BROKER_REQUIRE(broker, publisher.Publish(3000, 500));
    broker.Stop();
    // Acks that were on the wire when it ended are with the publisher a moment later.
    size_t before = 0;
    Eventually([&] { return std::exchange(before, publisher.Acked().size()) == before; });
    const RunResult verdict = RunTool("bascule", {"log", "verify", broker.data()});
    CHECK_MESSAGE(verdict.exit.ok(), verdict.output, verdict.errors);
    CHECK_FALSE(Has(verdict.output, "torn"));
    broker.Start();
    for (const char* word : {"torn", "sealed", "scan", "DAMAGED"})
      CHECK_MESSAGE(!Has(broker.Log(), word), broker.Tail());
    auto recorded = crash::ReadAll(broker.address());
    REQUIRE_MESSAGE(recorded.ok(), recorded.status().ToString());
    for (const std::string& wrong : crash::Compare(publisher.Acked(), *recorded)) FAIL_CHECK(wrong);
    size_t unacked = 0;
    const auto acked = publisher.Acked();
    for (const crash::Recorded& record : *recorded)
      unacked += acked.contains(record.number) ? 0 : 1;
    BROKER_CHECK(broker, unacked == 0);
  }
  CHECK(publisher.Refused().empty());
}

TEST_CASE("a second broker on the same data, and a port in use, are refused in words") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("kept", "twice.kept");
  MainBroker twin(nats->url(), {}, broker.data());
  CHECK(twin.StartRefused().code == 1);
  BROKER_CHECK(twin, Has(twin.Log(), broker.data()));
  BROKER_CHECK(twin, Has(twin.Log(), "another process"));
  TempDir elsewhere;
  const RunResult same_port =
      RunTool("basculed", {"--listen", broker.address(), "--data-dir", elsewhere.Path("data"),
                           "--nats-servers", nats->url()});
  CHECK(same_port.exit.code == 1);
  CHECK_MESSAGE(Has(same_port.errors, "cannot listen on " + broker.address()), same_port.errors);
  CHECK(broker.Publish("kept", "undisturbed") == 0);
}

TEST_CASE("without NATS at the start it serves replays, and records once NATS comes") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("late", "late.x");
  broker.Publish("late", "before");
  const auto heard = broker.ReadAll("late");
  BROKER_REQUIRE(broker, heard.size() == 1);
  broker.Stop();
  nats->Stop();
  broker.Start();
  CHECK(Values(broker.ReadAll("late")) == std::vector<std::string>{"before"});
  auto info = broker.Info();
  CHECK_FALSE(info.nats_connected());
  REQUIRE(info.degraded_size() == 1);
  CHECK(Has(info.degraded(0), "not connected to NATS"));
  grpc::ClientContext context;
  Bound(context);
  proto::PublishRequest request;
  request.set_stream("late");
  proto::PublishResponse response;
  const grpc::Status refused = broker.api().Publish(&context, request, &response);
  CHECK(refused.error_code() == StatusCode::UNKNOWN);
  CHECK(Has(refused.error_message(), "failed to publish to NATS"));
  REQUIRE(nats->Restart().ok());
  BROKER_REQUIRE(broker, Eventually([&] { return Partition0(broker, "late").gap_records() == 1; }));
  BROKER_REQUIRE(broker, Eventually([&] { return broker.Info().nats_connected(); }));
  CHECK(broker.Publish("late", "after") == 2);
  const auto all = broker.ReadAll("late");
  BROKER_REQUIRE(broker, Values(all) == std::vector<std::string>{"before", "after"});
  CHECK(all[1].timestamp() > heard[0].timestamp());
  BROKER_CHECK(broker, Has(broker.Log(), "messages may be missing before offset 1"));
  CHECK(broker.Info().degraded_size() == 0);
}

TEST_CASE("a first start without NATS: a stream can be created, and records once NATS comes") {
  auto nats = StoppedNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("early", "early.x");
  CHECK(Partition0(broker, "early").newest_offset() == -1);
  REQUIRE(nats->Restart().ok());
  BROKER_REQUIRE(broker, Eventually([&] { return broker.Info().nats_connected(); }));
  BusClient bus(nats->url());
  BROKER_REQUIRE(broker, Eventually([&] {
                   bus.Publish("early.x", "knock");
                   bus.Flush();
                   return Partition0(broker, "early").newest_offset() >= 0;
                 }));
  // Appended is not yet committed.
  BROKER_REQUIRE(broker, Eventually([&] { return !broker.ReadAll("early").empty(); }));
  CHECK(Values(broker.ReadAll("early")).back() == "knock");
}

TEST_CASE("NATS restarted under a running broker: one gap record for each stream, recording on") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("one", "drop.one");
  broker.CreateStream("two", "drop.two");
  broker.Publish("one", "before");
  Subscriber reader(broker, Request("one", proto::NEW_ONLY, proto::STOP_ON_CANCEL));
  BROKER_REQUIRE(broker, reader.stands());
  const std::string directory = broker.PartitionDirectory("one");
  for (uint64_t outage = 1; outage <= 2; ++outage) {
    const int64_t begun = Now();
    nats->Kill();
    BROKER_REQUIRE(broker, Eventually([&] { return !broker.Info().nats_connected(); }));
    const int64_t ended = Now();
    REQUIRE(nats->Restart().ok());
    for (const char* stream : {"one", "two"}) {
      BROKER_REQUIRE(
          broker, Eventually([&] { return Partition0(broker, stream).gap_records() >= outage; }));
    }
    BROKER_REQUIRE(broker, Eventually([&] { return broker.Info().nats_connected(); }));
    const std::string value = absl::StrCat("after ", outage);
    broker.Publish("one", value);
    const auto message = reader.Next();
    BROKER_REQUIRE(broker, message.has_value());
    CHECK(message->value() == value);
    CHECK(Partition0(broker, "one").gap_records() == outage);
    CHECK(Partition0(broker, "two").gap_records() == outage);
    const auto gaps = GapsOnDisk(directory);
    REQUIRE(gaps.size() == outage);
    CHECK(gaps.back().from.value() <= begun);
    CHECK(gaps.back().from.value() > begun - std::chrono::nanoseconds(kPatience).count());
    CHECK(gaps.back().to.value() >= ended);
    CHECK(gaps.back().to.value() <= Now());
    CHECK(gaps.back().reason == static_cast<uint32_t>(GapReason::kDisconnected));
    CHECK(gaps.back().count == -1);
  }
}

TEST_CASE("declared streams are created once, and differences are told") {
  auto nats = StartNats();
  TempDir files;
  const auto config = [&](const std::string& text) {
    std::ofstream(files.Path("basculed.yaml"), std::ios::trunc) << text;
  };
  config(R"(streams:
  declare:
    - name: orders
      subject: orders.>
    - name: audit
      subject: audit.*
      group: recorders
      retention.max.age: 8760h
)");
  MainBroker broker(nats->url(), {"--config", files.Path("basculed.yaml")});
  broker.Start();
  CHECK(Has(broker.Log(), "created declared stream orders on orders.>"));
  CHECK(broker.Describe("audit").settings().retention_max_age_ms() == int64_t{8760} * 3600 * 1000);
  CHECK(broker.Describe("audit").group() == "recorders");
  const uint64_t id = broker.Describe("orders").id();
  broker.Stop();
  broker.Start();
  CHECK_FALSE(Has(broker.Log(), "created declared"));
  CHECK_FALSE(Has(broker.Log(), "differs"));
  broker.Stop();
  config(R"(streams:
  declare:
    - name: orders
      subject: other.>
      partitions: 1
)");
  broker.Start();
  BROKER_CHECK(broker, Has(broker.Log(), "streams.declare: orders exists and differs: subject"));
  CHECK(broker.Describe("orders").id() == id);
  CHECK(broker.Describe("orders").subject() == "orders.>");
  broker.Stop();
  config("streams:\n  declare:\n    - name: orders\n      subject: a..b\n");
  CHECK(broker.StartRefused().code != 0);
  BROKER_CHECK(broker, Has(broker.Log(), "basculed.yaml"));
}

}  // namespace
}  // namespace bascule::main_job
