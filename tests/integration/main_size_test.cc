// Message sizes: the limit, just below and above it, several MiB, and a NATS that takes less.
#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using grpc::StatusCode;

std::unique_ptr<NatsServer> NatsTaking(size_t bytes) {
  NatsServerOptions options;
  options.config = absl::StrCat("max_payload: ", bytes, "\nmax_pending: 134217728");
  return StartNats(options);
}

std::string Pattern(size_t bytes) {
  std::string value(bytes, '\0');
  uint32_t state = 7;
  for (char& c : value) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return value;
}

grpc::Status TryPublishBig(MainBroker& broker, const std::string& value) {
  proto::PublishRequest request;
  request.set_stream("big");
  request.set_value(value);
  proto::PublishResponse response;
  grpc::ClientContext context;
  Bound(context);
  return broker.api().Publish(&context, request, &response);
}

TEST_CASE("a message past the limit is refused in words, and a plain one is counted") {
  auto nats = NatsTaking(8 * kMiB);
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("big", "size.big");
  const grpc::Status refused = TryPublishBig(broker, Pattern(kMiB + kMiB / 2));
  BROKER_CHECK(broker, refused.error_code() == StatusCode::INVALID_ARGUMENT);
  CHECK(refused.error_message() == "message exceeds max replication size");
  BROKER_CHECK(broker, TryPublishBig(broker, Pattern(kMiB - 4096)).ok());

  BusClient bus(nats->url());
  bus.Publish("size.big", Pattern(kMiB));  // exactly the limit
  bus.Publish("size.big", Pattern(kMiB + 1));
  bus.Publish("size.big", "after");
  bus.Flush();
  BROKER_REQUIRE(broker, Eventually([&] {
                   const auto now = broker.Describe("big").partitions(0);
                   return now.gap_records() == 1 && now.messages_in_gaps() == 1;
                 }));
  const auto messages = broker.ReadAll("big");
  REQUIRE(messages.size() == 3);
  CHECK(messages[1].value() == Pattern(kMiB));
  CHECK(messages[2].value() == "after");
  CHECK(broker.Describe("big").partitions(0).messages_refused() == 2);
}

TEST_CASE("messages of several MiB go through where the limits are raised") {
  auto nats = NatsTaking(10 * kMiB);
  MainBroker broker(nats->url(), {"--set", "clustering.replication.max.bytes=8MiB"});
  broker.Start();
  broker.CreateStream("big", "size.big");
  const std::vector<std::string> values = {Pattern(7 * kMiB), "small", Pattern(8 * kMiB),
                                           Pattern(5 * kMiB)};
  BROKER_REQUIRE(broker, broker.Publish("big", values[0]) == 0);
  BusClient bus(nats->url());
  for (size_t i = 1; i < values.size(); ++i) bus.Publish("size.big", values[i]);
  bus.Flush();
  BROKER_REQUIRE(broker, Eventually([&] {
                   return broker.Describe("big").partitions(0).high_watermark() == 3;
                 }));
  const grpc::Status refused = TryPublishBig(broker, Pattern(8 * kMiB + 1));
  CHECK(refused.error_code() == StatusCode::INVALID_ARGUMENT);
  for (int life = 0; life < 2; ++life) {
    CHECK(Values(broker.ReadAll("big")) == values);
    Subscriber down(broker, [] {
      proto::SubscribeRequest request = Request("big", proto::LATEST, proto::STOP_ON_CANCEL);
      request.set_reverse(true);
      return request;
    }());
    CHECK(Values(down.Rest()) == std::vector<std::string>(values.rbegin(), values.rend()));
    broker.Kill();
    broker.Start();
  }
}

TEST_CASE("a NATS that takes less than we would is reported, at the start and when asked") {
  auto nats = NatsTaking(64 * 1024);
  MainBroker broker(nats->url());
  broker.Start();
  broker.CreateStream("big", "size.big");
  BROKER_CHECK(broker,
               Eventually([&] { return Has(broker.Log(), "takes messages up to 65536 bytes"); }));
  const auto info = broker.Info();
  CHECK(info.nats_max_payload() == 65536);
  CHECK(info.max_message_bytes() == static_cast<int64_t>(kMiB));
  REQUIRE(info.degraded_size() == 1);
  CHECK(Has(info.degraded(0), "65536"));
  const grpc::Status refused = TryPublishBig(broker, Pattern(100'000));
  CHECK(refused.error_code() == StatusCode::UNKNOWN);
  CHECK(refused.error_message() == "failed to publish to NATS: nats: maximum payload exceeded");
  BROKER_CHECK(broker, TryPublishBig(broker, "small").ok());
}

}  // namespace
}  // namespace bascule::main_job
