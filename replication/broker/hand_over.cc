#include "replication/broker/hand_over.h"

#include <map>
#include <memory>
#include <utility>

#include "core/base/logging.h"
#include "core/env/countdown.h"

namespace bascule::broker {
namespace {

// Who may be given it and was given least.
std::string HeirOf(const PartitionDescription& partition, const metadata::MetaTable& table,
                   const std::string& self, const std::map<std::string, int>& given) {
  std::string heir;
  const auto load = [&](const std::string& broker) {
    const auto found = given.find(broker);
    return found == given.end() ? 0 : found->second;
  };
  for (const std::string& member : partition.isr) {
    if (member == self || !table.IsLive(member)) continue;
    if (heir.empty() || load(member) < load(heir)) heir = member;
  }
  return heir;
}

}  // namespace

void HandOver(metadata::MetaFrontend& frontend, const std::string& self, Duration timeout,
              absl::AnyInvocable<void()> done) {
  auto refused = std::make_shared<int>(0);
  Countdown moved([refused, done = std::move(done)](const absl::Status&) mutable {
    if (*refused > 0)
      LogWarning(*refused,
                 " partitions could not be handed over; they move when this broker is gone");
    done();
  });
  std::map<std::string, int> given;
  int count = 0;
  for (const auto& [name, stream] : frontend.table().streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      if (partition.leader != self || partition.replicas.size() < 2) continue;
      const std::string heir = HeirOf(partition, frontend.table(), self, given);
      if (heir.empty()) {
        ++*refused;
        continue;
      }
      ++given[heir];
      ++count;
      frontend.MoveLeader({stream.id, partition.id}, partition.leader_epoch, heir, timeout,
                          [refused, part = moved.Add()](const absl::Status& status) mutable {
                            if (!status.ok()) ++*refused;
                            part(absl::OkStatus());
                          });
    }
  }
  if (count > 0) LogInfo("hands ", count, " partitions over to their other replicas");
}

}  // namespace bascule::broker
