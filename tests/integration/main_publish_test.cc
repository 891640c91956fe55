// Every road into a stream: gRPC, plain NATS, NATS headers, envelopes; and what each answers.
#include <algorithm>
#include <map>

#include "nats_bridge/publish_envelope.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using grpc::StatusCode;
using Strings = std::vector<std::string>;

struct World {
  World() { broker.Start(); }
  grpc::Status Publish(const proto::PublishRequest& request, proto::PublishResponse& response,
                       std::chrono::milliseconds limit = kPatience) {
    grpc::ClientContext context;
    if (limit.count() > 0) Bound(context, limit);
    return broker.api().Publish(&context, request, &response);
  }
  uint64_t Stored(const std::string& stream, int partition = 0) {
    return static_cast<uint64_t>(broker.Describe(stream).partitions(partition).high_watermark() +
                                 1);
  }

  std::unique_ptr<NatsServer> nats = StartNats();
  MainBroker broker{nats->url()};
};

proto::PublishRequest To(const std::string& stream, const std::string& value) {
  proto::PublishRequest request;
  request.set_stream(stream);
  request.set_value(value);
  return request;
}

std::string Envelope(const std::string& value, const std::string& inbox, const std::string& id) {
  PublishMessage message;
  message.value = value;
  message.ack_inbox = inbox;
  message.correlation_id = id;
  message.expected_offset = -1;
  std::string bytes;
  nats::AppendPublishEnvelope(bytes, message);
  return bytes;
}

proto::Ack ParseAck(const std::string& envelope) {
  proto::Ack ack;
  REQUIRE(envelope.size() > 8);
  REQUIRE(ack.ParseFromString(envelope.substr(8)));
  return ack;
}

TEST_CASE("another cluster's stream of the same name answers no publish, whoever is first") {
  World world;
  MainBroker other(world.nats->url(), {"--namespace", "other"});
  other.Start();
  other.CreateStream("orders", "pub.orders");
  BusClient bus(world.nats->url());
  for (int i = 0; i < 3; ++i) bus.Publish("pub.orders", "before");
  bus.Flush();
  REQUIRE(Eventually([&] { return other.Describe("orders").partitions(0).high_watermark() == 2; }));
  world.broker.CreateStream("orders", "pub.orders");
  for (int64_t i = 0; i < 50; ++i) {
    proto::PublishResponse response;
    const grpc::Status status = world.Publish(To("orders", "v"), response);
    BROKER_REQUIRE(world.broker, status.ok());
    REQUIRE(response.ack().offset() == i);
  }
  CHECK(Eventually([&] { return other.Describe("orders").partitions(0).high_watermark() == 52; }));
}

TEST_CASE("partitions: each has its subject, its offsets and its readers") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("parts", "pub.parts", [](auto& r) { r.set_partitions(3); });
  BusClient bus(world.nats->url());
  for (int round = 0; round < 2; ++round) {
    for (int partition = 0; partition < 3; ++partition) {
      const std::string value = std::to_string(partition) + "." + std::to_string(round);
      CHECK(broker.Publish("parts", "rpc " + value, partition) == 2 * round);
      bus.Publish(partition == 0 ? "pub.parts" : "pub.parts." + std::to_string(partition),
                  "nats " + value);
      bus.Flush();
      const uint64_t expected = 2 * static_cast<uint64_t>(round) + 2;
      BROKER_REQUIRE(broker,
                     Eventually([&] { return world.Stored("parts", partition) == expected; }));
    }
  }
  for (int partition = 0; partition < 3; ++partition) {
    const std::string p = std::to_string(partition);
    const auto messages = broker.ReadAll("parts", partition);
    CHECK(Values(messages) ==
          Strings{"rpc " + p + ".0", "nats " + p + ".0", "rpc " + p + ".1", "nats " + p + ".1"});
    for (const proto::Message& message : messages) {
      CHECK(message.partition() == partition);
      CHECK(message.subject() == (partition == 0 ? "pub.parts" : "pub.parts." + p));
    }
  }
  proto::PublishResponse response;
  proto::PublishRequest request = To("parts", "x");
  request.set_partition(3);
  const grpc::Status refused = world.Publish(request, response);
  CHECK(refused.error_code() == StatusCode::NOT_FOUND);
  CHECK(refused.error_message() == "no such partition: 3");
}

TEST_CASE("keys, headers, reply subjects and NATS headers come back as they went in") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("heads", "pub.heads");
  BusClient bus(world.nats->url());
  proto::PublishRequest request = To("heads", std::string("\0\xff\x80", 3));
  request.set_key(std::string("\0k\xfe", 3));
  (*request.mutable_headers())["plain"] = "text";
  (*request.mutable_headers())["bytes"] = std::string("\0\xff", 2);
  (*request.mutable_headers())["none"] = "";
  (*request.mutable_headers())["subject"] = "forged";
  proto::PublishResponse response;
  BROKER_REQUIRE(broker, world.Publish(request, response).ok());
  bus.Publish("pub.heads", "asks", "answer.here");
  bus.PublishWithHeader("pub.heads", "hpub", "X-Trace", "a b\xc3\xa9");
  bus.Flush();
  BROKER_REQUIRE(broker, Eventually([&] { return world.Stored("heads") == 3; }));
  const auto messages = broker.ReadAll("heads");
  REQUIRE(messages.size() == 3);
  CHECK(messages[0].key() == request.key());
  CHECK(messages[0].value() == request.value());
  CHECK(messages[0].headers().at("plain") == "text");
  CHECK(messages[0].headers().at("bytes") == std::string("\0\xff", 2));
  CHECK(messages[0].headers().at("none").empty());
  CHECK(messages[0].headers().at("subject") == "pub.heads");
  CHECK(messages[0].headers().at("reply").empty());
  CHECK(messages[0].ackinbox().empty());
  CHECK(messages[1].value() == "asks");
  CHECK(messages[1].replysubject() == "answer.here");
  CHECK(messages[1].headers().at("reply") == "answer.here");
  CHECK(messages[2].headers().at("X-Trace") == "a b\xc3\xa9");
  CHECK(messages[2].headers().at("subject") == "pub.heads");
}

TEST_CASE("wildcards, queue groups, and several streams on one subject") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("wild", "pub.wild.>");
  broker.CreateStream("left", "pub.shared", [](auto& r) { r.set_group("g"); });
  broker.CreateStream("right", "pub.shared", [](auto& r) { r.set_group("g"); });
  broker.CreateStream("one", "pub.both");
  broker.CreateStream("two", "pub.both");
  BusClient bus(world.nats->url());
  for (const char* subject : {"pub.wild.a", "pub.wild.b.c", "pub.wild"}) bus.Publish(subject, "w");
  for (int i = 0; i < 200; ++i) bus.Publish("pub.shared", std::to_string(i));
  bus.Listen("acks.*");
  bus.Publish("pub.both", Envelope("v", "acks.1", "the id"));
  Strings streams;
  for (int i = 0; i < 2; ++i) {
    const auto ack = bus.Take(kPatience);
    BROKER_REQUIRE(broker, ack.has_value());
    const proto::Ack parsed = ParseAck(*ack);
    CHECK(parsed.correlationid() == "the id");
    CHECK(parsed.ackerror() == proto::Ack::OK);
    CHECK(parsed.offset() == 0);
    CHECK(parsed.msgsubject() == "pub.both");
    CHECK(parsed.committimestamp() > 0);
    streams.push_back(parsed.stream());
  }
  std::sort(streams.begin(), streams.end());
  CHECK(streams == Strings{"one", "two"});
  BROKER_REQUIRE(broker, Eventually([&] {
                   return world.Stored("left") + world.Stored("right") == 200 &&
                          world.Stored("wild") == 2;
                 }));
  CHECK(world.Stored("left") > 0);
  CHECK(world.Stored("right") > 0);
  const auto messages = broker.ReadAll("wild");
  CHECK(messages[0].subject() == "pub.wild.a");
  CHECK(messages[0].headers().at("subject") == "pub.wild.a");
  CHECK(messages[1].subject() == "pub.wild.b.c");
}

TEST_CASE("ack policies, deadlines and correlation ids of Publish and PublishToSubject") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("acks", "pub.acks");
  proto::PublishResponse response;
  int64_t expected = 0;
  for (const proto::AckPolicy policy : {proto::LEADER, proto::ALL}) {
    proto::PublishRequest request = To("acks", "v");
    request.set_ackpolicy(policy);
    request.set_correlationid("id " + std::to_string(policy));
    BROKER_REQUIRE(broker, world.Publish(request, response).ok());
    CHECK(response.ack().offset() == expected++);
    CHECK(response.ack().stream() == "acks");
    CHECK(response.ack().ackpolicy() == policy);
    CHECK(response.ack().correlationid() == request.correlationid());
    CHECK(response.ack().committimestamp() >= response.ack().receptiontimestamp());
    CHECK(response.correlationid().empty());
  }
  proto::PublishRequest silent = To("acks", "v");
  silent.set_ackpolicy(proto::NONE);
  response.Clear();
  CHECK(world.Publish(silent, response).ok());
  CHECK_FALSE(response.has_ack());
  CHECK(world.Publish(To("acks", "no deadline"), response, std::chrono::milliseconds(0)).ok());
  CHECK_FALSE(response.has_ack());
  proto::PublishRequest odd = To("acks", "v");
  odd.set_ackpolicy(static_cast<proto::AckPolicy>(7));  // stored, never acknowledged
  CHECK(world.Publish(odd, response, std::chrono::milliseconds(300)).error_code() ==
        StatusCode::DEADLINE_EXCEEDED);
  BROKER_REQUIRE(broker, Eventually([&] { return world.Stored("acks") == 5; }));

  proto::PublishToSubjectRequest direct;
  proto::PublishToSubjectResponse told;
  direct.set_subject("pub.acks");
  direct.set_correlationid("direct");
  grpc::ClientContext context;
  Bound(context);
  BROKER_REQUIRE(broker, broker.api().PublishToSubject(&context, direct, &told).ok());
  CHECK(told.ack().offset() == 5);
  CHECK(told.ack().correlationid() == "direct");
  direct.set_subject("pub.nobody.listens");
  grpc::ClientContext lonely;
  Bound(lonely, std::chrono::milliseconds(300));
  CHECK(broker.api().PublishToSubject(&lonely, direct, &told).error_code() ==
        StatusCode::DEADLINE_EXCEEDED);
  for (const char* subject : {"", "a b", "a..b", "a\r\nPUB b 0\r\n\r\n"}) {
    CAPTURE(subject);
    direct.set_subject(subject);
    grpc::ClientContext bad;
    Bound(bad);
    const grpc::Status status = broker.api().PublishToSubject(&bad, direct, &told);
    CHECK(status.error_code() == StatusCode::UNKNOWN);
    CHECK(Has(status.error_message(), "invalid subject"));
  }
  CHECK(broker.Publish("acks", "still works") == 6);
}

TEST_CASE("PublishAsync: acks by correlation id, errors in their place, order kept") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("async", "pub.async");
  grpc::ClientContext context;
  Bound(context);
  auto session = broker.api().PublishAsync(&context);
  constexpr int kCount = 500;
  for (int i = 0; i < kCount; ++i) {
    proto::PublishRequest request = To(i % 100 == 99 ? "nobody" : "async", std::to_string(i));
    request.set_correlationid("c" + std::to_string(i));
    request.set_ackpolicy(i % 2 == 0 ? proto::LEADER : proto::ALL);
    BROKER_REQUIRE(broker, session->Write(request));
  }
  session->WritesDone();
  std::map<std::string, int64_t> offsets;
  int errors = 0;
  proto::PublishResponse response;
  while (session->Read(&response)) {
    if (response.has_asyncerror()) {
      ++errors;
      CHECK(response.asyncerror().code() == proto::PublishAsyncError::NOT_FOUND);
      CHECK(response.asyncerror().message() == "no such stream: nobody");
      CHECK(response.correlationid().ends_with("99"));
      continue;
    }
    CHECK(response.ack().correlationid() == response.correlationid());
    offsets[response.correlationid()] = response.ack().offset();
  }
  CHECK(session->Finish().ok());
  CHECK(errors == 5);
  CHECK(offsets.size() == kCount - 5);
  int64_t next = 0;
  for (int i = 0; i < kCount; ++i) {
    if (i % 100 != 99) CHECK(offsets["c" + std::to_string(i)] == next++);
  }
  CHECK(broker.ReadAll("async").size() == kCount - 5);
}

TEST_CASE("optimistic concurrency: the expected offset, or nothing is stored") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("occ", "pub.occ", [](auto& r) {
    r.mutable_settings()->set_optimistic_concurrency_control(true);
  });
  proto::PublishResponse response;
  proto::PublishRequest request = To("occ", "v");
  const auto expect = [&](int64_t offset) {
    request.set_expectedoffset(offset);
    return world.Publish(request, response);
  };
  BROKER_CHECK(broker, expect(0).ok());
  const grpc::Status wrong = expect(0);
  CHECK(wrong.error_code() == StatusCode::UNKNOWN);
  CHECK(wrong.error_message() == "incorrect expected offset");
  CHECK(expect(5).error_code() == StatusCode::UNKNOWN);
  BROKER_CHECK(broker, expect(1).ok());
  BROKER_CHECK(broker, expect(-1).ok());
  CHECK(response.ack().offset() == 2);
  request.set_ackpolicy(proto::NONE);
  const grpc::Status none = expect(3);
  CHECK(none.error_code() == StatusCode::INVALID_ARGUMENT);
  CHECK(none.error_message() == "stream with concurrency control must have AckPolicy set");
  BusClient bus(world.nats->url());
  bus.Publish("pub.occ", "plain messages expect nothing");
  bus.Flush();
  BROKER_CHECK(broker, Eventually([&] { return world.Stored("occ") == 4; }));

  grpc::ClientContext context;
  Bound(context);
  auto session = broker.api().PublishAsync(&context);
  request.set_ackpolicy(proto::ALL);
  request.set_expectedoffset(1);
  request.set_correlationid("late");
  BROKER_REQUIRE(broker, session->Write(request));
  BROKER_REQUIRE(broker, session->Read(&response));
  CHECK(response.correlationid() == "late");
  CHECK(response.asyncerror().code() == proto::PublishAsyncError::INCORRECT_OFFSET);
  CHECK(world.Stored("occ") == 4);
}

TEST_CASE("a stream that overlaps the subject never answers for the one that was asked") {
  World world;
  MainBroker& broker = world.broker;
  broker.CreateStream("strict", "pub.strict", [](auto& r) {
    r.mutable_settings()->set_optimistic_concurrency_control(true);
  });
  broker.CreateStream("wide", "pub.>");
  proto::PublishResponse response;
  proto::PublishRequest request = To("strict", "v");
  for (int round = 0; round < 100; ++round) {
    request.set_expectedoffset(7);
    CHECK(world.Publish(request, response).error_message() == "incorrect expected offset");
  }
  request.set_expectedoffset(0);
  BROKER_REQUIRE(broker, world.Publish(request, response).ok());
  CHECK(response.ack().stream() == "strict");
  grpc::ClientContext context;
  Bound(context);
  auto session = broker.api().PublishAsync(&context);
  for (int i = 0; i < 100; ++i) {
    request.set_expectedoffset(i % 2 == 0 ? 500 : 1 + i / 2);
    request.set_correlationid(std::to_string(i));
    BROKER_REQUIRE(broker, session->Write(request));
    BROKER_REQUIRE(broker, session->Read(&response));
    CHECK(response.correlationid() == std::to_string(i));
    CHECK(response.has_asyncerror() == (i % 2 == 0));
    if (i % 2 != 0) CHECK(response.ack().stream() == "strict");
  }
  session->WritesDone();
  CHECK_FALSE(session->Read(&response));
  CHECK(session->Finish().ok());
  CHECK(world.Stored("strict") == 51);
  BROKER_CHECK(broker, Eventually([&] { return world.Stored("wide") == 201; }));
}

}  // namespace
}  // namespace bascule::main_job
