#include "core/ports/stream_catalog.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule {

std::shared_ptr<const CatalogEntry> StreamCatalog::Find(std::string_view name) const {
  const absl::ReaderMutexLock lock(&mutex_);
  const auto entry = entries_.find(name);
  return entry == entries_.end() ? nullptr : entry->second;
}

std::vector<std::shared_ptr<const CatalogEntry>> StreamCatalog::All() const {
  const absl::ReaderMutexLock lock(&mutex_);
  std::vector<std::shared_ptr<const CatalogEntry>> all;
  all.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) all.push_back(entry);
  return all;
}

size_t StreamCatalog::size() const {
  const absl::ReaderMutexLock lock(&mutex_);
  return entries_.size();
}

void StreamCatalog::Put(std::shared_ptr<const CatalogEntry> entry) {
  BASCULE_CHECK(entry != nullptr);
  const std::string& name = entry->stream.name;
  const absl::MutexLock lock(&mutex_);
  // What was there before dies after the lock: its partitions' last owner may be this map.
  std::swap(entries_[name], entry);
}

void StreamCatalog::SetPast(std::string why) {
  const absl::MutexLock lock(&mutex_);
  past_ = std::move(why);
}

absl::Status StreamCatalog::Current() const {
  const absl::ReaderMutexLock lock(&mutex_);
  if (past_.empty()) return absl::OkStatus();
  return absl::UnavailableError(Concat("this broker does not know which streams there are now: ",
                                       past_, "; ask another broker of the cluster"));
}

absl::Status StreamCatalog::Missing(absl::Status otherwise) const {
  absl::Status current = Current();
  return current.ok() ? otherwise : current;
}

void StreamCatalog::Remove(std::string_view name) {
  std::shared_ptr<const CatalogEntry> removed;
  const absl::MutexLock lock(&mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return;
  removed = std::move(entry->second);
  entries_.erase(entry);
}

}  // namespace bascule
