// Streams that would answer the same plain messages.
#include <doctest/doctest.h>

#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

StreamSpec Answering(const std::string& name, const std::string& subject) {
  StreamSpec spec = Spec(name);
  spec.subject = subject;
  spec.overrides.reply_acks = ReplyAcks::kJetStream;
  return spec;
}

TEST_CASE("a second stream that would answer the same messages is refused, naming the first") {
  MetaWorld world(2);
  CHECK(world.Await(world[1].Create(Answering("orders", "orders.*"))).ok());
  const absl::Status refused = world.Await(world[2].Create(Answering("more", "orders.eu")));
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(refused.message().find("subjects overlap with an existing stream") != std::string::npos);
  CHECK(refused.message().find("stream orders on \"orders.*\"") != std::string::npos);

  // Each of the remedies.
  StreamSpec off = Answering("off", "orders.eu");
  off.overrides.reply_acks = ReplyAcks::kOff;
  CHECK(world.Await(world[2].Create(off)).ok());
  CHECK(world.Await(world[2].Create(Answering("other", "orders.eu.north"))).ok());
  StreamSpec grouped = Answering("grouped", "trade");
  grouped.group = "g";
  CHECK(world.Await(world[1].Create(grouped)).ok());
  grouped.name = "grouped too";
  CHECK(world.Await(world[1].Create(grouped)).ok());
  // And the last resort.
  CHECK(world.Await(world[1].Delete("orders")).ok());
  CHECK(world.Await(world[2].Create(Answering("more", "orders.eu"))).ok());
}

TEST_CASE("of two streams that overlap and are made at once, one is refused") {
  MetaWorld world(2);
  const auto one = world[1].Create(Answering("one", "a.>"));
  const auto two = world[1].Create(Answering("two", "*.b"));
  CHECK(world.Await(one).ok());
  CHECK(absl::IsFailedPrecondition(world.Await(two)));
  // What came to nothing is not in the way.
  CHECK(world.Await(world[1].Delete("one")).ok());
  CHECK(world.Await(world[1].Create(Answering("two", "*.b"))).ok());
}

TEST_CASE("reply acks that come from the metadata leader's defaults count too") {
  MetaWorld world(1);
  StreamSettings defaults;
  defaults.reply_acks = ReplyAcks::kJetStream;
  world[1].frontend->SetStreamDefaults(defaults);
  StreamSpec spec = Spec("one");
  CHECK(world.Await(world[1].Create(spec)).ok());
  spec.name = "two";
  CHECK(absl::IsFailedPrecondition(world.Await(world[1].Create(spec))));
}

// As a version before it was bound made it, or while this leader has not come to it.
void ProposeUnbound(MetaWorld& world, const std::string& name, const std::string& subject) {
  StreamDescription stream = SampleStream(name, 1, {"b1"});
  stream.subject = subject;
  stream.overrides.reply_acks.reset();
  world[1].log->Propose(EncodeCreateStream(stream), [](const absl::Status& s) { CHECK(s.ok()); });
  world.Run(std::chrono::milliseconds(20));
  REQUIRE(world[1].table().Find(name) != nullptr);
  REQUIRE_FALSE(world[1].table().Find(name)->overrides.reply_acks.has_value());
}

TEST_CASE("a stream that is not bound yet answers as the leader's defaults will have it") {
  for (const bool answering : {true, false}) {
    CAPTURE(answering);
    MetaWorld world(1);
    StreamSettings defaults;
    defaults.reply_acks = answering ? ReplyAcks::kJetStream : ReplyAcks::kOff;
    world[1].frontend->SetStreamDefaults(defaults);
    ProposeUnbound(world, "old", "trade.*");
    const absl::Status made = world.Await(world[1].Create(Answering("new", "trade.eu")));
    CHECK(absl::IsFailedPrecondition(made) == answering);
    CHECK(made.ok() == !answering);
  }
}

// As the leader writes it into a stream of an older version; clients cannot.
void Bind(MetaWorld& world, const std::string& name, ReplyAcks acks) {
  StreamOverrides changes;
  changes.reply_acks = acks;
  world[1].log->Propose(EncodeUpdateStream(name, changes),
                        [](const absl::Status& s) { CHECK(s.ok()); });
  world.Run(std::chrono::milliseconds(20));
}

TEST_CASE("what an update, a deletion and a snapshot make of who answers is known") {
  MetaWorld world(1);
  ProposeUnbound(world, "one", "a.b");
  CHECK(world[1].table().answering().size() == 1);
  Bind(world, "one", ReplyAcks::kOff);
  CHECK(world[1].table().answering().size() == 0);
  CHECK(world.Await(world[1].Create(Answering("two", "a.*"))).ok());
  MetaTable restored;
  REQUIRE(restored.Restore(world[1].table().applied(), world[1].table().Snapshot()).ok());
  CHECK(restored.answering().size() == 1);
  CHECK(world.Await(world[1].Delete("two")).ok());
  CHECK(world[1].table().answering().size() == 0);
  Bind(world, "one", ReplyAcks::kJetStream);
  CHECK(world[1].table().answering().size() == 1);
  CHECK(absl::IsFailedPrecondition(world.Await(world[1].Create(Answering("two", "a.*")))));
}

}  // namespace
}  // namespace bascule::metadata
