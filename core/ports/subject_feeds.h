// Opening the tap: a partition that leads asks for its subject's messages. Implemented by
// nats_bridge, used by replication/partition and cmd.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/env/executor.h"
#include "core/ports/ingress.h"
#include "core/stream/settings.h"

namespace bascule {

// What the settings of a stream say about its messages: may change while a feed is open.
struct alignas(4) FeedRules {
  ReplyAcks reply_acks = ReplyAcks::kOff;
  bool record_internal_subjects = false;
  bool optimistic_concurrency_control = false;  // plain messages pass with "not asked"
};

struct FeedOptions {
  std::string subject;            // what to subscribe to
  std::string group;              // queue group; empty = plain
  std::string partition_subject;  // a record keeps its own subject only where it differs from this
  FeedRules rules;
  size_t max_message_bytes = 0;
};

// Messages flow while the object lives. Destroyed on the partition's shard; after that no Enqueue
// reaches the partition.
class SubjectFeed {
 public:
  virtual ~SubjectFeed() = default;
  // For what the bus delivers from now on. On the partition's shard.
  virtual void SetRules(const FeedRules& rules) = 0;
};

class SubjectFeeds {
 public:
  virtual ~SubjectFeeds() = default;
  // Any thread. Messages come to `partition` on `shard`. `listening` runs on `shard` once the NATS
  // server has confirmed the subscription (a message published after that is heard), or with the
  // reason it failed; a lost connection delays it until the next one. It runs again when that has
  // changed: a feed that was heard is refused, or one that was refused is heard. `partition` must
  // outlive the feed.
  virtual std::unique_ptr<SubjectFeed> Open(const FeedOptions& options, PartitionIngress& partition,
                                            Executor& shard,
                                            absl::AnyInvocable<void(absl::Status)> listening) = 0;
};

}  // namespace bascule
