#include "replication/peer/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>
#include <mutex>
#include <string_view>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/env/clock.h"
#include "replication/peer/frame.h"

namespace bascule::peer {
namespace {

// At most one line a period; the others are counted in the next.
constexpr std::chrono::seconds kRepeatPeriod{5};
std::atomic<int64_t> last_line{0};
std::atomic<uint64_t> unsaid{0};

void OnGrpcLog(gpr_log_func_args* args) {
  if (args->severity != GPR_LOG_SEVERITY_ERROR) return;
  // Host names are not what a broker is known by: its server id is compared instead.
  if (std::string_view(args->message).starts_with("No match found for server name")) return;
  // The last words of a process that gRPC is about to abort are never held back.
  if (std::string_view(args->message).starts_with("assertion failed")) {
    LogError("grpc: ", args->file, ":", args->line, ": ", Printable(args->message));
    FlushLog(limits::kLastWordsTimeout);
    return;
  }
  const int64_t now = RealClock().Monotonic().value();
  int64_t last = last_line.load();
  const bool early = last != 0 && Duration(now - last) < kRepeatPeriod;
  if (early || !last_line.compare_exchange_strong(last, now)) {
    unsaid.fetch_add(1);
    return;
  }
  const std::string_view text(args->message);
  const uint64_t more = unsaid.exchange(0);
  const std::string rest = more > 0 ? Concat(" (and ", more, " more lines before)") : "";
  if (text.find("andshake failed") != std::string_view::npos) {
    LogWarning(
        "peer: a TLS connection was refused, to or from a broker or a client without a certificate "
        "of the right authority: ",
        Printable(text), rest);
  } else {
    LogWarning("grpc: ", Printable(text), rest);
  }
}

}  // namespace

void TakeGrpcLog() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function(&OnGrpcLog); });
}

}  // namespace bascule::peer
