#include "nats_bridge/nats_bus.h"

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/stream/description.h"
#include "core/stream/subject.h"
#include "nats_bridge/ack_inboxes.h"
#include "nats_bridge/ack_writer.h"
#include "nats_bridge/discovery.h"
#include "nats_bridge/ingestor.h"
#include "nats_bridge/nats_connection.h"
#include "nats_bridge/outlet.h"
#include "nats_bridge/publish_envelope.h"

namespace bascule::nats {
namespace {

constexpr int kInboxTokenLength = 16;

uint64_t Read(const std::atomic<uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

void AddIngest(Counters& out, const IngestConnection& connection) {
  const IngestConnectionCounts& counts = connection.counts();
  out["nats_ingest_connects"] = Read(counts.connects);
  out["nats_ingest_disconnects"] = Read(counts.disconnects);
  out["nats_ingest_errors"] = Read(counts.errors);
  out["nats_ingest_pauses"] = Read(counts.pauses);
  out["nats_ingest_overruns"] = Read(counts.overruns);
  out["nats_ingest_moves"] = Read(counts.moves);
  out["nats_ingest_receives"] = Read(counts.receives);
  out["nats_ingest_lines_refused"] = Read(connection.subscription_counts().lines_refused);
  out["nats_ingest_subscriptions_refused"] = Read(connection.subscription_counts().refused);
  out["nats_ingest_connected"] = connection.connected() ? 1 : 0;
}

void AddEgress(Counters& out, const NatsConnection& connection) {
  out["nats_egress_connects"] = Read(connection.counts().connects);
  out["nats_egress_disconnects"] = Read(connection.counts().disconnects);
  out["nats_egress_errors"] = Read(connection.counts().errors);
  out["nats_egress_closed_subscriptions"] = connection.closed_held();
  out["nats_egress_lines_refused"] = Read(connection.counts().lines_refused);
  out["nats_egress_subscriptions_refused"] = Read(connection.counts().subscriptions_refused);
  out["nats_egress_connected"] = connection.connected() ? 1 : 0;
}

}  // namespace

// In order of construction; destroyed in reverse, after Stop.
struct NatsBus::Parts {
  Parts(const NatsOptions& options, Clock& clock, Rng& rng, const std::string& token,
        std::unique_ptr<NatsConnection> egress_connection)
      : ack_prefix(Concat(options.cluster_namespace, ".ack")),
        egress(std::move(egress_connection)),
        acks(*egress),
        inboxes(*egress, ack_prefix, token, rng),
        discovery(*egress, options.cluster_namespace, token),
        ingestor(ack_prefix, clock, acks) {}

  const std::string ack_prefix;
  std::unique_ptr<NatsConnection> egress;
  AckWriter acks;
  AckInboxes inboxes;
  BusDiscovery discovery;
  Ingestor ingestor;
  std::unique_ptr<IngestConnection> ingest;  // last: its handlers use the ingestor
  std::once_flag stopped;
};

namespace {

// Destroyed on the partition's shard, where the state's flag is read: nothing is between the two.
class NatsFeed : public SubjectFeed {
 public:
  NatsFeed(IngestConnection& ingest, Executor& shard, std::shared_ptr<FeedState> state,
           std::shared_ptr<IngestSubscription> subscription)
      : ingest_(ingest),
        shard_(shard),
        state_(std::move(state)),
        subscription_(std::move(subscription)) {}
  ~NatsFeed() override {
    BASCULE_CHECK(shard_.OnThisThread());
    state_->closed = true;
    state_->listening = nullptr;
    if (subscription_ != nullptr) ingest_.Unsubscribe(subscription_);
  }
  void SetRules(const FeedRules& rules) override {
    state_->rules.store(rules, std::memory_order_relaxed);
  }

 private:
  IngestConnection& ingest_;
  Executor& shard_;
  const std::shared_ptr<FeedState> state_;
  const std::shared_ptr<IngestSubscription> subscription_;
};

}  // namespace

NatsBus::NatsBus(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

NatsBus::~NatsBus() { Stop(); }

absl::StatusOr<std::unique_ptr<NatsBus>> NatsBus::Start(const NatsOptions& options, Clock& clock,
                                                        Rng& rng) {
  ASSIGN_OR_RETURN(auto egress, NatsConnection::Start(options, clock, rng.Next()));
  auto parts = std::make_unique<Parts>(options, clock, rng, RandomToken(rng, kInboxTokenLength),
                                       std::move(egress));
  ASSIGN_OR_RETURN(parts->ingest,
                   IngestConnection::Start(options, parts->ingestor, clock, rng.Next()));
  return std::unique_ptr<NatsBus>(new NatsBus(std::move(parts)));
}

void NatsBus::Stop() {
  std::call_once(parts_->stopped, [this] {
    parts_->ingest->Stop();
    parts_->egress->Stop();
  });
}

std::unique_ptr<SubjectFeed> NatsBus::Open(const FeedOptions& options, PartitionIngress& partition,
                                           Executor& shard,
                                           absl::AnyInvocable<void(absl::Status)> listening) {
  BASCULE_CHECK(listening != nullptr);
  auto state = parts_->ingestor.MakeFeed(partition, shard);
  state->listening = std::move(listening);  // the shard has not heard of it yet
  auto handler = parts_->ingestor.MakeHandler(options, state);
  std::shared_ptr<IngestSubscription> subscription;
  if (IsValidSubject(options.subject) && IsPlainText(options.group) &&
      options.group.find(' ') == std::string::npos) {
    subscription = parts_->ingest->Subscribe(options.subject, options.group, std::move(handler));
  } else {
    // NATS closes the whole connection over such a SUB, so it never gets to see it.
    handler->OnListening(absl::InvalidArgumentError(Concat(
        "nats: invalid subject '", options.subject, "' or queue group '", options.group, "'")));
  }
  return std::make_unique<NatsFeed>(*parts_->ingest, shard, std::move(state),
                                    std::move(subscription));
}

void NatsBus::Send(std::span<const Ack> acks) { parts_->acks.Send(acks); }

absl::Status NatsBus::Publish(std::string_view subject, const PublishMessage& message) {
  thread_local std::string envelope;
  envelope.clear();
  AppendPublishEnvelope(envelope, message);
  Outlet outlet(*parts_->egress);
  absl::Status status = outlet.Publish(subject, envelope);
  // One huge message must not keep its memory on every publishing thread.
  if (envelope.capacity() > limits::kDefaultMessageBytes) std::string().swap(envelope);
  return status;
}

absl::StatusOr<std::unique_ptr<AckInbox>> NatsBus::OpenAckInbox(std::optional<std::string> subject,
                                                                AckHandler handler) {
  return parts_->inboxes.Open(std::move(subject), std::move(handler));
}

int64_t NatsBus::max_payload() const { return parts_->egress->max_payload(); }

bool NatsBus::connected() const {
  return parts_->ingest->connected() && parts_->egress->connected();
}

Discovery& NatsBus::discovery() { return parts_->discovery; }

std::string NatsBus::server_url() const { return parts_->ingest->server_url(); }

Counters NatsBus::ReadCounters() const {
  Counters out;
  AddIngest(out, *parts_->ingest);
  AddEgress(out, *parts_->egress);
  const IngestorCounts& in = parts_->ingestor.counts();
  out["nats_messages_received"] = Read(in.queue.messages);
  out["nats_bytes_received"] = Read(in.queue.bytes);
  out["nats_messages_dropped_queue_full"] = Read(in.queue.dropped);
  out["nats_gap_reports"] = Read(in.queue.gaps);
  out["nats_ingest_bytes_held"] = parts_->ingestor.held_bytes();
  out["nats_envelopes_received"] = Read(in.envelopes);
  out["nats_malformed_envelopes"] = Read(in.malformed_envelopes);
  out["nats_strings_escaped"] = Read(in.escaped_strings);
  out["nats_reserved_headers_dropped"] = Read(in.reserved_headers);
  out["nats_invalid_ack_inboxes"] = Read(in.invalid_ack_inboxes);
  out["nats_internal_messages_skipped"] = Read(in.internal_skipped);
  out["nats_jetstream_refused"] = Read(in.jetstream_refused);
  out["nats_acks_sent"] = Read(parts_->acks.counts().sent);
  out["nats_acks_refused"] = Read(parts_->acks.counts().refused);
  out["nats_acks_lost"] = Read(parts_->acks.counts().lost);
  out["nats_acks_received"] = Read(parts_->inboxes.counts().received);
  out["nats_acks_unparsable"] = Read(parts_->inboxes.counts().unparsable);
  out["nats_acks_unclaimed"] = Read(parts_->inboxes.counts().unclaimed);
  out["nats_acks_foreign"] = Read(parts_->inboxes.counts().foreign);
  out["nats_acks_replaced"] = Read(parts_->inboxes.counts().replaced);
  out["nats_acks_unmatched"] = Read(parts_->inboxes.counts().unmatched);
  const DiscoveryCounts& discovery = parts_->discovery.counts();
  out["nats_discovery_asked"] = Read(discovery.asked);
  out["nats_discovery_heard"] = Read(discovery.heard);
  out["nats_discovery_answered"] = Read(discovery.answered);
  out["nats_discovery_found"] = Read(discovery.found);
  out["nats_discovery_ignored"] = Read(discovery.ignored);
  return out;
}

}  // namespace bascule::nats
