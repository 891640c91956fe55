// Which streams there are, for threads that serve clients: a reader-locked map fed by metadata
// deltas. Entries are immutable; a change puts a new one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "core/ports/partition_port.h"
#include "core/stream/description.h"

namespace bascule {

struct CatalogEntry {
  StreamDescription stream;
  StreamSettings settings;
  // One per partition, in id order; null where this broker holds no replica.
  std::vector<std::shared_ptr<PartitionPort>> partitions;
};

// Any thread.
class StreamCatalog {
 public:
  std::shared_ptr<const CatalogEntry> Find(std::string_view name) const;  // null when unknown
  std::vector<std::shared_ptr<const CatalogEntry>> All() const;           // by name
  size_t size() const;
  void Put(std::shared_ptr<const CatalogEntry> entry);
  void Remove(std::string_view name);
  // Why what stands here is from the past (this broker cannot follow the cluster's metadata); empty: it is
  // not. Then answers from it would be wrong: clients are told to ask another broker.
  void SetPast(std::string why);
  absl::Status Current() const;  // OK, or Unavailable
  // What to answer when `otherwise` follows from a stream that is not here.
  absl::Status Missing(absl::Status otherwise) const;

 private:
  mutable absl::Mutex mutex_;
  std::string past_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<const CatalogEntry>, std::less<>> entries_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule
