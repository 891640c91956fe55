// Messages of the bus become records of partitions: which envelope, which ack, which bytes. Knows
// no nats.c, so it is tested with messages made by hand.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/env/clock.h"
#include "core/ports/subject_feeds.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/ingest_connection.h"
#include "nats_bridge/ingest_queue.h"
#include "nats_bridge/jetstream.h"

namespace bascule::nats {

// Answers a publisher before any partition saw the message. Any thread; never blocks.
class PublishRefuser {
 public:
  virtual ~PublishRefuser() = default;
  virtual void RefuseJetStream(std::string_view inbox, const JetStreamError& error) = 0;
};

struct IngestorCounts {
  IngestCounts queue;
  std::atomic<uint64_t> envelopes{0};
  std::atomic<uint64_t> malformed_envelopes{0};
  std::atomic<uint64_t> escaped_strings{0};
  std::atomic<uint64_t> reserved_headers{0};
  std::atomic<uint64_t> invalid_ack_inboxes{0};
  std::atomic<uint64_t> internal_skipped{0};
  std::atomic<uint64_t> jetstream_refused{0};
};

// One per bus. Any thread.
class Ingestor : public IngestTarget {
 public:
  // `ack_prefix`: the tokens before server-made ack inboxes ("<namespace>.ack"). All references
  // outlive the ingestor, and the ingestor outlives the handlers it makes.
  Ingestor(std::string ack_prefix, Clock& clock, PublishRefuser& refuser);

  // The state of a feed on `shard`, to be shared by its handler and its owner.
  std::shared_ptr<FeedState> MakeFeed(PartitionIngress& partition, Executor& shard);
  // Encodes what arrives for `feed`.
  std::shared_ptr<SubscriptionHandler> MakeHandler(const FeedOptions& options,
                                                   std::shared_ptr<FeedState> feed);

  // IngestTarget: one post for each shard that got something, whatever the number of messages.
  void EndOfReceive() override;
  bool Crowded(size_t bytes) override;

  const IngestorCounts& counts() const { return counts_; }
  // Bytes held for all shards now.
  size_t held_bytes() const;

 private:
  class FeedHandler;
  const std::string ack_prefix_;
  Clock& clock_;
  PublishRefuser& refuser_;
  IngestorCounts counts_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Executor*, std::shared_ptr<IngestQueue>> queues_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::nats
