// When the calls of the simulated disk fail, and how often each was made.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/env/rng.h"

namespace bascule {

// Kinds of calls. Values are bits, so that a fault can name several: `kWrite | kSync`.
enum SimOp : uint32_t {
  kOpen = 1u << 0,
  kRead = 1u << 1,  // ReadAt and ReadAtNoWait
  kWrite = 1u << 2,
  kSync = 1u << 3,
  kTruncate = 1u << 4,
  kRename = 1u << 5,
  kRemove = 1u << 6,  // Remove and RemoveTree
  kCreateDirectories = 1u << 7,
  kSyncDir = 1u << 8,
  kList = 1u << 9,
  kSpace = 1u << 10,
  kLock = 1u << 11,
};
using SimOpMask = uint32_t;
inline constexpr int kSimOpKinds = 12;
inline constexpr SimOpMask kChangingOps =
    kOpen | kWrite | kSync | kTruncate | kRename | kRemove | kCreateDirectories | kSyncDir | kLock;
inline constexpr SimOpMask kAllOps = (1u << kSimOpKinds) - 1;
inline constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();

// Probabilities of a failure per call; 0 draws nothing.
struct SimFaultRates {
  double open = 0;
  double read = 0;
  double write = 0;  // ENOSPC or EIO, one half each
  double sync = 0;
  double truncate = 0;
  double rename = 0;
  double remove = 0;
  double sync_dir = 0;
  // Not failures, but what every caller has to live with:
  double short_read = 0;           // ReadAt gives a part of what it could
  double no_wait_unavailable = 0;  // ReadAtNoWait does not find the bytes in memory
};

class SimFaults {
 public:
  // The n-th call (1 is the next one) of the kinds in `mask` fails with `code` (kResourceExhausted:
  // a full disk, kInternal: an I/O error, any other), and the `times - 1` calls of these kinds
  // after it. Plans add up.
  void FailAfter(uint64_t n, SimOpMask mask, absl::StatusCode code, uint64_t times = 1);
  // The power goes at the n-th changing call: it may have happened in part; all later calls,
  // whatever their kind, do nothing and fail. Until PowerOn (SimFileSystem::Crash calls it).
  void PowerOffAfter(uint64_t n);
  void PowerOn();
  bool power_is_off() const { return power_off_; }
  // Off, or to go off.
  bool power_is_planned() const {
    return power_off_ || changing_calls_until_power_off_ != kForever;
  }
  // Forgets plans; rates and the power stay as they are.
  void Clear() { plans_.clear(); }

  SimFaultRates rates;
  // Plans and rates see only calls whose path begins with it.
  std::string below;

  // Counts the call and says whether it fails, naming `path`.
  absl::Status OnCall(SimOp op, const std::string& path, Rng& rng);
  uint64_t Calls(SimOpMask mask) const;

 private:
  struct Plan {
    SimOpMask mask;
    uint64_t before;  // calls that still succeed
    uint64_t times;
    absl::StatusCode code;
  };
  double RateOf(SimOp op) const;
  absl::Status Planned(SimOp op, const std::string& path);

  std::vector<Plan> plans_;
  std::array<uint64_t, kSimOpKinds> calls_{};
  uint64_t changing_calls_until_power_off_ = kForever;
  bool power_off_ = false;
};

// The texts of the simulated disk: operation, path, reason.
absl::Status SimError(absl::StatusCode code, SimOp op, const std::string& path);

}  // namespace bascule
