#include "core/api/subscribe_session.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "api.pb.h"
#include "core/api/grpc_status.h"
#include "core/base/text.h"

namespace bascule::api {
namespace {

// On a shard only what goes out at once is composed; gRPC's threads do the rest.
constexpr size_t kShardBlockBytes = 1;

absl::Status StopReached() { return absl::ResourceExhaustedError("Stop offset reached"); }

// A call that is over before it began.
class RefusedSubscription final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedSubscription(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

absl::Status NoPlace(const ApiState& state, const proto::SubscribeRequest& request,
                     SubscriberSlots::Verdict verdict, const std::string& address) {
  if (verdict == SubscriberSlots::Verdict::kPartitionFull) {
    return absl::ResourceExhaustedError(
        Concat("partition ", request.partition(), " of stream ", request.stream(),
               " has as many subscribers as one partition may have: end some first"));
  }
  return absl::ResourceExhaustedError(
      Concat("there are ", state.slots.per_address(), " subscriptions from ", address,
             ", which is the limit for one address: end some first, or raise "
             "api.subscriptions.per.address at the broker"));
}

// What a client makes of the end of its partition's reads.
absl::Status EndOfReads(absl::Status status, Direction direction) {
  if (direction == Direction::kReverse && absl::IsOutOfRange(status))
    return absl::UnknownError("EOF");
  // Nobody but End cancels reads; if the partition did, the client should come back.
  if (absl::IsCancelled(status)) return absl::UnavailableError(status.message());
  return status;
}

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* SubscribeSession::Begin(
    ApiState& state, const grpc::CallbackServerContext& context, const grpc::ByteBuffer& request) {
  proto::SubscribeRequest parsed;
  grpc::ByteBuffer bytes(request);
  if (!grpc::SerializationTraits<proto::SubscribeRequest>::Deserialize(&bytes, &parsed).ok()) {
    return new RefusedSubscription(
        absl::InternalError("the request is not a proto.SubscribeRequest"));
  }
  auto subscription = CheckSubscribe(parsed, state.ports.catalog, state.options.server_id);
  if (!subscription.ok()) return new RefusedSubscription(subscription.status());
  std::string address = ClientAddress(context.peer());
  if (!state.read_memory->Begin(address, state.ports.clock.Monotonic())) {
    state.subscriptions_refused.fetch_add(1, std::memory_order_relaxed);
    return new RefusedSubscription(absl::ResourceExhaustedError(
        Concat("subscribers from ", address,
               ", or all of them, hold more messages that they do not "
               "take than they may: read faster, or raise api.memory.max at the broker")));
  }
  const auto verdict = state.slots.Take(subscription->port.get(), address);
  if (verdict != SubscriberSlots::Verdict::kTaken) {
    state.subscriptions_refused.fetch_add(1, std::memory_order_relaxed);
    return new RefusedSubscription(NoPlace(state, parsed, verdict, address));
  }
  auto session = std::shared_ptr<SubscribeSession>(
      new SubscribeSession(state, *std::move(subscription), std::move(address)));
  session->self_ = session;
  SubscribeSession* reactor = session.get();
  const SubscriptionPlan& plan = reactor->subscription_;
  plan.port->Locate(plan.start, plan.stop, plan.direction,
                    [session = std::move(session)](absl::StatusOr<ReadRange> range) {
                      session->OnLocated(std::move(range));
                    });
  return reactor;
}

SubscribeSession::SubscribeSession(ApiState& state, SubscriptionPlan subscription,
                                   std::string address)
    : state_(state),
      subscription_(std::move(subscription)),
      address_(std::move(address)),
      memory_(state.read_memory),
      reader_(state.next_reader.fetch_add(1)),
      feed_(MessageComposer(
          subscription_.entry->stream.name, subscription_.partition,
          PartitionSubject(subscription_.entry->stream.subject, subscription_.partition))) {}

SubscribeSession::~SubscribeSession() {
  memory_->Change(address_, chunk_bytes_ + arrived_bytes_, 0);
}

void SubscribeSession::OnLocated(absl::StatusOr<ReadRange> range) {
  if (!range.ok()) return End(range.status());
  range_ = *range;
  const bool forward = subscription_.direction == Direction::kForward;
  if (range_.last && (forward ? range_.from > *range_.last : range_.from < *range_.last))
    end_ = StopReached();
  if (cancelled_) return End(absl::CancelledError());
  // Asked for before the write: its completion takes the token to another thread.
  RequestChunk();
  // The subscription stands. A buffer without slices is not a message; one with an empty slice is.
  const grpc::Slice nothing;
  grpc::ByteBuffer empty(&nothing, 1);
  message_.Swap(&empty);
  StartWrite(&message_);
}

void SubscribeSession::RequestChunk() {
  if (requested_ || !end_.ok()) return;
  requested_ = true;
  read_ = true;
  const ReadRequest request{reader_, subscription_.direction, range_.from, limits::kReadChunkBytes,
                            subscription_.start.any_replica};
  subscription_.port->Read(request,
                           [session = shared_from_this()](absl::StatusOr<ReadChunk> chunk) {
                             session->OnChunk(std::move(chunk));
                           });
}

void SubscribeSession::OnChunk(absl::StatusOr<ReadChunk> chunk) {
  {
    const absl::MutexLock lock(&mutex_);
    arrived_bytes_ = chunk.ok() ? chunk->batches.size() : 0;
    memory_->Change(address_, 0, arrived_bytes_);
    arrived_ = std::move(chunk);
    if (writing_) return;
    writing_ = true;
  }
  Advance(kShardBlockBytes);
}

void SubscribeSession::OnWriteDone(bool ok) {
  if (!ok) cancelled_ = true;
  Advance(MessageFeed::kBlockBytes);
}

void SubscribeSession::OnCancel() {
  cancelled_ = true;
  {
    const absl::MutexLock lock(&mutex_);
    if (writing_) return;  // whoever holds the token ends the call
    writing_ = true;
  }
  End(absl::CancelledError());
}

void SubscribeSession::OnDone() {
  state_.slots.Release(subscription_.port.get(), address_);
  // A cancelled read may still be on its way and hold the session till then. The partition is let
  // go here, so that a callback of it never drops the last reference to it.
  subscription_.port.reset();
  subscription_.entry.reset();
  std::shared_ptr<SubscribeSession> last = std::move(self_);
}

// Writes the next message, ends the call, or gives the token back. After StartWrite the token is
// gRPC's.
void SubscribeSession::Advance(size_t block_bytes) {
  while (!cancelled_) {
    if (feed_.Ready(block_bytes)) return Write(block_bytes);
    if (!feed_.status().ok()) return End(feed_.status());
    if (OpenChunk()) continue;
    if (!end_.ok()) return End(end_);
    RequestChunk();
    feed_.Clear();
    message_.Clear();
    HoldChunk(0);
    const absl::MutexLock lock(&mutex_);
    if (arrived_) continue;
    if (!cancelled_) {
      writing_ = false;
      return;
    }
  }
  End(absl::CancelledError());
}

void SubscribeSession::Write(size_t block_bytes) {
  feed_.Take(message_);
  if (feed_.bytes_left() <= chunk_bytes_ / 4) RequestChunk();
  // A hinted write stays in gRPC's buffer until another follows: the hint needs a message that is
  // surely next.
  bool more = feed_.Ready(block_bytes);
  while (!more && feed_.status().ok() && OpenChunk()) more = feed_.Ready(block_bytes);
  grpc::WriteOptions options;
  if (more) options.set_buffer_hint();
  StartWrite(&message_, options);
}

// True when another chunk was there and is open now; false sets end_ when the reads are over.
bool SubscribeSession::OpenChunk() {
  std::optional<absl::StatusOr<ReadChunk>> arrived;
  {
    const absl::MutexLock lock(&mutex_);
    if (!arrived_) return false;
    arrived.swap(arrived_);
    HoldChunk(0);
    chunk_bytes_ = std::exchange(arrived_bytes_, 0);  // counted when it came
  }
  requested_ = false;
  if (!arrived->ok()) {
    end_ = EndOfReads(arrived->status(), subscription_.direction);
    return false;
  }
  ReadChunk& chunk = **arrived;
  ChunkCursor cursor(chunk.batches, subscription_.direction, Bounds(chunk));
  end_ = subscription_.direction == Direction::kForward ? PlanNextForward(chunk)
                                                        : PlanNextReverse(chunk, cursor.lowest());
  feed_.Open(std::move(cursor));
  return true;
}

void SubscribeSession::HoldChunk(size_t bytes) {
  memory_->Change(address_, chunk_bytes_, bytes);
  chunk_bytes_ = bytes;
}

OffsetBounds SubscribeSession::Bounds(const ReadChunk& chunk) const {
  if (subscription_.direction == Direction::kForward) {
    const Offset end =
        range_.last ? std::min(chunk.committed_end, *range_.last + 1) : chunk.committed_end;
    return {range_.from, end};
  }
  return {range_.last.value_or(Offset(0)), std::min(chunk.committed_end, range_.from + 1)};
}

// Sets range_.from to what is wanted after `chunk`; not OK when nothing is.
absl::Status SubscribeSession::PlanNextForward(const ReadChunk& chunk) {
  const Offset next = std::min(chunk.next, chunk.committed_end);
  if (next <= range_.from) {
    return absl::InternalError(Concat("a read from offset ", range_.from.value(),
                                      " did not get on (next offset ", chunk.next.value(),
                                      ", committed end ", chunk.committed_end.value(),
                                      "): please report this"));
  }
  range_.from = next;
  if (range_.last && next > *range_.last) return StopReached();
  return absl::OkStatus();
}

absl::Status SubscribeSession::PlanNextReverse(const ReadChunk& chunk, Offset lowest) {
  if (range_.last &&
      (lowest <= *range_.last || (chunk.next >= Offset(0) && chunk.next < *range_.last))) {
    return StopReached();
  }
  if (chunk.next < Offset(0)) return absl::UnknownError("EOF");
  if (chunk.next >= range_.from) {
    return absl::InternalError(Concat("a reverse read from offset ", range_.from.value(),
                                      " did not get on (next offset ", chunk.next.value(),
                                      "): please report this"));
  }
  range_.from = chunk.next;
  return absl::OkStatus();
}

// The token is never given back: this is the call's last step.
void SubscribeSession::End(const absl::Status& status) {
  // Also without a parked read: the partition remembers its readers until told.
  if (read_) subscription_.port->CancelRead(reader_);
  Finish(ToGrpc(status));
}

}  // namespace bascule::api
