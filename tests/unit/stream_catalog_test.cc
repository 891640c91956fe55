#include "core/ports/stream_catalog.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

namespace bascule {
namespace {

std::shared_ptr<const CatalogEntry> Entry(std::string name, std::string subject) {
  auto entry = std::make_shared<CatalogEntry>();
  entry->stream.name = std::move(name);
  entry->stream.subject = std::move(subject);
  return entry;
}

TEST_CASE("entries are found by name, listed by name, replaced and removed") {
  StreamCatalog catalog;
  CHECK(catalog.Find("b") == nullptr);
  catalog.Put(Entry("b", "1"));
  catalog.Put(Entry("a", "2"));
  CHECK(catalog.size() == 2);
  const auto before = catalog.Find("b");
  catalog.Put(Entry("b", "3"));
  CHECK(catalog.size() == 2);
  CHECK(before->stream.subject == "1");  // who holds an entry keeps it
  CHECK(catalog.Find("b")->stream.subject == "3");
  const auto all = catalog.All();
  REQUIRE(all.size() == 2);
  CHECK(all[0]->stream.name == "a");
  CHECK(all[1]->stream.name == "b");
  catalog.Remove("b");
  catalog.Remove("unknown");
  CHECK(catalog.Find("b") == nullptr);
  CHECK(catalog.size() == 1);
}

TEST_CASE("what is replaced or removed may look into the catalog while it dies") {
  StreamCatalog catalog;
  int deaths = 0;
  const auto entry = [&](std::string subject) {
    return std::shared_ptr<const CatalogEntry>(new CatalogEntry(*Entry("a", std::move(subject))),
                                               [&](const CatalogEntry* dying) {
                                                 deaths += catalog.size() < 2;  // takes the lock
                                                 delete dying;
                                               });
  };
  catalog.Put(entry("1"));
  catalog.Put(entry("2"));
  CHECK(deaths == 1);
  catalog.Remove("a");
  CHECK(deaths == 2);
}

TEST_CASE("readers run beside a writer and see whole entries") {
  StreamCatalog catalog;
  catalog.Put(Entry("a", "a"));
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!done) {
      const auto entry = catalog.Find("a");
      if (entry == nullptr || entry->stream.subject != "a") ++wrong;
      for (const auto& each : catalog.All()) wrong += each->stream.name != each->stream.subject;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    catalog.Put(Entry("a", "a"));
    catalog.Put(Entry("b", "b"));
    catalog.Remove("b");
  }
  done = true;
  reader.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace bascule
