// What the load programs publish: every byte of a payload follows from (run, sequence, size, time
// sent), so a reader can tell a lost, repeated, reordered, swapped or changed message from the
// payload alone.
//
//   bytes 0-7    run
//   bytes 8-15   sequence
//   bytes 16-23  sent, ns of the monotonic clock
//   bytes 24-31  checksum of these three and the size
//   bytes 32-    a cut of the run's fixed noise that depends on the sequence (incompressible,
//                compared byte by byte)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace bascule::bench {

inline constexpr size_t kPayloadHeaderBytes = 32;

struct PayloadHeader {
  uint64_t run = 0;
  uint64_t sequence = 0;
  int64_t sent_ns = 0;
  uint64_t checksum = 0;
};

// Payloads of one run and one size (at least kPayloadHeaderBytes). One thread at a time.
class PayloadMaker {
 public:
  PayloadMaker(uint64_t run, size_t bytes);

  // Valid until the next call.
  std::string_view Make(uint64_t sequence, int64_t sent_ns);

 private:
  uint64_t run_;
  std::string noise_;
  std::string payload_;
};

// Accepts exactly the sequences 0, 1, 2, ... of one run. One thread at a time.
class PayloadChecker {
 public:
  PayloadChecker(uint64_t run, size_t bytes);

  // DataLoss that says what is wrong with this payload and where: missing, repeated, foreign or
  // changed.
  absl::Status Check(std::string_view payload);
  uint64_t next() const { return next_; }

 private:
  uint64_t run_;
  size_t bytes_;
  std::string noise_;
  uint64_t next_ = 0;
};

// Header of a payload; zeros when it is shorter than one.
PayloadHeader ReadHeader(std::string_view payload);

}  // namespace bascule::bench
