#include "core/log/tail_cache.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace bascule::log {
namespace {

// A cache looks at no bytes, so any will do: 10 of the letter that belongs to the offset.
Bytes Batch(int64_t base, size_t size = 10) {
  return Bytes(std::string(size, static_cast<char>('a' + base % 26)));
}

void Add(TailCache& cache, int64_t base, int64_t end, size_t size = 10) {
  cache.Add(Batch(base, size), Offset(base), Offset(end));
}

std::string Text(const std::optional<TailCache::Found>& found) {
  return found ? std::string(found->batches.view()) : "none";
}

constexpr Offset kAll(1000);

TEST_CASE("a read begins with the batch that holds the offset and joins what follows") {
  TailCacheBudget budget(1000);
  TailCache cache(budget, 1000);
  CHECK_FALSE(cache.start());
  CHECK_FALSE(cache.Read(Offset(0), kAll, 100));
  Add(cache, 5, 7);
  Add(cache, 7, 8);
  Add(cache, 8, 12);
  CHECK(*cache.start() == Offset(5));
  for (const int64_t from : {5, 6}) {
    const auto found = cache.Read(Offset(from), kAll, 100);
    CHECK(Text(found) == "ffffffffffhhhhhhhhhhiiiiiiiiii");
    CHECK(found->next == Offset(12));
  }
  CHECK(Text(cache.Read(Offset(11), kAll, 100)) == "iiiiiiiiii");
  CHECK_FALSE(cache.Read(Offset(4), kAll, 100));
  CHECK_FALSE(cache.Read(Offset(12), kAll, 100));
}

TEST_CASE("a read takes whole batches up to the bytes asked for, but one at least") {
  TailCacheBudget budget(1000);
  TailCache cache(budget, 1000);
  for (int64_t i = 0; i < 4; ++i) Add(cache, i, i + 1);
  CHECK(cache.Read(Offset(0), kAll, 1)->next == Offset(1));
  CHECK(cache.Read(Offset(0), kAll, 19)->next == Offset(1));
  CHECK(cache.Read(Offset(0), kAll, 20)->next == Offset(2));
  CHECK(cache.Read(Offset(0), kAll, 39)->next == Offset(3));
}

TEST_CASE("nothing at or past the committed end is given") {
  TailCacheBudget budget(1000);
  TailCache cache(budget, 1000);
  for (int64_t i = 0; i < 4; ++i) Add(cache, i, i + 1);
  CHECK(cache.Read(Offset(0), Offset(2), 100)->next == Offset(2));
  CHECK_FALSE(cache.Read(Offset(2), Offset(2), 100));
}

TEST_CASE("one batch is handed out as it is, without a copy") {
  TailCacheBudget budget(1000);
  TailCache cache(budget, 1000);
  const Bytes batch = Batch(0);
  cache.Add(batch, Offset(0), Offset(1));
  CHECK(cache.Read(Offset(0), kAll, 100)->batches.data() == batch.data());
}

TEST_CASE("past its own limit a cache drops its oldest, never its newest") {
  TailCacheBudget budget(1000);
  TailCache cache(budget, 25);
  for (int64_t i = 0; i < 4; ++i) Add(cache, i, i + 1);
  CHECK(*cache.start() == Offset(2));
  CHECK(budget.used() == 20);
  Add(cache, 4, 5, 200);  // larger than the limit: kept alone, so that readers at the end have it
  CHECK(*cache.start() == Offset(4));
  CHECK(budget.used() == 200);
}

TEST_CASE("a batch that does not follow starts the cache afresh") {
  TailCacheBudget budget(1000);
  TailCache cache(budget, 1000);
  Add(cache, 0, 5);
  Add(cache, 3, 4);  // after a truncation
  CHECK(*cache.start() == Offset(3));
  CHECK(budget.used() == 10);
  Add(cache, 9, 10);
  CHECK(*cache.start() == Offset(9));
}

TEST_CASE("past the budget the cache that has gone longest without an append gives first") {
  TailCacheBudget budget(60);
  TailCache idle(budget, 1000);
  TailCache busy(budget, 1000);
  TailCache empty(budget, 1000);
  for (int64_t i = 0; i < 3; ++i) Add(busy, i, i + 1);
  for (int64_t i = 0; i < 3; ++i) Add(idle, i, i + 1);
  Add(busy, 3, 4);
  CHECK(budget.used() == 60);
  CHECK(*idle.start() == Offset(1));
  CHECK(*busy.start() == Offset(0));
  for (int64_t i = 4; i < 6; ++i) Add(busy, i, i + 1);
  CHECK_FALSE(idle.start());
  Add(busy, 6, 7);  // nobody else has anything left
  CHECK(*busy.start() == Offset(1));
  CHECK(budget.used() == 60);
}

TEST_CASE("what is larger than the whole budget is not kept at all") {
  TailCacheBudget budget(60);
  TailCache cache(budget, 1000);
  Add(cache, 0, 1);
  Add(cache, 1, 2, 61);
  CHECK_FALSE(cache.start());
  CHECK(budget.used() == 0);
}

TEST_CASE("a cache that goes away gives its share back; bytes that were read stay") {
  TailCacheBudget budget(60);
  auto gone = std::make_unique<TailCache>(budget, 1000);
  TailCache stays(budget, 1000);
  Add(*gone, 0, 1);
  Add(stays, 0, 1);
  const auto found = gone->Read(Offset(0), kAll, 100);
  gone.reset();
  CHECK(budget.used() == 10);
  CHECK(Text(found) == "aaaaaaaaaa");
  for (int64_t i = 1; i < 10; ++i) Add(stays, i, i + 1);
  CHECK(budget.used() == 60);
  stays.Clear();
  CHECK(budget.used() == 0);
}

}  // namespace
}  // namespace bascule::log
