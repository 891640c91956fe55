#include "core/env/descriptor_budget.h"

#include <sys/resource.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule {
namespace {

// Unless configured clients have a quarter, and peers an eighth.
constexpr size_t kClientShare = 4;
constexpr size_t kPeerShare = 8;
// Fewer serve nobody.
constexpr size_t kLeastClients = 16;
constexpr size_t kLeastPartitions = 16;
// More than a process can have by default on any system; what is past it changes nothing here.
constexpr size_t kMostDescriptors = size_t{1} << 30;

constexpr std::string_view kRemedy =
    "raise the limit of open files (LimitNOFILE of the systemd unit, ulimit -n, --ulimit nofile of "
    "docker)";

}  // namespace

DescriptorBudget::DescriptorBudget(const DescriptorNeeds& needs)
    : needs_(needs), limit_(needs.limit), clients_(needs.clients) {
  if (needs.cluster) peers_ = std::min(limits::kPeerConnections, needs.limit / kPeerShare);
  if (needs.clients == 0) {
    clients_ =
        std::clamp(needs.limit / kClientShare, kLeastClients, limits::kDefaultApiConnections);
  }
}

size_t DescriptorBudget::Least() const {
  return reserve() + peers_ + clients_ + kLeastPartitions * limits::kDescriptorsPerPartition;
}

absl::StatusOr<DescriptorBudget> DescriptorBudget::Plan(const DescriptorNeeds& needs) {
  const DescriptorBudget budget(needs);
  if (budget.Least() <= needs.limit) return budget;
  // The shares grow with the limit, so what is enough is looked for.
  DescriptorBudget enough = budget;
  while (enough.Least() > enough.limit_) {
    DescriptorNeeds more = needs;
    more.limit = enough.Least();
    enough = DescriptorBudget(more);
  }
  std::string fewer;
  if (const size_t missing = budget.Least() - needs.limit; needs.clients > missing)
    fewer = Concat(", or lower api.connections.max to ", needs.clients - missing);
  return absl::ResourceExhaustedError(
      Concat("the process may open ", needs.limit, " files, and needs at least ", enough.limit_,
             ": ", enough.reserve(), " for itself, ", enough.peers_, " for other brokers, ",
             enough.clients_, " for clients", needs.clients != 0 ? " (api.connections.max)" : "",
             " and ", enough.partitions(), " for partitions; ", kRemedy, fewer));
}

size_t DescriptorBudget::partitions() const {
  BASCULE_CHECK_LE(reserve() + peers_ + clients_, limit_);
  return (limit_ - reserve() - peers_ - clients_) / limits::kDescriptorsPerPartition;
}

absl::Status DescriptorBudget::CheckPartitions(size_t count) const {
  if (count <= partitions()) return absl::OkStatus();
  // The shares grow with the limit, so what is enough is looked for.
  DescriptorNeeds enough = needs_;
  for (size_t held = partitions(); held < count;) {
    enough.limit += (count - held) * limits::kDescriptorsPerPartition;
    const absl::StatusOr<DescriptorBudget> more = Plan(enough);
    held = more.ok() ? more->partitions() : count;
  }
  std::string fewer;
  const size_t missing = (count - partitions()) * limits::kDescriptorsPerPartition;
  if (clients_ > missing) fewer = Concat(", or set api.connections.max to ", clients_ - missing);
  return absl::ResourceExhaustedError(
      Concat("this broker would hold ", count, " partitions, and with ", limit_,
             " open files it can hold ", partitions(), " (", reserve(), " are for itself, ", peers_,
             " for other brokers, ", clients_, " for clients); ", kRemedy, " to at least ",
             enough.limit, fewer));
}

std::string DescriptorBudget::Describe() const {
  return Concat(limit_, " open files: ", reserve(), " for itself, ", peers_, " for other brokers, ",
                clients_, " for clients, ", partitions(), " for partitions");
}

size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<size_t>(std::min<rlim_t>(limit.rlim_cur, kMostDescriptors));
}

}  // namespace bascule
