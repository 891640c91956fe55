// The bytes of one simulated file, twice: what readers see (the page cache) and what the disk
// holds, with the list of changes between the two.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "core/env/rng.h"

namespace bascule {

// The unit a disk writes whole or not at all.
inline constexpr uint64_t kSimSectorBytes = 512;

// What a machine crash leaves of the changes that no sync covered.
enum class UnsyncedFate {
  kLost,      // none
  kSectors,   // of each sector some state it went through, each sector for itself: torn, reordered,
              // holes of zeros
  kTornLast,  // all but the last write, of which a prefix (of any length in bytes) remains
  kKept,      // all: the kernel had just written everything back
  kAny,       // one of the above, drawn for each file
};

class SimContent {
 public:
  // Numbers changes in the order they are made. `change_count()` is the number that the next change
  // gets.
  using ChangeNumber = uint64_t;

  const std::string& visible() const { return visible_; }
  const std::string& durable() const { return durable_; }
  ChangeNumber change_count() const { return first_change_ + unsynced_.size(); }
  size_t unsynced_changes() const { return unsynced_.size(); }

  void Write(uint64_t position, std::string_view data);
  void Truncate(uint64_t size);

  // Changes below `end` become durable, in order.
  void SyncThrough(ChangeNumber end);
  // A sync that failed: of the changes below `end` a random part reached the disk, the rest never
  // will, but readers go on seeing all of it (what Linux does: the pages are marked clean).
  void FailSyncThrough(ChangeNumber end, Rng& rng);
  // The machine dies: readers now see what the disk holds.
  void Crash(UnsyncedFate fate, Rng& rng);

  // Damage to the medium, seen by everybody at once. `position` is inside the durable bytes.
  void FlipBit(uint64_t position, int bit);
  // Somebody cut the file: to `size` for readers and on the disk, with nothing unsynced left.
  void CutDurably(uint64_t size);

 private:
  // A write of `data` at `position`, or (is_truncate) a change of the size to `position`.
  struct Change {
    uint64_t position;
    std::string data;
    bool is_truncate;
  };
  static void Apply(const Change& change, std::string& bytes);
  static void Put(std::string& bytes, uint64_t position, std::string_view data);
  void KeepSomeSectors(size_t changes, Rng& rng);
  void KeepAllButTornLast(Rng& rng);
  void DropChanges(size_t n);

  std::string visible_;
  std::string durable_;
  std::deque<Change> unsynced_;
  ChangeNumber first_change_ = 0;
};

}  // namespace bascule
