// One stream that a peer opened to this broker: hello both ways, then its frames and our answers.
//
//   gRPC thread                          Admission                     any thread
//   OnReadDone: hello ─────────────────► Admit (or refused)
//   our hello written
//   OnReadDone: frame ─► FrameReceiver::OnFrame ─► PeerHandler ──────► respond ─► Answer
//   OnWriteDone ◄── answers, one after another ◄─────────────────────────────────┘
//
// A line of replicas is not answered:
//   OnReadDone: hello ─► Admit, TakeTurn ─► ReplicaTraffic::OnReplicaStreamBegan
//   OnReadDone: bytes ─► ReplicaTraffic::OnReplicaFrame ─── credit ──► ReadNext
//
// One frame is read at a time, and none while more than limits::kPeerQueueBytes of answers wait, or
// the receiver has its fill, or limits::kReplicaCreditBytes of credit. At most limits::kPeerHandshakes
// streams wait for a hello.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "replication/peer/byte_buffer.h"
#include "replication/peer/frame.h"
#include "replication/peer/peer_core.h"

namespace bascule::peer {

class AcceptedStream;

// Which of a peer's streams of one lane is the newest that has begun: nothing of those before is
// told any more. Outlives them.
struct StreamTurn {
  absl::Mutex mutex;  // held while traffic is called: it orders what streams tell
  uint64_t newest ABSL_GUARDED_BY(mutex) = 0;
};

// Who is a peer, and which of its streams counts. Any thread.
class Admission {
 public:
  virtual ~Admission() = default;
  // The checks of the hello; admits the stream as the peer's only one of its kind. One of replicas
  // is given its turn.
  virtual std::optional<Refused> Admit(const Hello& hello,
                                       const std::optional<std::string>& certificate,
                                       ChannelKind kind,
                                       const std::shared_ptr<AcceptedStream>& stream) = 0;
};

// Lives until gRPC is done with it, or somebody owes it an answer. Any thread.
class AcceptedStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                             public std::enable_shared_from_this<AcceptedStream> {
 public:
  // The reactor belongs to gRPC and ends by itself. `admission` outlives it.
  static AcceptedStream* Accept(std::shared_ptr<PeerCore> core, Admission& admission,
                                grpc::CallbackServerContext& context, ChannelKind kind);

  // The other side is told `why`.
  void End(Refused why);
  // By Admit. `number` is above those of the streams that were admitted before.
  void TakeTurn(std::shared_ptr<StreamTurn> turn, uint64_t number);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  AcceptedStream(std::shared_ptr<PeerCore> core, Admission& admission,
                 grpc::CallbackServerContext& context, ChannelKind kind);
  void Begin();
  void OnHello(std::string_view bytes);
  std::optional<Refused> OnFrame(std::string_view bytes);
  std::optional<Refused> Take(Message message);
  std::optional<Refused> Take(Call call);
  std::optional<Refused> Take(BulkBegin begin);
  std::optional<Refused> Take(BulkData data);
  std::optional<Refused> Take(BulkAbort abort);
  template <typename Other>
  std::optional<Refused> Take(const Other&);
  std::optional<Refused> FinishBody();
  // The handler's way back; `weight` counts against what may be unanswered.
  PeerHandler::Respond Responder(uint64_t id, size_t weight);
  void Answer(uint64_t id, size_t weight, absl::StatusOr<std::string> result);
  void QueueFrame(std::string frame);
  class Credit;
  bool BeginReplicas();
  std::optional<Refused> OnReplicaFrame(grpc::Slice slice);
  void GiveBack(size_t credit);

  // Operations begin between Enter and Leave, so that Finish is never before or beside them.
  bool Enter();
  void Leave();
  void EndWith(const absl::Status& status);
  void WriteNext();
  void ReadNext();
  void ReadOn();
  void CutOff();
  bool ReleaseHandshake();

  const std::shared_ptr<PeerCore> core_;
  Admission& admission_;                  // until OnDone
  grpc::CallbackServerContext& context_;  // until OnDone
  const ChannelKind kind_;
  const std::string remote_;
  std::shared_ptr<AcceptedStream> self_;  // until OnDone
  grpc::ByteBuffer read_;
  grpc::ByteBuffer write_;

  // Of the reading reactions only.
  bool admitted_ = false;
  PeerIdentity peer_;
  std::optional<BulkBegin> body_of_;  // the body that is being received
  std::string body_;
  std::shared_ptr<StreamTurn> turn_;  // of a line of replicas
  uint64_t number_ = 0;

  absl::Mutex mutex_;
  size_t entered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool handshaking_ ABSL_GUARDED_BY(mutex_) = false;  // holds one of the places
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) =
      false;  // a read is with gRPC, or what it brought is being dealt with
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
  TimerId handshake_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::string> answers_ ABSL_GUARDED_BY(mutex_);
  size_t answer_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t unanswered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t credit_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // that somebody holds
};

}  // namespace bascule::peer
