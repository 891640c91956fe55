// The bus over a real nats-server: what goes in comes out as records, and acks find their way back.
#include <doctest/doctest.h>

#include "core/base/text.h"
#include "core/wire/ack.h"
#include "nats_bridge/ack_inboxes.h"
#include "nats_bridge/envelope.h"
#include "nats_bridge/publish_envelope.h"
#include "tests/integration/nats_world.h"

namespace bascule {
namespace {

TEST_CASE("nats bus: a plain message becomes a record") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  PlainClient client(w.server->url());
  REQUIRE(natsConnection_PublishRequestString(client.get(), "foo", "re.ply", "hello") == NATS_OK);
  REQUIRE(w.Hears(1));
  const Heard got = w.partition.heard()[0];
  CHECK(got.view().value == "hello");
  CHECK(got.view().reply == "re.ply");
  CHECK(got.subject == "foo");
  CHECK(w.bus->server_url() == w.server->url());
  CHECK(w.bus->max_payload() == 1024 * 1024);
  CHECK(Eventually([&] { return w.bus->connected(); }));
  w.Close(std::move(feed));
}

TEST_CASE("nats bus: rules that change while a feed is open hold for what comes next") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  PlainClient client(w.server->url());
  for (const ReplyAcks acks : {ReplyAcks::kJetStream, ReplyAcks::kOff, ReplyAcks::kJetStream}) {
    FeedRules rules;
    rules.reply_acks = acks;
    std::promise<void> set;
    w.shard.Post([&] {
      feed->SetRules(rules);
      set.set_value();
    });
    set.get_future().get();
    const size_t before = w.partition.size();
    REQUIRE(natsConnection_PublishRequestString(client.get(), "foo", "re.ply", "x") == NATS_OK);
    REQUIRE(w.Hears(before + 1));
    CHECK(w.partition.heard().back().ack_inbox == (acks == ReplyAcks::kOff ? "" : "re.ply"));
  }
  w.Close(std::move(feed));
}

TEST_CASE("nats bus: what is published after `listening` is heard, every time") {
  NatsWorld w;
  w.StartBus();
  PlainClient client(w.server->url());
  for (size_t i = 0; i < 200; ++i) {
    auto feed = w.OpenAndListen("once");
    client.Publish("once", "x");
    client.Flush();
    REQUIRE(w.Hears(i + 1));
    w.Close(std::move(feed));
    client.Publish("once", "nobody hears this");
    client.Flush();
  }
  CHECK(w.partition.size() == 200);
}

TEST_CASE("nats bus: headers, repeated ones too") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  PlainClient client(w.server->url());
  natsMsg* msg = nullptr;
  REQUIRE(natsMsg_Create(&msg, "foo", nullptr, "body", 4) == NATS_OK);
  natsMsgHeader_Add(msg, "Color", "red");
  natsMsgHeader_Add(msg, "Color", "blue");
  natsMsgHeader_Add(msg, "reply", "dropped");
  natsMsgHeader_Add(msg, "Empty", "");
  REQUIRE(natsConnection_PublishMsg(client.get(), msg) == NATS_OK);
  natsMsg_Destroy(msg);
  REQUIRE(w.Hears(1));
  const Heard got = w.partition.heard()[0];
  std::vector<std::string> headers;
  for (const auto& [name, value] : got.view().headers) headers.push_back(Concat(name, "=", value));
  std::sort(headers.begin(),
            headers.end());  // the client that sends does not keep the order of names
  CHECK(headers == std::vector<std::string>{"Color=blue", "Color=red", "Empty="});
  CHECK(got.view().value == "body");
  w.Close(std::move(feed));
}

TEST_CASE("nats bus: wildcards and queue groups") {
  NatsWorld w;
  w.StartBus();
  NotingPartition a, b;
  auto wild = w.OpenAndListen("*.>");
  FeedOptions group;
  group.subject = "shared.x";
  group.group = "g";
  auto first = w.OpenAndListen(group, a);
  auto second = w.OpenAndListen(group, b);
  PlainClient client(w.server->url());
  for (int i = 0; i < 100; ++i) client.Publish("shared.x", "p");
  client.Publish("ns.ack.some.1", "internal");
  client.Publish("_INBOX.some", "internal");
  client.Publish("other.y.z", "q");
  client.Flush();
  REQUIRE(w.Hears(101));
  REQUIRE(Eventually([&] { return a.size() + b.size() >= 100; }));
  CHECK(a.size() + b.size() == 100);
  CHECK(a.size() > 0);
  CHECK(b.size() > 0);
  CHECK(w.partition.size() == 101);
  CHECK(w.partition.heard()[100].view().subject == "other.y.z");
  CHECK(w.bus->ReadCounters()["nats_internal_messages_skipped"] == 2);
  for (auto* feed : {&wild, &first, &second}) w.Close(std::move(*feed));
}

TEST_CASE("nats bus: publish by envelope, acks on a server-made and on a client's inbox") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  for (const bool own_subject : {false, true}) {
    std::mutex mutex;
    std::vector<std::string> correlations;
    auto inbox =
        w.bus->OpenAckInbox(own_subject ? std::optional<std::string>("my.acks") : std::nullopt,
                            [&](std::string_view bytes) {
                              wire::AckView ack;
                              REQUIRE(wire::ParseAck(bytes, ack));
                              const std::lock_guard lock(mutex);
                              correlations.emplace_back(ack.correlation_id);
                              return AckVerdict::kTaken;
                            });
    REQUIRE(inbox.ok());
    CHECK((*inbox)->subject().starts_with(own_subject ? "my.acks" : "ns.ack."));
    constexpr int kCount = 2000;
    for (int i = 0; i < kCount; ++i) {
      const std::string id = std::to_string(i);
      PublishMessage message;
      message.value = "v";
      message.ack_inbox = (*inbox)->subject();
      message.correlation_id = id;
      const absl::Status status = w.bus->Publish("foo", message);
      REQUIRE_MESSAGE(status.ok(), status.ToString());
    }
    REQUIRE(Eventually([&] {
      const std::lock_guard lock(mutex);
      return correlations.size() >= kCount;
    }));
    for (int i = 0; i < kCount; ++i)
      REQUIRE(correlations[static_cast<size_t>(i)] == std::to_string(i));
    inbox->reset();
  }
  CHECK(w.bus->ReadCounters()["nats_acks_sent"] == 4000);
  CHECK(w.bus->ReadCounters()["nats_acks_lost"] == 0);
  w.Close(std::move(feed));
}

TEST_CASE("nats bus: inboxes are nobody's to guess, and what answers nothing is counted") {
  NatsWorld w;
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  AckVerdict verdict = AckVerdict::kTaken;
  const auto open = [&](std::optional<std::string> subject) {
    auto inbox = w.bus->OpenAckInbox(std::move(subject), [&](std::string_view) { return verdict; });
    REQUIRE(inbox.ok());
    return *std::move(inbox);
  };
  auto first = open(std::nullopt);
  auto second = open(std::nullopt);
  auto named = open("my.acks");
  const std::string& subject = first->subject();
  const size_t secret_at = subject.rfind('.') + 1;
  const std::string secret = subject.substr(secret_at);
  CHECK(secret.size() == 22);
  CHECK(second->subject().substr(0, secret_at) == subject.substr(0, secret_at));
  CHECK(second->subject().substr(secret_at, 8) != secret.substr(0, 8));
  std::string ack;
  nats::AppendEnvelopeHeader(ack, nats::EnvelopeType::kAck);
  wire::AppendAck(ack, {});
  PlainClient forger(w.server->url());
  const auto counter = [&](const std::string& name) { return w.bus->ReadCounters()[name]; };
  std::string guess = subject;
  guess.back() = guess.back() == 'a' ? 'b' : 'a';
  for (const std::string& to : {guess, subject.substr(0, secret_at) + "1"}) forger.Publish(to, ack);
  forger.Flush();
  CHECK(Eventually([&] { return counter("nats_acks_unclaimed") == 2; }));
  verdict = AckVerdict::kForeign;
  forger.Publish(subject, ack);
  forger.Publish("my.acks", ack);
  forger.Flush();
  CHECK(Eventually([&] { return counter("nats_acks_foreign") == 2; }));
  verdict = AckVerdict::kUnmatched;
  forger.Publish(subject, ack);
  forger.Publish("my.acks", ack);  // may be for another caller that listens there
  forger.Publish(subject, ack);
  forger.Flush();
  CHECK(Eventually([&] { return counter("nats_acks_unmatched") == 2; }));
  CHECK(Eventually([&] { return counter("nats_acks_received") == 7; }));
  CHECK(counter("nats_acks_unmatched") == 2);
}

TEST_CASE("nats bus: a closed inbox is forgotten") {
  NatsWorld w;
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  const auto open = [&](std::optional<std::string> subject) {
    auto inbox = w.bus->OpenAckInbox(std::move(subject),
                                     [](std::string_view) { return AckVerdict::kTaken; });
    REQUIRE(inbox.ok());
    return *std::move(inbox);
  };
  const auto counter = [&](const std::string& name) { return w.bus->ReadCounters()[name]; };
  std::string ack;
  nats::AppendEnvelopeHeader(ack, nats::EnvelopeType::kAck);
  wire::AppendAck(ack, {});
  PlainClient sender(w.server->url());
  const auto stays = open(std::nullopt);
  for (const bool named : {false, true}) {
    auto inbox = open(named ? std::optional<std::string>("my.acks") : std::nullopt);
    const std::string subject = inbox->subject();
    const uint64_t opened = counter("nats_acks_received");
    // The SUB of a named one may come to the server behind the first.
    for (int tries = 0; tries < 20 && counter("nats_acks_received") == opened; ++tries) {
      sender.Publish(subject, ack);
      sender.Flush();
      Eventually([&] { return counter("nats_acks_received") > opened; }, std::chrono::seconds(1));
    }
    const uint64_t heard_open = counter("nats_acks_received");
    CHECK(heard_open > opened);
    inbox.reset();
    // The UNSUB of a named one is on its way until the next PING was answered.
    if (named) CHECK(Eventually([&] { return counter("nats_egress_closed_subscriptions") == 1; }));
    sender.Publish(subject, ack);
    sender.Publish(stays->subject(), ack);
    sender.Flush();
    const uint64_t heard = heard_open + (named ? 1 : 2);
    CHECK(Eventually([&] { return counter("nats_acks_received") == heard; }));
    CHECK(Eventually([&] { return counter("nats_acks_unclaimed") == 1; }));
    CHECK(counter("nats_acks_unmatched") == 0);
  }
  w.clock.Leap(limits::kNatsClosedFor);
  CHECK(Eventually([&] { return counter("nats_egress_closed_subscriptions") == 0; }));
}

TEST_CASE("nats bus: clients' inboxes that are closed within seconds are bounded, ours are not") {
  auto server = NatsServer::Start();
  REQUIRE(server.ok());
  nats::NatsOptions options;
  options.urls = {(*server)->url()};
  LeapingClock clock;
  auto egress = nats::NatsConnection::Start(options, clock, 1);
  REQUIRE(egress.ok());
  {
    nats::AckInboxes inboxes(**egress, "ns.ack", "token", RealRng(), /*most_closed=*/3);
    REQUIRE(Eventually([&] { return (*egress)->connected(); }));
    const auto open = [&](std::optional<std::string> subject) {
      return inboxes.Open(std::move(subject), [](std::string_view) { return AckVerdict::kTaken; });
    };
    for (int i = 0; i < 3; ++i) REQUIRE(open(Concat("mine.", i)).ok());  // and closed again
    REQUIRE(Eventually([&] { return (*egress)->closed_held() == 3; }));
    const absl::Status refused = open("mine.4").status();
    CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
    // The remedy that it names.
    CHECK(refused.message().find("let the server name them") != absl::string_view::npos);
    CHECK(open(std::nullopt).ok());
    CHECK_FALSE(open("mine.4").ok());
    clock.Leap(limits::kNatsClosedFor);
    CHECK(Eventually([&] { return open("mine.4").ok(); }));
    (*egress)->Stop();
  }
}

TEST_CASE("nats bus: errors of publishing have their texts") {
  NatsWorld w;
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  const std::string big(1024 * 1024, 'x');
  PublishMessage message;
  message.value = big;
  CHECK(w.bus->Publish("foo", message) ==
        absl::InvalidArgumentError("nats: maximum payload exceeded"));
  message.value = "v";
  for (const auto* subject : {"", "foo bar", "foo..bar", "foo\r\nPUB x 0", ".foo"}) {
    CHECK(w.bus->Publish(subject, message) == absl::InvalidArgumentError("nats: invalid subject"));
  }
  CHECK(w.bus->Publish("foo.*", message).ok());  // literal, as NATS takes it
  CHECK(w.bus->OpenAckInbox("foo bar", [](std::string_view) { return AckVerdict::kTaken; })
            .status() == absl::InvalidArgumentError("nats: invalid subject"));
  CHECK(w.bus->OpenAckInbox("foo.*", [](std::string_view) { return AckVerdict::kTaken; })
            .status()
            .code() == absl::StatusCode::kInvalidArgument);
  w.server->Kill();
  // The two connections notice one after the other.
  CHECK(Eventually(
      [&] { return w.bus->Publish("foo", message).code() == absl::StatusCode::kUnavailable; }));
}

TEST_CASE("nats bus: a feed on an invalid subject says so and harms nobody") {
  NatsWorld w;
  w.StartBus();
  auto good = w.OpenAndListen("good");
  FeedOptions bad;
  bad.subject = "a.>.b";
  auto [feed, told] = w.Open(bad, w.partition);
  CHECK(told.get().code() == absl::StatusCode::kInvalidArgument);
  PlainClient client(w.server->url());
  client.Publish("good", "x");
  CHECK(w.Hears(1));
  w.Close(std::move(feed));
  w.Close(std::move(good));
}

TEST_CASE("nats bus: JetStream clients get PubAcks where no JetStream is") {
  NatsWorld w;
  w.StartBus();
  FeedOptions options;
  options.subject = "orders.*";
  options.rules.reply_acks = ReplyAcks::kJetStream;
  auto feed = w.OpenAndListen(options, w.partition);
  PlainClient client(w.server->url());
  jsCtx* js = nullptr;
  REQUIRE(natsConnection_JetStream(&js, client.get(), nullptr) == NATS_OK);
  jsPubAck* ack = nullptr;
  jsErrCode code = static_cast<jsErrCode>(0);
  REQUIRE(js_Publish(&ack, js, "orders.new", "first", 5, nullptr, &code) == NATS_OK);
  CHECK(std::string(ack->Stream) == "noted");
  CHECK(ack->Sequence == 1);
  jsPubAck_Destroy(ack);
  for (int i = 0; i < 1000; ++i)
    REQUIRE(js_PublishAsync(js, "orders.new", "x", 1, nullptr) == NATS_OK);
  jsPubOptions wait;
  jsPubOptions_Init(&wait);
  wait.MaxWait = 20'000;
  CHECK(js_PublishAsyncComplete(js, &wait) == NATS_OK);
  CHECK(w.partition.size() == 1001);
  // Sequence 1000 is not the last one: JetStream's error, number and text.
  jsPubOptions expect;
  jsPubOptions_Init(&expect);
  expect.ExpectLastSeq = 1000;
  ack = nullptr;
  CHECK(js_Publish(&ack, js, "orders.new", "late", 4, &expect, &code) != NATS_OK);
  CHECK(code == JSStreamWrongLastSequenceErr);
  expect.ExpectLastSeq = 1001;
  REQUIRE(js_Publish(&ack, js, "orders.new", "next", 4, &expect, &code) == NATS_OK);
  CHECK(ack->Sequence == 1002);
  jsPubAck_Destroy(ack);
  jsPubOptions unsupported;
  jsPubOptions_Init(&unsupported);
  unsupported.ExpectLastMsgId = "abc";
  ack = nullptr;
  CHECK(js_Publish(&ack, js, "orders.new", "no", 2, &unsupported, &code) != NATS_OK);
  CHECK(code == JSBadRequestErr);
  CHECK(w.partition.size() == 1002);
  jsCtx_Destroy(js);
  w.Close(std::move(feed));
}

TEST_CASE(
    "nats bus: random bytes, and envelopes with any byte changed, never crash and are all stored") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("noise");
  PlainClient client(w.server->url());
  PublishMessage message;
  message.key = "key";
  message.value = "value";
  message.headers = {{"h", "v"}};
  message.correlation_id = "c";
  std::string good;
  nats::AppendPublishEnvelope(good, message);
  uint64_t state = 42;
  const auto next = [&] {
    return state = state * 6364136223846793005u + 1442695040888963407u, state >> 33;
  };
  size_t sent = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int change = 1; change < 256; change += 7) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      client.Publish("noise", bytes);
      ++sent;
    }
  }
  for (int i = 0; i < 2000; ++i, ++sent) {
    std::string bytes(next() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(next());
    if (i % 2 == 0 && bytes.size() >= 8)
      bytes.replace(0, 5, std::string("\xB9\x0E\x43\xB4\x00", 5));
    client.Publish("noise", bytes);
  }
  client.Flush();
  REQUIRE(w.Hears(sent));
  CHECK(w.partition.size() == sent);
  w.Close(std::move(feed));
}

}  // namespace
}  // namespace bascule
