// Where messages may be missing is listed as it stands in the log.
#include <doctest/doctest.h>

#include "tests/unit/partition_world.h"

namespace bascule::partition {
namespace {

absl::StatusOr<GapPage> Page(PartitionWorld& world, Offset from, size_t most) {
  return Ask<absl::StatusOr<GapPage>>(
      world.scheduler, [&](auto done) { world.partition->ListGaps(from, most, std::move(done)); });
}

// "offset:count" of every gap record, in pages of `most`.
std::vector<std::string> Listed(PartitionWorld& world, size_t most, Offset from = Offset(0)) {
  std::vector<std::string> all;
  for (int pages = 0;; ++pages) {
    REQUIRE(pages < 200);
    const absl::StatusOr<GapPage> page = Page(world, from, most);
    REQUIRE_MESSAGE(page.ok(), page.status().ToString());
    CHECK(page->gaps.size() <= most);
    for (const StoredGap& gap : page->gaps) all.push_back(Concat(gap.offset, ":", gap.gap.count));
    if (!page->next) return all;
    REQUIRE(*page->next > from);
    from = *page->next;
  }
}

// Every third record is a gap record; some twenty segments.
PartitionWorldOptions GapSegments() {
  PartitionWorldOptions options;
  options.settings.segment_max_bytes = 1024;
  return options;
}

std::vector<std::string> Fill(PartitionWorld& world, int64_t rounds) {
  std::vector<std::string> gaps;
  for (int64_t i = 0; i < rounds; ++i) {
    std::vector<TestMessage> messages = Values(0, 2);
    for (TestMessage& message : messages) message.value.resize(100, 'x');
    world.Publish(messages);
    world.partition->RecordGap({Timestamp(i + 1), Timestamp(i + 2), GapReason::kQueueFull, i});
    world.Run();
    gaps.push_back(Concat(i * 3 + 2, ":", i));
  }
  return gaps;
}

}  // namespace

TEST_CASE("gaps: listed in pages of any size, over all segments, from any offset") {
  PartitionWorld world(GapSegments());
  CHECK(Listed(world, 10).empty());
  const std::vector<std::string> gaps = Fill(world, 60);
  REQUIRE(world.SegmentPaths().size() > 10);
  for (const size_t most : {1, 2, 7, 1000}) CHECK(Listed(world, most) == gaps);
  for (int64_t from = 0; from < 180; ++from) {
    const auto first = gaps.begin() + from / 3;  // of the third record of its round
    CHECK(Listed(world, 4, Offset(from)) == std::vector<std::string>(first, gaps.end()));
  }
  CHECK(Listed(world, 4, Offset(180)).empty());
  CHECK(Listed(world, 4, Offset(1'000'000)).empty());
  const absl::StatusOr<GapPage> page = Page(world, Offset(5), 1);
  REQUIRE(page.ok());
  CHECK(page->gaps.at(0).gap.from == Timestamp(2));
  CHECK(page->gaps.at(0).gap.to == Timestamp(3));
  CHECK(page->gaps.at(0).gap.reason == GapReason::kQueueFull);
  world.CrashAndRestart(LeaderEpoch(2));
  const std::vector<std::string> after = Listed(world, 7);
  REQUIRE(after.size() >= gaps.size());
  CHECK(std::equal(gaps.begin(), gaps.end(), after.begin()));
}

TEST_CASE("gaps: segments without any are not read") {
  PartitionWorld world(GapSegments());
  for (int i = 0; i < 40; ++i) world.Publish(Values(0, 10));
  world.partition->RecordGap({Timestamp(1), Timestamp(2), GapReason::kDisconnected, -1});
  world.Run();
  const std::string gap = Concat(world.Status().log_end - 1, ":-1");
  for (int i = 0; i < 40; ++i) world.Publish(Values(0, 10));
  REQUIRE(world.SegmentPaths().size() > 10);
  // Whoever reads them all takes more pages.
  const absl::StatusOr<GapPage> page = Page(world, Offset(0), 10);
  REQUIRE(page.ok());
  REQUIRE(page->gaps.size() == 1);
  CHECK_FALSE(page->next.has_value());
  CHECK(Listed(world, 10) == std::vector<std::string>{gap});
}

TEST_CASE("gaps: only committed ones are listed") {
  PartitionWorld world;
  world.Publish(Values(0, 2));
  world.partition->OnView(LeaderEpoch(1), ViewOf({"self", "other"}, 2));
  world.partition->RecordGap({Timestamp(1), Timestamp(2), GapReason::kQueueFull, 3});
  world.Run();
  REQUIRE(world.Status().log_end == Offset(3));
  CHECK(Listed(world, 10).empty());
}

TEST_CASE("gaps: a damaged place hides what is in it and nothing else") {
  PartitionWorld world(GapSegments());
  std::vector<std::string> gaps = Fill(world, 60);
  const std::string path = world.SegmentPaths().at(3);
  const std::string bytes = world.fs.VisibleBytes(path);
  world.fs.FlipBit(path, bytes.size() / 2, 3);
  const std::vector<std::string> listed = Listed(world, 1000);
  CHECK(listed.size() >= gaps.size() - 1);
  CHECK(std::includes(gaps.begin(), gaps.end(), listed.begin(), listed.end(),
                      [&](const std::string& a, const std::string& b) {
                        return std::find(gaps.begin(), gaps.end(), a) <
                               std::find(gaps.begin(), gaps.end(), b);
                      }));
}

TEST_CASE("gaps: what does not serve says so") {
  PartitionWorld world;
  world.partition->StandBy();
  CHECK_FALSE(Page(world, Offset(0), 10).ok());
  world.partition->Close(absl::NotFoundError("commit log was deleted"));
  CHECK(absl::IsNotFound(Page(world, Offset(0), 10).status()));
}

}  // namespace bascule::partition
