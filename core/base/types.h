// The vocabulary of the system as distinct types: an epoch cannot be passed where an offset is
// meant, and nothing converts back to an integer unless asked (`.value()`).
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>

namespace bascule {

// An ordered integer with a name. Differences between two values are plain integers; a value moves
// by a plain integer.
template <typename Tag, typename Rep>
class Number {
 public:
  constexpr Number() = default;
  constexpr explicit Number(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const Number&) const = default;
  constexpr Number operator+(Rep n) const { return Number(value_ + n); }
  constexpr Number operator-(Rep n) const { return Number(value_ - n); }
  constexpr Rep operator-(Number other) const { return value_ - other.value_; }
  constexpr Number& operator+=(Rep n) {
    value_ += n;
    return *this;
  }
  constexpr Number& operator++() {
    ++value_;
    return *this;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Number& n) {
    return H::combine(std::move(h), n.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, const Number& n) { return out << n.value_; }

 private:
  Rep value_{};
};

// Position of a record in a partition, from 0. Ends are exclusive inside the process; the wire uses
// inclusive offsets with -1 for "none", and `ToWire`/`FromWire` are the only places that convert.
using Offset = Number<struct OffsetTag, int64_t>;
// Reign of one partition leader. Raised by the metadata log only.
using LeaderEpoch = Number<struct LeaderEpochTag, uint64_t>;
// Metadata index of the command that created the stream: never reused, names the stream's
// directory.
using StreamId = Number<struct StreamIdTag, uint64_t>;
using PartitionId = Number<struct PartitionIdTag, int32_t>;
// Index of a command in the metadata log.
using MetadataIndex = Number<struct MetadataIndexTag, uint64_t>;
// Wall-clock time in Unix nanoseconds, as it is stored and sent.
using Timestamp = Number<struct TimestampTag, int64_t>;
// Monotonic time of this process in nanoseconds; never stored, never sent.
using MonotonicTime = Number<struct MonotonicTimeTag, int64_t>;
// Byte position in a file.
using FilePosition = Number<struct FilePositionTag, uint64_t>;

using Duration = std::chrono::nanoseconds;

constexpr MonotonicTime Add(MonotonicTime t, Duration d) { return t + d.count(); }
constexpr Duration Between(MonotonicTime from, MonotonicTime to) { return Duration(to - from); }

// Exclusive end -> inclusive newest offset, -1 when nothing precedes the end.
constexpr int64_t ToWire(Offset exclusive_end) { return exclusive_end.value() - 1; }
// Inclusive newest offset (or -1) -> exclusive end.
constexpr Offset FromWire(int64_t inclusive) { return Offset(inclusive + 1); }

// The first offset of a leader epoch's records in a log, or in a part of one.
struct EpochStart {
  LeaderEpoch epoch;
  Offset start;
  constexpr bool operator==(const EpochStart&) const = default;
};

// Which partition of which stream, as ids: how the process names a partition internally.
struct PartitionKey {
  StreamId stream;
  PartitionId partition;
  constexpr auto operator<=>(const PartitionKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const PartitionKey& k) {
    return H::combine(std::move(h), k.stream, k.partition);
  }
};

enum class AckPolicy : uint8_t { kLeader = 0, kAll = 1, kNone = 2 };  // values of the wire enum
enum class Durability : uint8_t { kFsync = 0, kOs = 1 };

}  // namespace bascule
