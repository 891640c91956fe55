// One PublishAsync stream: publishes in the order of its requests, one writer for all responses.
//
//   client            gRPC thread                PublishAsyncSession               NATS thread
//     | open ------------> Begin ------------------> OpenAckInbox
//     | request ---------> OnReadDone -------------> Handle: bus.Publish
//     | request ---------> OnReadDone -------------> Handle: refused -> outbox     OnAck: outbox
//     |                                              |                              |
//     |                                              nobody writes: take the token  |
//     |<-- response (hinted while more wait) ------- WriteNext <--------------------+
//     |                    OnWriteDone ------------> WriteNext ... flushes, token back
//     |                                              window full: not read any more
//     |                                              until acks are written
//     | half-close ------> OnReadDone(false) ------> draining: up to limits::kAckDrainTimeout
//     |                                              for what is in flight
//     |<-- OK -------------------------------------- MaybeFinish
//
// What goes out carries a correlation id of our own in place of the client's, which the window
// keeps: an ack counts only when it names a request that waits, and speaks for its stream and
// partition.
//
// The call is finished only while gRPC has neither a read nor a write of ours: no later one can
// then be started. The server by itself never ends it with OK, since clients then stop listening
// for acks for good.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "absl/synchronization/mutex.h"
#include "core/api/api_state.h"
#include "core/api/in_flight_window.h"
#include "core/api/publish_request.h"
#include "core/api/publish_rules.h"
#include "core/api/response_batch.h"

namespace bascule::api {

class PublishAsyncSession final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public std::enable_shared_from_this<PublishAsyncSession> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Begin(ApiState& state);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class ReadSide { kWithGrpc, kPaused, kClosed };

  explicit PublishAsyncSession(ApiState& state);
  AckVerdict OnAck(std::string_view ack);
  // Publishes one request, or says in `error` why not.
  bool Publish(std::string_view request, AsyncError& error);
  // Reads on, or pauses when the window is full.
  void ReadOn();
  void WriteNext();  // with the write token
  void MaybeFinish();
  void OnDrainTimeout();
  void OnExpiryTimer();

  // A place for one more response; else the session is to end.
  bool TakePlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool StartWriting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayReadAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ArmExpiry() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ApiState& state_;                            // not after OnDone
  std::shared_ptr<PublishAsyncSession> self_;  // until OnDone
  std::unique_ptr<AckInbox> inbox_;

  // The reading side: one OnReadDone at a time.
  grpc::ByteBuffer request_;
  PublishRequestView view_;
  PublishTargets targets_;

  // With the write token (`writing_`).
  grpc::ByteBuffer message_;
  grpc::Slice slice_;              // of current_
  std::vector<uint32_t> current_;  // ends of its responses
  size_t next_ = 0;

  absl::Mutex mutex_;
  ResponseBatch outbox_ ABSL_GUARDED_BY(mutex_);
  size_t being_written_ ABSL_GUARDED_BY(mutex_) = 0;  // responses in current_
  InFlightWindow window_ ABSL_GUARDED_BY(mutex_);
  ReadSide read_ ABSL_GUARDED_BY(mutex_) = ReadSide::kWithGrpc;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool overflowed_ ABSL_GUARDED_BY(mutex_) = false;
  bool drain_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool expiry_armed_ ABSL_GUARDED_BY(mutex_) = false;
  // Not guarded: gRPC's alarms are locked by themselves.
  grpc::Alarm expiry_alarm_;
  grpc::Alarm drain_alarm_;
};

}  // namespace bascule::api
