// Commands that come more than once: each is carried out once, and its result is kept as long as
// somebody may ask for it.
#include <doctest/doctest.h>

#include "replication/meta/table/meta_table.h"
#include "tests/unit/meta_samples.h"

namespace bascule::metadata {

TEST_CASE("a command that comes again gives its result again and changes nothing") {
  MetaTable table = TableWith({"b1"});
  const CommandOrigin first{"b1", 1, 1, 0};
  const CommandOrigin second{"b1", 1, 2, 0};
  CHECK(table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s"), first)).result.ok());
  CHECK(absl::IsNotFound(table.Apply(MetadataIndex(12), EncodeDeleteStream("t", second)).result));
  CHECK(table.Apply(MetadataIndex(13), EncodeDeleteStream("s")).result.ok());
  const auto again = table.Apply(MetadataIndex(14), EncodeCreateStream(SampleStream("s"), first));
  CHECK(again.result.ok());
  CHECK(again.deltas.empty());
  CHECK(table.Find("s") == nullptr);
  CHECK(table.Kept(first)->ok());
  CHECK(absl::IsNotFound(*table.Kept(second)));
  CHECK_FALSE(table.Kept({"b1", 1, 3, 0}).has_value());
  CHECK_FALSE(table.Kept({"b1", 2, 1, 0}).has_value());
  // It survives a snapshot.
  MetaTable restored;
  REQUIRE(restored.Restore(table.applied(), table.Snapshot()).ok());
  CHECK(restored.Kept(first)->ok());
  CHECK(restored.Apply(MetadataIndex(15), EncodeCreateStream(SampleStream("s"), first))
            .deltas.empty());
}

TEST_CASE("what is answered is forgotten, and not carried out again") {
  MetaTable table = TableWith({"b1"});
  const auto create = EncodeCreateStream(SampleStream("s"), {"b1", 1, 1, 0});
  CHECK(table.Apply(MetadataIndex(11), create).result.ok());
  CHECK(table.Apply(MetadataIndex(12), EncodeDeleteStream("s", {"b1", 1, 2, 1})).result.ok());
  CHECK_FALSE(table.Kept({"b1", 1, 1, 0}).has_value());
  const auto late = table.Apply(MetadataIndex(13), create);
  CHECK(absl::IsAborted(late.result));
  CHECK(table.Find("s") == nullptr);
  // An `answered` that covers the command itself is none of ours, and does not hide it.
  CHECK(table.Apply(MetadataIndex(14), EncodeCreateStream(SampleStream("s"), {"b1", 1, 3, 9}))
            .result.ok());
}

TEST_CASE("a process that is not registered changes nothing") {
  MetaTable table = TableWith({"b1"});
  for (const CommandOrigin& origin : {CommandOrigin{"b1", 7, 1, 0}, CommandOrigin{"b9", 1, 1, 0}}) {
    const auto refused =
        table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s"), origin));
    CHECK(absl::IsFailedPrecondition(refused.result));
  }
  // A new process starts with its own sequences.
  table.Apply(MetadataIndex(12), EncodeCreateStream(SampleStream("s"), {"b1", 1, 5, 4}));
  table.Apply(MetadataIndex(13), EncodeRegisterBroker(Broker("b1", 2)));
  CHECK(table.Apply(MetadataIndex(14), EncodeDeleteStream("s", {"b1", 2, 1, 0})).result.ok());
  CHECK(absl::IsFailedPrecondition(
      table.Apply(MetadataIndex(15), EncodeCreateStream(SampleStream("s"), {"b1", 1, 6, 4}))
          .result));
}

TEST_CASE("a process with too many unanswered requests is refused, not remembered for ever") {
  MetaTable table = TableWith({"b1"});
  CHECK(absl::IsResourceExhausted(
      table.Apply(MetadataIndex(11), EncodeDeleteStream("s", {"b1", 1, 4097, 0})).result));
  CHECK(absl::IsNotFound(
      table.Apply(MetadataIndex(12), EncodeDeleteStream("s", {"b1", 1, 4096, 0})).result));
}

}  // namespace bascule::metadata
