#include "replication/broker/hand_over.h"

#include <memory>
#include <utility>
#include <vector>

#include "core/base/logging.h"

namespace bascule::broker {
namespace {

// So many requests are under way at once: what a broker may have is bounded.
constexpr size_t kMovesAtOnce = 256;

struct Move {
  PartitionKey key;
  LeaderEpoch epoch;
  std::string heir;
};

struct Moves {
  metadata::MetaFrontend& frontend;
  Clock& clock;
  MonotonicTime deadline;
  std::vector<Move> moves;
  absl::AnyInvocable<void()> done;
  size_t next = 0;
  size_t under_way = 0;
  size_t failed = 0;
  bool going = false;  // an answer within the question goes on there
};

// The next ones, or the end.
void GoOn(const std::shared_ptr<Moves>& all) {
  if (std::exchange(all->going, true)) return;
  while (all->next < all->moves.size() && all->under_way < kMovesAtOnce) {
    const Duration left = Between(all->clock.Monotonic(), all->deadline);
    if (left <= Duration(0)) {
      all->failed += all->moves.size() - all->next;
      all->next = all->moves.size();
      break;
    }
    const Move& move = all->moves[all->next++];
    ++all->under_way;
    all->frontend.MoveLeader(move.key, move.epoch, move.heir, left,
                             [all](const absl::Status& status) {
                               --all->under_way;
                               if (!status.ok()) ++all->failed;
                               GoOn(all);
                             });
  }
  all->going = false;
  if (all->under_way > 0 || !all->done) return;
  if (all->failed > 0)
    LogWarning(all->failed,
               " partitions could not be handed over; they move when this broker is gone");
  std::exchange(all->done, nullptr)();
}

}  // namespace

void HandOver(metadata::MetaFrontend& frontend, const std::string& self, Clock& clock,
              Duration timeout, absl::AnyInvocable<void()> done) {
  auto all = std::make_shared<Moves>(
      Moves{frontend, clock, Add(clock.Monotonic(), timeout), {}, std::move(done)});
  for (const auto& [name, stream] : frontend.table().streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      if (partition.leader != self || partition.replicas.size() < 2) continue;
      const PartitionKey key{stream.id, partition.id};
      const std::string heir = frontend.table().SuccessorOf(key);
      if (heir.empty()) {
        ++all->failed;
        continue;
      }
      all->moves.push_back({key, partition.leader_epoch, heir});
    }
  }
  if (!all->moves.empty())
    LogInfo("hands ", all->moves.size(), " partitions over to their other replicas");
  GoOn(all);
}

}  // namespace bascule::broker
