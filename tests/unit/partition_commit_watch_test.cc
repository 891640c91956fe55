// Who waits for the high watermark is woken by it, whoever else waits.
#include "replication/partition/commit_watch.h"

#include <doctest/doctest.h>

#include <set>

namespace bascule::partition {

TEST_CASE("commit watch: whoever is due is woken, in whatever order they came, and once") {
  CommitWatch watch;
  std::multiset<uint64_t> woken;
  const auto wait = [&](uint64_t reader, int64_t past) {
    watch.Wait(ReaderId(reader), Offset(past), [&woken, reader](const absl::Status& status) {
      CHECK(status.ok());
      woken.insert(reader);
    });
  };
  wait(1, 1000);  // beyond the end
  wait(2, 4);
  wait(3, 5);
  wait(4, 3);
  wait(5, 999);
  watch.Notify(Offset(4));
  CHECK(woken == std::multiset<uint64_t>{4});
  watch.Notify(Offset(5));
  CHECK(woken == std::multiset<uint64_t>{2, 4});
  wait(2, 5);  // again
  watch.Notify(Offset(6));
  CHECK(woken == std::multiset<uint64_t>{2, 2, 3, 4});
  watch.Notify(Offset(1000));
  CHECK(woken == std::multiset<uint64_t>{2, 2, 3, 4, 5});
  watch.Notify(Offset(1001));
  watch.Notify(Offset(2000));
  CHECK(woken == std::multiset<uint64_t>{1, 2, 2, 3, 4, 5});
}

}  // namespace bascule::partition
