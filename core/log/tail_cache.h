// The newest batches of a log, in memory: readers at the end never touch the disk. Caches of one
// shard share a budget; when it is used up, the cache that has gone longest without an append gives
// first.
#pragma once

#include <deque>
#include <list>
#include <optional>

#include "core/base/bytes.h"
#include "core/base/types.h"

namespace bascule::log {

class TailCache;

// One per shard; must outlive its caches.
class TailCacheBudget {
 public:
  explicit TailCacheBudget(size_t bytes) : limit_(bytes) {}
  size_t used() const { return used_; }

 private:
  friend class TailCache;
  size_t limit_;
  size_t used_ = 0;
  std::list<TailCache*> by_age_;  // front: latest append
};

// On the shard.
class TailCache {
 public:
  TailCache(TailCacheBudget& budget, size_t limit);
  ~TailCache();
  TailCache(const TailCache&) = delete;
  TailCache& operator=(const TailCache&) = delete;

  // `batch` holds the offsets [base, end); it follows what was added before (else the cache starts
  // afresh).
  void Add(Bytes batch, Offset base, Offset end);
  void Clear();
  // First offset in here; nullopt when empty.
  std::optional<Offset> start() const;

  struct Found {
    Bytes batches;  // one after another
    Offset next;    // end of the last one
  };
  // Batches from the one that holds `from` on, below `committed`, until `max_bytes` are reached (at
  // least one). nullopt: `from` is not in here.
  std::optional<Found> Read(Offset from, Offset committed, size_t max_bytes) const;

 private:
  struct Entry {
    Bytes batch;
    Offset base;
    Offset end;
  };
  void DropOldest();
  void CheckInvariants() const;

  TailCacheBudget& budget_;
  const size_t limit_;
  size_t used_ = 0;
  std::deque<Entry> entries_;
  std::list<TailCache*>::iterator age_;
};

}  // namespace bascule::log
