// Publish and PublishToSubject over a real connection.
#include <doctest/doctest.h>

#include "tests/support/eventually.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

proto::PublishRequest To(std::string stream, std::string value = "v") {
  proto::PublishRequest request;
  request.set_stream(std::move(stream));
  request.set_value(std::move(value));
  return request;
}

enum class Wait { kNoDeadline, kLong, kShort };

struct Outcome {
  std::string status;
  proto::PublishResponse response;
};

Outcome Publish(ApiWorld& world, const proto::PublishRequest& request, Wait wait = Wait::kLong) {
  grpc::ClientContext context;
  if (wait == Wait::kLong) LimitCall(context);
  if (wait == Wait::kShort) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  }
  Outcome outcome;
  outcome.status = Shown(world.stub->Publish(&context, request, &outcome.response));
  return outcome;
}

TEST_CASE("publish: any broker takes it, also for partitions that stand elsewhere or nowhere") {
  ApiWorld world;
  auto entry = world.MakeEntry("s", "foo", 2);
  entry->stream.partitions[0].leader = "other";
  entry->stream.partitions[1].leader = "";
  entry->partitions.assign(2, nullptr);
  world.catalog.Put(entry);
  auto request = To("s");
  request.set_ackpolicy(proto::ALL);
  request.set_partition(1);
  CHECK(Publish(world, request, Wait::kShort).status.substr(0, 2) == "4 ");  // nobody acks
  world.bus.AckAll();  // as the leader would, through NATS
  request.set_partition(0);
  CHECK(Publish(world, request).status == "0 ");
  REQUIRE(world.bus.published().size() == 2);
  CHECK(world.bus.published()[0].nats_subject == "foo.1");
  CHECK(world.bus.published()[1].nats_subject == "foo");
}

TEST_CASE("publish: refusals, in the contract's order") {
  ApiWorld world;
  auto entry = world.MakeEntry("s", "foo", 2);
  entry->settings.optimistic_concurrency_control = true;
  world.catalog.Put(entry);
  auto request = To("");
  request.set_partition(9);
  request.set_ackpolicy(proto::NONE);
  CHECK(Publish(world, request).status == "3 no stream provided");
  request.set_stream("x");
  CHECK(Publish(world, request).status == "5 no such stream: x");
  request.set_stream("s");
  CHECK(Publish(world, request).status == "5 no such partition: 9");
  request.set_partition(1);
  CHECK(Publish(world, request).status ==
        "3 stream with concurrency control must have AckPolicy set");
  CHECK(world.bus.published().empty());
}

TEST_CASE("publish: the message that goes out, and the ack that comes back") {
  ApiWorld world;
  world.AddStream("s", "foo", 2);
  world.bus.AckAll();
  auto request = To("s");
  request.set_partition(1);
  request.set_key("k");
  (*request.mutable_headers())["h"] = "1";
  request.set_correlationid("corr");
  request.set_ackpolicy(proto::ALL);
  request.set_expectedoffset(-1);
  const Outcome outcome = Publish(world, request);
  CHECK(outcome.status == "0 ");
  CHECK(outcome.response.ack().correlationid() == "corr");
  CHECK(outcome.response.ack().stream() == "s");
  CHECK(outcome.response.correlationid().empty());
  CHECK_FALSE(outcome.response.has_asyncerror());
  REQUIRE(world.bus.published().size() == 1);
  const Published out = world.bus.published()[0];
  CHECK(out.nats_subject == "foo.1");
  CHECK(out.subject == "foo.1");
  CHECK(out.key == "k");
  CHECK(out.value == "v");
  CHECK(out.headers == std::map<std::string, std::string>{{"h", "1"}});
  CHECK(out.stream == "s");
  CHECK(out.ack_policy == 1);
  CHECK(out.expected_offset == -1);
  CHECK(out.ack_inbox.substr(0, 9) == "test.ack.");
  CHECK(Eventually([&] { return world.bus.inboxes() == 0; }));
}

TEST_CASE("publish: nobody waits without a deadline or with policy NONE") {
  ApiWorld world;
  world.AddStream("s", "foo");
  Outcome outcome = Publish(world, To("s"), Wait::kNoDeadline);
  CHECK(outcome.status == "0 ");
  CHECK_FALSE(outcome.response.has_ack());
  auto request = To("s");
  request.set_ackpolicy(proto::NONE);
  outcome = Publish(world, request);
  CHECK(outcome.status == "0 ");
  CHECK_FALSE(outcome.response.has_ack());
  request.set_ackinbox("mine");  // still told to the partition: somebody else may listen
  Publish(world, request, Wait::kNoDeadline);
  REQUIRE(world.bus.published().size() == 3);
  CHECK(world.bus.published()[0].ack_inbox.empty());
  CHECK(world.bus.published()[2].ack_inbox == "mine");
  CHECK(world.bus.inboxes() == 0);
}

TEST_CASE("publish: no ack in time is DeadlineExceeded, also for policies of the future") {
  ApiWorld world;
  world.AddStream("s", "foo");
  auto request = To("s");
  CHECK(Publish(world, request, Wait::kShort).status.substr(0, 2) == "4 ");
  request.set_ackpolicy(static_cast<proto::AckPolicy>(17));
  CHECK(Publish(world, request, Wait::kShort).status.substr(0, 2) == "4 ");
  CHECK(world.bus.published().back().ack_policy == 17);
  CHECK(Eventually([&] { return world.bus.inboxes() == 0; }));
}

TEST_CASE("publish: a client's inbox is listened to, other messages' acks on it are not ours") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.bus.on_publish = [&](const Published& message) -> std::optional<std::string> {
    Published other = message;
    other.correlation_id = "other";
    world.bus.Deliver(message.ack_inbox, world.bus.Ack(other));
    world.bus.Deliver(message.ack_inbox, "this is not an ack");
    return world.bus.Ack(message);
  };
  auto request = To("s");
  request.set_ackinbox("my.inbox");
  request.set_correlationid("mine");
  const Outcome outcome = Publish(world, request);
  CHECK(outcome.status == "0 ");
  CHECK(outcome.response.ack().correlationid() == "mine");
  CHECK(outcome.response.ack().offset() == 1);
  CHECK(world.bus.published()[0].ack_inbox == "my.inbox");
}

// What a stream that overlaps `message`'s subject says of it.
std::string AckOf(ApiWorld& world, Published message, std::string stream, uint64_t error = 0) {
  message.stream = std::move(stream);
  return world.bus.Ack(message, error);
}

TEST_CASE("publish: another stream's, another partition's and a forged ack are no answer") {
  ApiWorld world;
  world.AddStream("s", "foo", 2);
  world.AddStream("wide", ">");
  std::string honest;
  world.bus.on_publish = [&](const Published& message) -> std::optional<std::string> {
    Published elsewhere = message;
    elsewhere.nats_subject = "foo.1";
    Published forged = message;
    forged.correlation_id = "guessed";
    for (const std::string& ack : {AckOf(world, message, "wide"), AckOf(world, message, "wide", 3),
                                   AckOf(world, elsewhere, "s"), world.bus.Ack(forged)}) {
      world.bus.Deliver(message.ack_inbox, ack);
    }
    return honest.empty() ? std::nullopt : std::optional(AckOf(world, message, honest));
  };
  auto request = To("s");
  request.set_correlationid("c");
  for (const auto* inbox : {"", "my.inbox"}) {
    request.set_ackinbox(inbox);
    honest = "";  // the partition has no leader
    CHECK(Publish(world, request, Wait::kShort).status.substr(0, 2) == "4 ");
    honest = "s";
    const Outcome outcome = Publish(world, request);
    CHECK(outcome.status == "0 ");
    CHECK(outcome.response.ack().stream() == "s");
    CHECK(outcome.response.ack().msgsubject() == "foo");
  }
  CHECK(Eventually([&] { return world.bus.foreign() + world.bus.unmatched() >= 16; }));
}

TEST_CASE("publish: a wrong offset is never answered OK by a stream that did not check it") {
  ApiWorld world;
  auto strict = world.MakeEntry("strict", "foo", 1);
  strict->settings.optimistic_concurrency_control = true;
  strict->stream.group = "g";
  world.catalog.Put(strict);
  auto loose = world.MakeEntry("loose", "foo", 1);
  loose->stream.group = "g";
  world.catalog.Put(loose);
  world.bus.on_publish = [&](const Published& message) {
    world.bus.Deliver(message.ack_inbox, AckOf(world, message, "loose"));
    return std::optional(AckOf(world, message, "strict", 2));
  };
  auto request = To("strict");
  request.set_expectedoffset(9);
  CHECK(Publish(world, request).status == "2 incorrect expected offset");
}

TEST_CASE("publish: in a queue group any one stream of it answers") {
  ApiWorld world;
  for (const auto* name : {"a", "b"}) {
    auto entry = world.MakeEntry(name, "foo", 1);
    entry->stream.group = "g";
    world.catalog.Put(entry);
  }
  world.bus.on_publish = [&](const Published& message) {
    return std::optional(AckOf(world, message, "b"));
  };
  const Outcome outcome = Publish(world, To("a"));
  CHECK(outcome.status == "0 ");
  CHECK(outcome.response.ack().stream() == "b");
}

TEST_CASE("publish: error acks and bus failures have their statuses") {
  ApiWorld world;
  world.AddStream("s", "foo");
  uint64_t error = 0;
  world.bus.on_publish = [&](const Published& message) {
    return std::optional(world.bus.Ack(message, error));
  };
  for (const auto& [code, shown] :
       std::vector<std::pair<uint64_t, std::string>>{{2, "2 incorrect expected offset"},
                                                     {3, "3 message exceeds max replication size"},
                                                     {4, "13 encryption failed on partition"},
                                                     {77, "2 unknown error"}}) {
    error = code;
    CHECK(Publish(world, To("s")).status == shown);
  }
  world.bus.FailWith(absl::UnavailableError("nats: connection closed"));
  CHECK(Publish(world, To("s")).status == "2 failed to publish to NATS: nats: connection closed");
  CHECK(Publish(world, To("s"), Wait::kNoDeadline).status ==
        "2 failed to publish to NATS: nats: connection closed");
  world.bus.FailWith(absl::OkStatus());
  world.bus.set_max_payload(100);
  CHECK(Publish(world, To("s", std::string(101, 'x'))).status ==
        "2 failed to publish to NATS: nats: maximum payload exceeded");
  world.bus.FailInboxesWith(absl::UnavailableError("nats: no connection"));
  CHECK(Publish(world, To("s")).status == "2 failed to publish to NATS: nats: no connection");
}

TEST_CASE("publish: a request over the size limit is refused by the server") {
  ApiOptions options;
  options.max_request_bytes = 1000;
  ApiWorld world(options);
  world.AddStream("s", "foo");
  CHECK(Publish(world, To("s", std::string(1001, 'x'))).status.substr(0, 2) == "8 ");
  CHECK(Publish(world, To("s", std::string(900, 'x')), Wait::kNoDeadline).status == "0 ");
}

TEST_CASE("publish to subject: any subject, the first ack, errors stay inside") {
  ApiWorld world;
  uint64_t error = 0;
  world.bus.on_publish = [&](const Published& message) {
    return std::optional(world.bus.Ack(message, error));
  };
  proto::PublishToSubjectRequest request;
  request.set_subject("any.subject");
  request.set_value("v");
  request.set_correlationid("c");
  (*request.mutable_headers())["h"] = "1";
  proto::PublishToSubjectResponse response;
  {
    grpc::ClientContext context;
    LimitCall(context);
    CHECK(Shown(world.stub->PublishToSubject(&context, request, &response)) == "0 ");
    CHECK(response.ack().correlationid() == "c");
    CHECK(world.bus.published()[0].nats_subject == "any.subject");
    CHECK(world.bus.published()[0].headers.at("h") == "1");
  }
  {
    error = 3;
    grpc::ClientContext context;
    LimitCall(context);
    CHECK(Shown(world.stub->PublishToSubject(&context, request, &response)) == "0 ");
    CHECK(response.ack().ackerror() == proto::Ack::TOO_LARGE);
  }
  {
    // Of a stream of this cluster, by whoever led it before.
    auto entry = world.MakeEntry("", "any.subject", 1);
    entry->stream.partitions[0].leader_epoch = LeaderEpoch(kFakeEpoch.value() + 1);
    world.catalog.Put(entry);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
    CHECK(Shown(world.stub->PublishToSubject(&context, request, &response)).substr(0, 2) == "4 ");
    CHECK(Eventually([&] { return world.bus.replaced() == 1; }));
  }
  {
    grpc::ClientContext context;  // no deadline: nobody waits
    CHECK(Shown(world.stub->PublishToSubject(&context, request, &response)) == "0 ");
    CHECK_FALSE(response.has_ack());
  }
  {
    world.bus.FailWith(absl::InvalidArgumentError("nats: invalid subject"));
    grpc::ClientContext context;
    LimitCall(context);
    CHECK(Shown(world.stub->PublishToSubject(&context, request, &response)) ==
          "2 failed to publish to NATS: nats: invalid subject");
  }
}

}  // namespace
}  // namespace bascule::api
