// From a NATS message to the record a partition gets: bytes, ack, order, and what happens when the
// queue is full.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "core/env/thread_executor.h"
#include "core/wire/record.h"
#include "nats_bridge/ingestor.h"
#include "nats_bridge/publish_envelope.h"
#include "tests/support/sim_clock.h"
#include "tests/unit/nats_ingest_world.h"

namespace bascule::nats {
namespace {

class FakeRefuser : public PublishRefuser {
 public:
  void RefuseJetStream(std::string_view inbox, const JetStreamError& error) override {
    inboxes.emplace_back(inbox);
    errors.push_back(error);
  }
  std::vector<std::string> inboxes;
  std::vector<JetStreamError> errors;
};

// Ends one test's world in order: the executor first, then what its tasks refer to.
struct World {
  SimClock clock;
  FakeRefuser refuser;
  FakePartition partition;
  Ingestor ingestor{"ns.ack", clock, refuser};
  ThreadExecutor shard{"shard", 1};
  FeedOptions options{.subject = "foo",
                      .group = "",
                      .partition_subject = "foo",
                      .rules = {},
                      .max_message_bytes = 1024};
  std::shared_ptr<FeedState> feed = ingestor.MakeFeed(partition, shard);

  void Deliver(const std::vector<BusMessage>& messages) {
    const auto handler = ingestor.MakeHandler(options, feed);
    for (const BusMessage& message : messages) handler->OnMessage(message);
    ingestor.EndOfReceive();
    shard.Stop();
  }
  const Seen& Only(const BusMessage& message) {
    Deliver({message});
    REQUIRE(partition.seen.size() == 1);
    return partition.seen[0];
  }
};

BusMessage Plain(std::string_view payload, std::string_view reply = {},
                 const wire::HeaderList* headers = nullptr) {
  return BusMessage{
      .subject = "foo", .reply = reply, .payload = payload, .headers = headers, .header_bytes = 0};
}

std::string Envelope(const PublishMessage& message) {
  std::string out;
  AppendPublishEnvelope(out, message);
  return out;
}

TEST_CASE("nats ingest: a plain message is its payload, reply kept, subject left away") {
  World w;
  const Seen& got = w.Only(Plain("hello", "my.reply"));
  const auto view = got.view();
  CHECK(view.value == "hello");
  CHECK(!view.key.has_value());
  CHECK(!view.subject.has_value());
  CHECK(view.reply == "my.reply");
  CHECK(got.subject == "foo");
  CHECK(got.record.ack_format == AckFormat::kNone);
  CHECK(got.record.payload_bytes == 5);
  CHECK(got.record.expected_offset == -1);
  CHECK(got.record.partition == &w.partition);
  CHECK(w.partition.appends == 1);
}

TEST_CASE("nats ingest: an empty payload is an empty value, not none") {
  World w;
  const auto view = w.Only(Plain("")).view();
  REQUIRE(view.value.has_value());
  CHECK(view.value->empty());
}

TEST_CASE("nats ingest: NATS headers are kept, repeated ones too, reserved ones are not") {
  World w;
  const wire::HeaderList headers{
      {"A", "1"}, {"A", "2"}, {"subject", "x"}, {"reply", "y"}, {"b\xff", "\xfe"}};
  const auto view = w.Only(Plain("p", "", &headers)).view();
  REQUIRE(view.headers.size() == 3);
  CHECK(view.headers[0].second == "1");
  CHECK(view.headers[1].second == "2");
  CHECK(view.headers[2].first == "b%FF");
  CHECK(view.headers[2].second == "\xfe");  // values are bytes
  CHECK(w.ingestor.counts().reserved_headers == 2);
  CHECK(w.ingestor.counts().escaped_strings == 1);
}

TEST_CASE("nats ingest: a subject that differs is stored, and made valid UTF-8") {
  World w;
  w.options.subject = "foo.*";
  w.options.partition_subject = "foo.*";
  BusMessage message = Plain("p", "r\xc3");
  message.subject = "foo.\xff";
  const Seen& got = w.Only(message);
  CHECK(got.view().subject == "foo.%FF");
  CHECK(got.view().reply == "r%C3");
  CHECK(got.subject == "foo.%FF");
}

TEST_CASE("nats ingest: wildcards skip internal subjects unless asked") {
  for (const bool record_internal : {false, true}) {
    World w;
    w.options.subject = w.options.partition_subject = ">";
    w.options.rules.record_internal_subjects = record_internal;
    std::vector<BusMessage> messages;
    for (const auto* subject :
         {"ns.ack.x.1", "_INBOX.a", "$SYS.b", "$JS.API.c", "ordinary", "ns.ackx"}) {
      messages.push_back(Plain("p"));
      messages.back().subject = subject;
    }
    w.Deliver(messages);
    CHECK(w.partition.seen.size() == (record_internal ? 6 : 2));
    CHECK(w.ingestor.counts().internal_skipped == (record_internal ? 0 : 4));
  }
  World w;  // who names an internal subject outright means it
  w.options.subject = w.options.partition_subject = "_INBOX.a";
  BusMessage message = Plain("p");
  message.subject = "_INBOX.a";
  w.Only(message);
}

TEST_CASE("nats ingest: an envelope brings key, headers and ack wishes") {
  World w;
  PublishMessage publish;
  publish.key = "k";
  publish.value = "v";
  publish.headers = {{"h", "1"}, {"reply", "fake"}};
  publish.ack_inbox = "in.box";
  publish.correlation_id = "cid";
  publish.ack_policy = 1;
  publish.expected_offset = 7;
  const std::string bytes = Envelope(publish);
  const Seen& got = w.Only(Plain(bytes, "a.reply"));
  CHECK(got.view().key == "k");
  CHECK(got.view().value == "v");
  CHECK(got.view().headers.size() == 1);
  CHECK(got.view().reply == "a.reply");
  CHECK(got.ack_inbox == "in.box");
  CHECK(got.correlation_id == "cid");
  CHECK(got.record.policy == AckPolicy::kAll);
  CHECK(got.record.ack_format == AckFormat::kEnvelope);
  CHECK(got.record.payload_bytes == bytes.size());
  CHECK(got.record.expected_offset == -1);  // not asked of a stream without concurrency control
}

TEST_CASE(
    "nats ingest: of a header that NATS and the envelope both have, the envelope's value is "
    "shown") {
  World w;
  const wire::HeaderList of_nats{{"both", "NATS"}, {"nats", "1"}, {"A", "NATS"}};
  PublishMessage publish;
  publish.headers = {{"A", "envelope"}, {"envelope", "2"}, {"both", "envelope"}};
  const std::string bytes = Envelope(publish);
  const Seen& got = w.Only(Plain(bytes, "", &of_nats));
  // As a reader of the record takes them into a map.
  std::map<std::string, std::string> shown;
  for (const auto& [name, value] : got.view().headers) shown[std::string(name)] = value;
  CHECK(shown == std::map<std::string, std::string>{
                     {"A", "envelope"}, {"both", "envelope"}, {"envelope", "2"}, {"nats", "1"}});
}

TEST_CASE(
    "nats ingest: concurrency control passes the expected offset, plain messages are not asked") {
  World w;
  w.options.rules.optimistic_concurrency_control = true;
  const std::string bytes = Envelope(PublishMessage{.key = {},
                                                    .value = "v",
                                                    .headers = {},
                                                    .stream = {},
                                                    .subject = {},
                                                    .ack_inbox = {},
                                                    .correlation_id = {},
                                                    .ack_policy = 0,
                                                    .expected_offset = 7});
  w.Deliver({Plain(bytes), Plain("plain")});
  REQUIRE(w.partition.seen.size() == 2);
  CHECK(w.partition.seen[0].record.expected_offset == 7);
  CHECK(w.partition.seen[1].record.expected_offset == -1);
}

TEST_CASE("nats ingest: odd ack wishes") {
  const std::string longest(limits::kNatsControlLineBytes - 11, 'i');  // beside a payload's size
  const std::string too_long = longest + "i";
  for (const auto& [inbox, policy, format, want] :
       std::vector<std::tuple<std::string, int, AckFormat, AckPolicy>>{
           {"in.box", 0, AckFormat::kEnvelope, AckPolicy::kLeader},
           {"in.box", 2, AckFormat::kEnvelope, AckPolicy::kNone},
           {"in.box", 99, AckFormat::kEnvelope, AckPolicy::kNone},
           {"", 1, AckFormat::kNone, AckPolicy::kNone},
           {"in box", 1, AckFormat::kNone, AckPolicy::kNone},
           {"in\r\nPUB x", 1, AckFormat::kNone, AckPolicy::kNone},
           {"in..box", 1, AckFormat::kNone, AckPolicy::kNone},
           {longest, 1, AckFormat::kEnvelope, AckPolicy::kAll},
           {too_long, 1, AckFormat::kNone, AckPolicy::kNone}}) {
    World w;
    PublishMessage publish;
    publish.ack_inbox = inbox;
    publish.ack_policy = policy;
    const std::string bytes = Envelope(publish);
    const Seen& got = w.Only(Plain(bytes));
    CAPTURE(inbox);
    CAPTURE(policy);
    CHECK(got.record.ack_format == format);
    CHECK(got.record.policy == want);
  }
}

TEST_CASE("nats ingest: a malformed envelope is stored whole") {
  World w;
  const std::string whole = Envelope(PublishMessage{.key = "k",
                                                    .value = "v",
                                                    .headers = {},
                                                    .stream = {},
                                                    .subject = {},
                                                    .ack_inbox = {},
                                                    .correlation_id = {},
                                                    .ack_policy = 0,
                                                    .expected_offset = 0});
  std::vector<BusMessage> messages;
  for (size_t n = 0; n < whole.size(); ++n)
    messages.push_back(Plain(std::string_view(whole).substr(0, n)));
  w.Deliver(messages);
  REQUIRE(w.partition.seen.size() == whole.size());
  size_t malformed = 0;
  for (size_t n = 0; n < whole.size(); ++n) {
    const auto view = w.partition.seen[n].view();
    // Cut between two fields it is still a message of its own.
    if (n == 8 || n == 11) continue;
    CAPTURE(n);
    CHECK(view.value == std::string_view(whole).substr(0, n));
    malformed += n >= 4;
  }
  CHECK(w.ingestor.counts().malformed_envelopes == malformed);
}

TEST_CASE("nats ingest: JetStream replies become ack inboxes") {
  World w;
  w.options.rules.reply_acks = ReplyAcks::kJetStream;
  const wire::HeaderList headers{
      {"Nats-Expected-Stream", "S"}, {"Nats-Expected-Last-Sequence", "41"}, {"X-Request", "x"}};
  const Seen& got = w.Only(Plain("p", "_INBOX.me", &headers));
  CHECK(got.ack_inbox == "_INBOX.me");
  CHECK(!got.view().reply.has_value());
  CHECK(got.record.ack_format == AckFormat::kJetStream);
  CHECK(got.record.policy == AckPolicy::kAll);
  CHECK(got.expected_stream == "S");
  CHECK(got.record.expected_offset ==
        41);  // last sequence 41 = newest offset 40, the next one is 41
  CHECK(got.view().headers.size() == 3);
}

TEST_CASE("nats ingest: what the stream's settings say counts in an open feed") {
  World w;
  w.options.subject = w.options.partition_subject = ">";
  const auto handler = w.ingestor.MakeHandler(w.options, w.feed);
  PublishMessage expecting{};
  expecting.value = "v";
  expecting.expected_offset = 7;
  const std::string envelope = Envelope(expecting);
  BusMessage inbox = Plain("inbox");
  inbox.subject = "_INBOX.a";
  const auto deliver = [&] {
    for (const BusMessage& message : {Plain("p", "_INBOX.me"), Plain(envelope), inbox})
      handler->OnMessage(message);
    w.ingestor.EndOfReceive();
  };
  deliver();
  FeedRules rules;
  rules.reply_acks = ReplyAcks::kJetStream;
  rules.record_internal_subjects = true;
  rules.optimistic_concurrency_control = true;
  w.feed->rules = rules;
  deliver();
  w.shard.Stop();
  REQUIRE(w.partition.seen.size() == 5);
  CHECK(w.partition.seen[0].record.ack_format == AckFormat::kNone);
  CHECK(w.partition.seen[1].record.expected_offset == -1);
  CHECK(w.partition.seen[2].record.ack_format == AckFormat::kJetStream);
  CHECK(w.partition.seen[3].record.expected_offset == 7);
  CHECK(w.partition.seen[4].subject == "_INBOX.a");
}

TEST_CASE("nats ingest: what JetStream would check and we cannot is refused") {
  for (const auto* name :
       {"Nats-Expected-Last-Msg-Id", "Nats-Expected-Last-Subject-Sequence", "Nats-Msg-Id",
        "Nats-Rollup", "nats-rollup", "Nats-Expected-Future-Thing"}) {
    World w;
    w.options.rules.reply_acks = ReplyAcks::kJetStream;
    const wire::HeaderList headers{{name, "1"}};
    w.Deliver({Plain("p", "_INBOX.me", &headers)});
    CAPTURE(name);
    CHECK(w.partition.seen.empty());
    REQUIRE(w.refuser.errors.size() == 1);
    CHECK(w.refuser.inboxes[0] == "_INBOX.me");
    CHECK(w.refuser.errors[0].code == 400);
    CHECK(w.refuser.errors[0].description.find(name) != std::string::npos);
  }
  World w;
  w.options.rules.reply_acks = ReplyAcks::kJetStream;
  const wire::HeaderList headers{{"Nats-Expected-Last-Sequence", "many"}};
  w.Deliver({Plain("p", "_INBOX.me", &headers)});
  CHECK(w.refuser.errors.size() == 1);
}

TEST_CASE("nats ingest: the largest message that is taken is carried whole") {
  for (const size_t size : {1023, 1024}) {
    World w;
    const std::string value(size, 'x');
    const wire::HeaderList headers{{"A", "1"}};
    const auto view = w.Only(Plain(value, "", &headers)).view();
    CHECK(view.value == value);
    CHECK(view.headers.size() == 1);
  }
}

TEST_CASE("nats ingest: a message past the limit carries its size, not its bytes") {
  World w;
  const std::string big(1025, 'x');
  const Seen& got = w.Only(Plain(big));
  CHECK(got.body.empty());
  CHECK(got.record.payload_bytes == 1025);
}

TEST_CASE("nats ingest: a closed feed gets nothing, whatever is queued") {
  World w;
  const auto handler = w.ingestor.MakeHandler(w.options, w.feed);
  w.shard.Post([feed = w.feed] { feed->closed = true; });
  handler->OnMessage(Plain("a"));
  handler->OnGap(GapReport{});
  handler->OnListening(absl::OkStatus());
  w.ingestor.EndOfReceive();
  w.shard.Stop();
  CHECK(w.partition.order.empty());
  CHECK(w.partition.appends == 0);
}

TEST_CASE("nats ingest: many messages, one append per hand-over and partition, order kept") {
  World w;
  FakePartition other;
  const auto second = w.ingestor.MakeFeed(other, w.shard);
  const auto a = w.ingestor.MakeHandler(w.options, w.feed);
  const auto b = w.ingestor.MakeHandler(w.options, second);
  std::atomic<bool> go{false};
  w.shard.Post([&] { go.wait(false); });  // so that everything is handed over at once
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = std::to_string(i);
    (i % 3 == 0 ? b : a)->OnMessage(Plain(text));
  }
  w.ingestor.EndOfReceive();
  go = true;
  go.notify_all();
  w.shard.Stop();
  CHECK(w.partition.seen.size() + other.seen.size() == 10'000);
  CHECK(w.partition.appends == 1);
  CHECK(other.appends == 1);
  int last = -1;
  for (const Seen& seen : w.partition.seen) {
    const int number = std::stoi(std::string(*seen.view().value));
    CHECK(number > last);
    last = number;
  }
  CHECK(w.ingestor.held_bytes() == 0);
}

}  // namespace
}  // namespace bascule::nats
