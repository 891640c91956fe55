// Streams, brokers and histories for tests of the metadata table.
#pragma once

#include <string>
#include <vector>

#include "core/base/text.h"
#include "replication/meta/table/command_alter_isr.h"
#include "replication/meta/table/command_create_stream.h"
#include "replication/meta/table/command_delete_stream.h"
#include "replication/meta/table/command_fence_brokers.h"
#include "replication/meta/table/command_init_cluster.h"
#include "replication/meta/table/command_move_leader.h"
#include "replication/meta/table/command_note_generations.h"
#include "replication/meta/table/command_raise_epoch.h"
#include "replication/meta/table/command_raise_feature_level.h"
#include "replication/meta/table/command_register_broker.h"
#include "replication/meta/table/command_remove_broker.h"
#include "replication/meta/table/command_update_stream.h"
#include "replication/meta/table/meta_table.h"
#include "tests/support/sim_rng.h"

namespace bascule::metadata {

using Names = std::vector<std::string>;

inline StreamDescription SampleStream(const std::string& name, int partitions = 1,
                                      const Names& replicas = {"b1"}) {
  StreamDescription stream;
  stream.name = name;
  stream.subject = name + ".in";
  stream.group = "g";
  stream.created = Timestamp(1234);
  stream.overrides.retention_max_bytes = 77;
  stream.overrides.min_isr = 1;
  stream.overrides.durability = Durability::kOs;
  stream.overrides.reply_acks = ReplyAcks::kJetStream;
  stream.overrides.leader_acks = LeaderAcks::kCommitted;
  stream.overrides.segment_max_age = std::chrono::hours(3);
  stream.overrides.optimistic_concurrency_control = true;
  for (int i = 0; i < partitions; ++i) {
    PartitionDescription& partition = stream.partitions.emplace_back();
    partition.id = PartitionId(i);
    partition.replicas = replicas;
  }
  return stream;
}

// "b1" has the node 1.
inline BrokerRegistration Broker(const std::string& id, uint64_t incarnation) {
  BrokerRegistration registration;
  registration.id = id;
  registration.node = PeerId(static_cast<uint64_t>(id.back() - '0'));
  registration.incarnation = incarnation;
  registration.host = id + ".example";
  registration.port = 9292;
  registration.peer_address = id + ":9293";
  return registration;
}

// With these brokers registered; "b2" by the process 2.
inline MetaTable TableWith(const Names& brokers) {
  MetaTable table;
  uint64_t index = 0;
  for (const std::string& id : brokers) {
    const auto node = static_cast<uint64_t>(id.back() - '0');
    table.Apply(MetadataIndex(++index), EncodeRegisterBroker(Broker(id, node)));
  }
  return table;
}

// A random but plausible history, as commands.
inline std::vector<std::string> SampleHistory(uint64_t seed, int length) {
  SimRng rng(seed);
  std::vector<std::string> commands;
  const auto broker = [&rng] { return Concat("b", rng.Below(3)); };
  for (int i = 0; i < length; ++i) {
    const std::string name = Concat("s", rng.Below(8));
    const CommandOrigin origin = rng.Below(2) == 0 ? CommandOrigin{}
                                                   : CommandOrigin{broker(), 1 + rng.Below(3),
                                                                   1 + rng.Below(9), rng.Below(4)};
    StreamOverrides changes;
    changes.min_isr = static_cast<int32_t>(1 + rng.Below(3));
    BrokerRegistration registration = Broker(broker(), 1 + rng.Below(3));
    switch (rng.Below(12)) {
      case 0:
        commands.push_back(EncodeDeleteStream(name, origin));
        break;
      case 1:
      case 2:
        if (rng.Below(4) == 0)
          registration.lost.push_back({StreamId(rng.Below(30)), PartitionId(0)});
        if (rng.Below(2) == 0) {
          registration.doubtful.push_back({{StreamId(rng.Below(30)), PartitionId(0)},
                                           LeaderEpoch(rng.Below(9)),
                                           Offset(static_cast<int64_t>(rng.Below(9)))});
        }
        registration.lost_all = rng.Below(8) == 0;
        if (rng.Below(8) == 0) registration.node = PeerId(50 + rng.Below(3));
        commands.push_back(EncodeRegisterBroker(registration));
        break;
      case 3:
        commands.push_back(EncodeRaiseEpoch({StreamId(rng.Below(30)), PartitionId(0)}, "", origin));
        break;
      case 4:
        commands.push_back(EncodeFenceBrokers({{broker(), 1 + rng.Below(3)}, {broker(), 2}}));
        break;
      case 5:
        commands.push_back(EncodeUpdateStream(name, changes, origin));
        break;
      case 6:
        commands.push_back(rng.Below(4) == 0 ? EncodeRemoveBroker(broker(), rng.Below(2) == 0)
                                             : EncodeInitCluster("c"));
        break;
      case 7:
        commands.push_back(EncodeMoveLeader({StreamId(rng.Below(30)), PartitionId(0)},
                                            LeaderEpoch(rng.Below(30)), broker(), origin));
        break;
      case 8: {
        IsrAlteration alteration{{StreamId(rng.Below(30)), PartitionId(0)},
                                 broker(),
                                 LeaderEpoch(rng.Below(30)),
                                 rng.Below(4),
                                 {}};
        for (uint64_t members = 1 + rng.Below(3); members > 0; --members)
          alteration.isr.push_back({broker(), 1 + rng.Below(3), rng.Below(3) == 0});
        commands.push_back(EncodeAlterIsr({alteration}));
        break;
      }
      case 9:
        commands.push_back(EncodeRaiseFeatureLevel(kFeatureLevel));
        break;
      default:
        commands.push_back(EncodeCreateStream(
            SampleStream(name, static_cast<int>(1 + rng.Below(3)),
                         rng.Below(2) == 0 ? Names{broker()} : Names{"b0", "b1", "b2"}),
            origin));
    }
  }
  return commands;
}

}  // namespace bascule::metadata
