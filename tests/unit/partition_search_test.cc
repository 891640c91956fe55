// Positions by time while the role of the replica changes: what a search found in the log of one reign is no answer
// in the next one, whose log may be another from where they part.
#include <doctest/doctest.h>

#include "tests/unit/partition_group.h"

namespace bascule::partition {
namespace {

constexpr Duration kSearchSecond = std::chrono::seconds(1);

using Located = std::shared_ptr<std::optional<absl::StatusOr<ReadRange>>>;

std::vector<TestMessage> Sized(int from, int to, size_t bytes) {
  std::vector<TestMessage> messages = Values(from, to);
  for (TestMessage& message : messages)
    message.value.resize(std::max(bytes, message.value.size()), 'x');
  return messages;
}

// b1 leads: 0 to 4 are committed, 5 to 9 are not, one a second; `at[i]` is when.
struct SearchGroup : PartitionGroup {
  explicit SearchGroup(size_t bytes = 0) {
    Elect(1, 1, {1, 2, 3});
    Run();
    for (int i = 0; i < 10; ++i) {
      if (i == 5) lines.Cut(PeerId(1));
      at.push_back(clock.Wall());
      Publish(1, Sized(i, i + 1, bytes));
      Run(kSearchSecond);
    }
    REQUIRE(Status(1).high_watermark == Offset(5));
    REQUIRE(Status(1).log_end == Offset(10));
  }
  // Its work on the disk is held back, if `held`.
  Located Search(Timestamp time, bool held = true) {
    auto located = std::make_shared<std::optional<absl::StatusOr<ReadRange>>>();
    const size_t before = (*this)[1].held_pool.held.size();
    (*this)[1].held_pool.hold_next = held;
    (*this)[1].partition->Locate({StartPosition::Kind::kTimestamp, 0, time}, {},
                                 Direction::kForward,
                                 [located](absl::StatusOr<ReadRange> found) { *located = found; });
    Run(std::chrono::milliseconds(1));
    REQUIRE((*this)[1].held_pool.held.size() == before + (held ? 1 : 0));
    return located;
  }
  // Others go on without it; what it alone has is cut.
  void OtherLeads(const std::function<void()>& publish) {
    Elect(2, 2, {2, 3}, 2, {1});
    Run();
    publish();
    Run();
    lines.Heal();
    Elect(2, 3, {2, 3});
    Run(2 * kSearchSecond);
    REQUIRE((*this)[1].Records() == (*this)[2].Records());
  }
  void LeadsAgain() {
    Elect(1, 4, {1, 2, 3});
    Run();
  }
  std::vector<Timestamp> at;
};

// The right one, or none, and whoever asked asks again.
void CheckAnswer(PartitionGroup& group, const Located& located, Offset right) {
  group[1].held_pool.LetGo();
  group.Run();
  REQUIRE(located->has_value());
  const absl::StatusOr<ReadRange>& found = **located;
  if (found.ok()) {
    CHECK(found->from == right);
    CHECK(found->from <= group.Status(1).high_watermark);
  } else {
    CHECK_MESSAGE(absl::IsUnavailable(found.status()), found.status().ToString());
  }
  CHECK(group.Status(1).degraded.empty());
}

}  // namespace

TEST_CASE("search by time: what is not committed is named in the next reign, which inherits it") {
  SearchGroup group;
  CHECK((**group.Search(group.at[7], false))->from == Offset(5));
  const Located located = group.Search(group.at[7]);
  group[1].partition->StandBy();
  group.Elect(1, 2, {1, 2, 3});
  group[1].held_pool.LetGo();
  group.Run();
  REQUIRE(located->has_value());
  CHECK((**located)->from == Offset(7));  // and is waited for
}

TEST_CASE("search by time: one that ends while another leads is told so") {
  SearchGroup group;
  const Located located = group.Search(group.at[3]);
  group.OtherLeads([] {});
  group[1].held_pool.LetGo();
  group.Run();
  REQUIRE(located->has_value());
  CHECK(absl::IsUnavailable((*located)->status()));
}

TEST_CASE("search by time: one that outlives the lead finds what the log holds now, or nothing") {
  SearchGroup group;
  const Located committed = group.Search(group.at[3]);
  const Located lost = group.Search(group.at[7]);
  SUBCASE("nothing came instead") {
    group.OtherLeads([] {});
    group.LeadsAgain();
    CheckAnswer(group, lost, Offset(5));
  }
  SUBCASE("small batches came instead") {
    group.OtherLeads([&] {
      for (int i = 0; i < 20; ++i) {
        group.Publish(2, Values(100 + i, 101 + i));
        group.Run(std::chrono::milliseconds(10));
      }
    });
    group.LeadsAgain();
    CheckAnswer(group, lost, Offset(5));
  }
  CheckAnswer(group, committed, Offset(3));
}

TEST_CASE("search by time: one that outlives the lead passes over nothing that came instead") {
  SUBCASE("one batch, larger than all that was cut") {
    SearchGroup group;
    const Located lost = group.Search(group.at[7]);
    group.OtherLeads([&] { group.Publish(2, Values(100, 200)); });
    group.LeadsAgain();
    CheckAnswer(group, lost, Offset(5));
  }
  SUBCASE("batches that begin elsewhere than the index says") {
    SearchGroup group(20'000);
    const Located lost = group.Search(group.at[9]);
    group.OtherLeads([&] {
      for (int i = 0; i < 20; ++i) {
        group.Publish(2, Sized(100 + i, 101 + i, 7'000));
        group.Run(std::chrono::milliseconds(10));
      }
    });
    group.LeadsAgain();
    CheckAnswer(group, lost, Offset(5));
  }
}

TEST_CASE("positions: who was shown more than a new leader knows waits for it") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, Values(0, 6));
  group.Run();
  REQUIRE(group.Status(1).high_watermark == Offset(6));
  // All start anew, and the leader has not heard of the others yet.
  for (int n = 1; n <= 3; ++n) group[n].partition->Close(absl::UnavailableError("restarts"));
  group.Run();
  for (int n = 1; n <= 3; ++n) group[n].Start();
  group.lines.Cut(PeerId(1));
  group.Elect(1, 2, {1, 2, 3});
  group.Run();
  REQUIRE(group.Status(1).high_watermark < Offset(4));
  const auto from = [&group](int at, StartPosition::Kind kind, int64_t offset) {
    const auto range = Ask<absl::StatusOr<ReadRange>>(group.scheduler, [&](auto done) {
      group[at].partition->Locate({kind, offset, {}, /*any_replica=*/true}, {}, Direction::kForward,
                                  std::move(done));
    });
    REQUIRE_MESSAGE(range.ok(), range.status().ToString());
    return range->from;
  };
  CHECK(from(1, StartPosition::Kind::kOffset, 4) == Offset(4));
  CHECK(from(1, StartPosition::Kind::kOffset, 6) == Offset(6));
  CHECK(from(1, StartPosition::Kind::kNewOnly, 0) == Offset(6));
  CHECK(from(1, StartPosition::Kind::kLatest, 0) == Offset(5));
  // Nobody was shown what came in this reign: of that the wire contract holds.
  group.Publish(1, Values(6, 9));
  group.Run();
  REQUIRE(group.Status(1).log_end == Offset(9));
  for (const int64_t offset : {7, 9, 100})
    CHECK(from(1, StartPosition::Kind::kOffset, offset) == Offset(6));
  // A follower lags.
  CHECK(from(2, StartPosition::Kind::kOffset, 100) == Offset(100));
  group.lines.Heal();
  group.Run(3 * kSearchSecond);
  REQUIRE(group.Status(1).high_watermark == Offset(9));
  CHECK(from(1, StartPosition::Kind::kOffset, 100) == Offset(9));
}

}  // namespace bascule::partition
