// Many streams on one broker, and a subscriber that does not keep up. Times and memory are printed;
// the bounds asserted are far above them.
#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using std::chrono::steady_clock;

constexpr int kStreams = 1000;
constexpr int kAtOnce = 50;
proto::FetchMetadataResponse FetchMetadata(MainBroker& broker) {
  proto::FetchMetadataResponse response;
  grpc::ClientContext context;
  Bound(context);
  const grpc::Status status = broker.api().FetchMetadata(&context, {}, &response);
  REQUIRE_MESSAGE(status.ok(), status.error_message(), broker.Tail());
  return response;
}

// kAtOnce streams from number `first` on, asked for together.
void CreateSome(MainBroker& broker, int first) {
  struct Call {
    grpc::ClientContext context;
    v1::CreateStreamResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::CreateStreamResponse>> reader;
  };
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = first; i < first + kAtOnce; ++i) {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    Bound(call.context);
    v1::CreateStreamRequest request;
    request.set_name(absl::StrCat("stream-", i));
    request.set_subject(absl::StrCat("many.", i));
    call.reader = broker.own().AsyncCreateStream(&call.context, request, &queue);
    call.reader->Finish(&call.response, &call.status, nullptr);
  }
  void* tag = nullptr;
  bool ok = false;
  for (int i = 0; i < kAtOnce; ++i) REQUIRE(queue.Next(&tag, &ok));
  for (const auto& call : calls)
    REQUIRE_MESSAGE(call->status.ok(), call->status.error_message(), "\n", broker.Tail());
}

TEST_CASE("1,000 streams: created, written, killed, served again, metadata under 4 MiB") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  auto begun = steady_clock::now();
  for (int first = 0; first < kStreams; first += kAtOnce) CreateSome(broker, first);
  MESSAGE("created ", kAtOnce, " at a time in ", Seconds(begun), " s");
  BusClient bus(nats->url());
  for (int i = 0; i < kStreams; ++i) bus.Publish(absl::StrCat("many.", i), std::to_string(i));
  bus.Flush();
  BROKER_REQUIRE(broker, Eventually([&] {
                   const auto metadata = FetchMetadata(broker);
                   int written = 0;
                   for (const auto& stream : metadata.streammetadata())
                     written += stream.partitions().at(0).highwatermark() == 0 ? 1 : 0;
                   return written == kStreams;
                 }));
  MESSAGE("resident: ", broker.MemoryBytes("VmRSS") / kMiB, " MiB");
  broker.Kill();
  begun = steady_clock::now();
  broker.Start();
  MESSAGE("serves ", Seconds(begun), " s after a kill");
  const auto metadata = FetchMetadata(broker);
  CHECK(metadata.streammetadata_size() == kStreams);
  CHECK(metadata.ByteSizeLong() < 4 * kMiB);
  MESSAGE("metadata: ", metadata.ByteSizeLong(),
          " bytes; resident: ", broker.MemoryBytes("VmRSS") / kMiB, " MiB");
  for (int i = 0; i < kStreams; i += 37) {
    const auto messages = broker.ReadAll(absl::StrCat("stream-", i));
    BROKER_REQUIRE(broker, messages.size() == 1);
    CHECK(messages[0].value() == std::to_string(i));
  }
  begun = steady_clock::now();
  broker.Stop();
  MESSAGE("stopped in ", Seconds(begun), " s");
  begun = steady_clock::now();
  broker.Start();
  MESSAGE("serves ", Seconds(begun), " s after a clean stop");
}

TEST_CASE("a subscriber that does not read costs the broker no memory while a load runs") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("load", "slow.load");
  const std::vector<std::string> values(2000, std::string(32 * 1024, 'x'));
  broker.PublishMany("load", values, 64);  // buffers, caches and pools reach their size
  const uint64_t before = broker.MemoryBytes("VmRSS");
  std::vector<std::unique_ptr<Subscriber>> slow;
  for (int i = 0; i < 5; ++i) {
    slow.push_back(std::make_unique<Subscriber>(
        broker, Request("load", proto::EARLIEST, proto::STOP_ON_CANCEL),
        std::chrono::seconds(100)));
    BROKER_REQUIRE(broker, slow.back()->stands());
    BROKER_REQUIRE(broker, slow.back()->Next().has_value());
  }
  for (int i = 0; i < 2; ++i) broker.PublishMany("load", values, 64);
  const uint64_t after = broker.MemoryBytes("VmRSS");
  MESSAGE("resident before ", before / kMiB, " MiB, with 5 subscribers that lag by 125 MiB ",
          after / kMiB, " MiB");
  CHECK(after < before + 64 * kMiB);
  // It is all there for them.
  for (int64_t offset = 1; offset < 6000; ++offset) {
    const auto message = slow[0]->Next();
    BROKER_REQUIRE(broker, message.has_value());
    REQUIRE(message->offset() == offset);
  }
}

}  // namespace
}  // namespace bascule::main_job
