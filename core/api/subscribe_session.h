// One Subscribe call.
//
//   client            gRPC thread                 SubscribeSession               partition's shard
//     | Subscribe ------> Begin ------------------> Locate ------------------------->|
//     |                                             OnLocated <---------------- ReadRange
//     |                                             RequestChunk -- Read ----------->|
//     |<-- empty message -------------------------- StartWrite                       |  (waits for
//     |                   OnWriteDone ------------> Advance: nothing ready, parked   |   records)
//     |                                             OnChunk <------------------- ReadChunk
//     |<-- message ... (hinted) ------------------- Advance                          |
//     |                   OnWriteDone ------------> Advance (little left: RequestChunk ->)
//     |<-- last message of what is ready (flushed)  Advance                          |
//     | cancel ---------> OnCancel ---------------> End -- CancelRead -------------->|
//     |<-- status --------------------------------- Finish        OnChunk <- Cancelled (dropped)
//
// Who may write is a token (`writing_`): it is held from construction on by whoever runs Advance or
// has a write with gRPC, and given back only when there is nothing to write. All that the token's
// holder touches needs no lock. A slow client keeps the token at gRPC, so no further chunk is asked
// for: at most two chunks and one composed block are held.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "core/api/api_state.h"
#include "core/api/message_feed.h"
#include "core/api/subscribe_request.h"

namespace bascule::api {

class SubscribeSession final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                               public std::enable_shared_from_this<SubscribeSession> {
 public:
  // Parses and checks `request`; the reactor belongs to gRPC and ends the call by itself.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Begin(
      ApiState& state, const grpc::CallbackServerContext& context, const grpc::ByteBuffer& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  ~SubscribeSession() override;

 private:
  SubscribeSession(ApiState& state, SubscriptionPlan subscription, std::string address);
  void OnLocated(absl::StatusOr<ReadRange> range);
  void OnChunk(absl::StatusOr<ReadChunk> chunk);

  // The following need the token.
  void RequestChunk();
  void Advance(size_t block_bytes);
  void Write(size_t block_bytes);
  bool OpenChunk();
  void HoldChunk(size_t bytes);
  absl::Status PlanNextForward(const ReadChunk& chunk);
  absl::Status PlanNextReverse(const ReadChunk& chunk, Offset lowest);
  OffsetBounds Bounds(const ReadChunk& chunk) const;
  void End(const absl::Status& status);

  ApiState& state_;                // not after OnDone
  SubscriptionPlan subscription_;  // its pointers until OnDone
  const std::string address_;      // of the client
  const std::shared_ptr<ReadMemory> memory_;
  const ReaderId reader_;
  std::shared_ptr<SubscribeSession> self_;  // until OnDone
  std::atomic<bool> cancelled_{false};

  // With the token.
  MessageFeed feed_;
  grpc::ByteBuffer message_;
  bool read_ = false;       // the partition knows this reader
  ReadRange range_;         // `from` moves with what was read
  bool requested_ = false;  // a chunk that was not opened yet
  size_t chunk_bytes_ = 0;  // of the open one
  absl::Status end_;        // why nothing more is read; OK = more to come

  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = true;  // the token is held
  std::optional<absl::StatusOr<ReadChunk>> arrived_ ABSL_GUARDED_BY(mutex_);
  size_t arrived_bytes_ ABSL_GUARDED_BY(mutex_) =
      0;  // of it, counted in `memory_` as those of the open one are
};

}  // namespace bascule::api
