#include "tests/bench/soak.h"

#include <utility>

#include "tests/bench/payload.h"
#include "tests/bench/process_usage.h"

namespace bascule::bench {

Soak::Soak(Options& options)
    : address{options.Required("side"), options.Required("nats"), options.Text("grpc", "")},
      pids(options.Pids("pids")),
      size(options.Number("size", 1024, kPayloadHeaderBytes, 64 << 20)),
      window(options.Number("window", 1000, 1, 1'000'000)),
      limit(options.Number("time-limit", 3600, 1, 86'400)),
      durability(options.Text("durability", "fsync")),
      deadline_ns(NowNs() + std::chrono::nanoseconds(limit).count()) {
  if (address.side != "ours" && address.side != "peer") options.Fail("--side is ours or peer");
  if (address.side == "ours" && address.grpc.empty()) options.Fail("--grpc is required");
  if (durability != "fsync" && durability != "os") options.Fail("--durability is fsync or os");
}

absl::Status Soak::Connect() {
  auto made = MakeFeed(address);
  if (!made.ok()) return made.status();
  target = *std::move(made);
  auto connected = Publisher::Connect(address.nats_url, window);
  if (!connected.ok()) return connected.status();
  publisher = *std::move(connected);
  return absl::OkStatus();
}

absl::Status Soak::CreateStream(const std::string& name, const std::string& subject,
                                int64_t retention_bytes) const {
  return target->CreateStream({.name = name,
                               .subject = subject,
                               .durability = durability,
                               .retention_bytes = retention_bytes});
}

absl::Status Soak::InTime(int64_t now_ns) const {
  if (now_ns <= deadline_ns) return absl::OkStatus();
  return absl::DeadlineExceededError("--time-limit is over");
}

}  // namespace bascule::bench
