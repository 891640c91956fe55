#include "tests/support/sim_faults.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

const char* NameOf(SimOp op) {
  static constexpr const char* kNames[kSimOpKinds] = {
      "open",           "read", "write", "sync", "truncate", "rename", "remove", "create directory",
      "sync directory", "list", "space", "lock"};
  return kNames[std::countr_zero(static_cast<uint32_t>(op))];
}

const char* ReasonOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kResourceExhausted:
      return "No space left on device";
    case absl::StatusCode::kNotFound:
      return "No such file or directory";
    case absl::StatusCode::kAlreadyExists:
      return "File exists";
    case absl::StatusCode::kInternal:
      return "Input/output error";
    default:
      return "refused";
  }
}

}  // namespace

absl::Status SimError(absl::StatusCode code, SimOp op, const std::string& path) {
  return absl::Status(code,
                      absl::StrCat(NameOf(op), " ", path, ": ", ReasonOf(code), " (simulated)"));
}

void SimFaults::FailAfter(uint64_t n, SimOpMask mask, absl::StatusCode code, uint64_t times) {
  BASCULE_CHECK_GE(n, 1u);
  BASCULE_CHECK_GE(times, 1u);
  plans_.push_back({mask, n - 1, times, code});
}

void SimFaults::PowerOffAfter(uint64_t n) {
  BASCULE_CHECK_GE(n, 1u);
  changing_calls_until_power_off_ = n;
}

void SimFaults::PowerOn() {
  power_off_ = false;
  changing_calls_until_power_off_ = kForever;
}

double SimFaults::RateOf(SimOp op) const {
  switch (op) {
    case kOpen:
      return rates.open;
    case kRead:
      return rates.read;
    case kWrite:
      return rates.write;
    case kSync:
      return rates.sync;
    case kTruncate:
      return rates.truncate;
    case kRename:
      return rates.rename;
    case kRemove:
      return rates.remove;
    case kSyncDir:
      return rates.sync_dir;
    default:
      return 0;
  }
}

absl::Status SimFaults::Planned(SimOp op, const std::string& path) {
  absl::Status status;
  // Every plan counts the call, also when another plan already lets it fail: each means "the n-th
  // call".
  for (Plan& plan : plans_) {
    if ((plan.mask & op) == 0 || plan.times == 0) continue;
    if (plan.before > 0) {
      --plan.before;
      continue;
    }
    if (plan.times != kForever) --plan.times;
    if (status.ok()) status = SimError(plan.code, op, path);
  }
  return status;
}

absl::Status SimFaults::OnCall(SimOp op, const std::string& path, Rng& rng) {
  if (power_off_)
    return absl::InternalError(absl::StrCat(NameOf(op), " ", path, ": power is off (simulated)"));
  ++calls_[static_cast<size_t>(std::countr_zero(static_cast<uint32_t>(op)))];
  if ((op & kChangingOps) != 0 && changing_calls_until_power_off_ != kForever &&
      --changing_calls_until_power_off_ == 0) {
    power_off_ = true;
    return absl::InternalError(absl::StrCat(NameOf(op), " ", path, ": power goes off (simulated)"));
  }
  if (!path.starts_with(below)) return absl::OkStatus();
  RETURN_IF_ERROR(Planned(op, path));
  if (!Chance(rng, RateOf(op))) return absl::OkStatus();
  const bool disk_full = op == kWrite && rng.Below(2) == 0;
  return SimError(disk_full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                  op, path);
}

uint64_t SimFaults::Calls(SimOpMask mask) const {
  uint64_t calls = 0;
  for (int i = 0; i < kSimOpKinds; ++i) {
    if ((mask >> i & 1u) != 0) calls += calls_[static_cast<size_t>(i)];
  }
  return calls;
}

}  // namespace bascule
