// One stream that this broker opened to a peer: hello both ways, then frames, as its owner has them.
//
//   any thread        gRPC thread                       StreamOwner
//   Start ──────────► hello written, hello read ──────► OnOpen
//   Wake ───────────► StartWrite ◄───────────────────── NextFrame (until it has none)
//                     OnReadDone ─────────────────────► OnFrame
//   Close ──────────► cancelled; OnDone ──────────────► OnClosed, once and last
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "replication/peer/byte_buffer.h"
#include "replication/peer/frame.h"
#include "replication/peer/peer_core.h"

namespace bascule::peer {

// Called on gRPC's threads, without a lock; OnOpen, OnFrame and OnClosed one after another.
class StreamOwner {
 public:
  virtual ~StreamOwner() = default;
  // Both hellos are checked. `peer`: as it calls itself.
  virtual void OnOpen(const PeerIdentity& peer) = 0;
  // Not OK ends the stream.
  virtual absl::Status OnFrame(Frame frame) = 0;
  // The next message, as it is written. One caller at a time, also beside the others; none beside
  // OnClosed, or after it.
  virtual std::optional<grpc::ByteBuffer> NextFrame() = 0;
  virtual void OnClosed(const absl::Status& why) = 0;
};

// Whom the stream is for.
struct Destination {
  PeerId id;
  std::string server_id;
  std::string address;
};

// Lives until gRPC is done with it. Any thread.
class DialedStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public std::enable_shared_from_this<DialedStream> {
 public:
  // `method`: full name; lives for ever. Nothing happens, and nothing may be done, before Start.
  static std::shared_ptr<DialedStream> Make(std::shared_ptr<PeerCore> core,
                                            std::shared_ptr<grpc::Channel> channel,
                                            const char* method, Destination destination,
                                            std::shared_ptr<StreamOwner> owner);
  void Start();
  // NextFrame has something; it may be asked before this returns.
  void Wake();
  void Close(absl::Status why);

  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  DialedStream(std::shared_ptr<PeerCore> core, std::shared_ptr<grpc::Channel> channel,
               const char* method, Destination destination, std::shared_ptr<StreamOwner> owner);
  absl::Status OnHello(std::string_view bytes);
  absl::Status OnBytes(std::string_view bytes);
  void Advance();
  // Nothing is begun any more; gives gRPC the stream back once no write is being begun.
  void End();
  // Whether the caller is to give the stream back (RemoveHold), without the lock.
  bool LetGo() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<PeerCore> core_;
  const std::shared_ptr<grpc::Channel> channel_;
  const char* const method_;
  const Destination destination_;
  std::shared_ptr<StreamOwner> owner_;  // until OnDone
  std::shared_ptr<DialedStream> self_;  // until OnDone
  grpc::ClientContext context_;
  grpc::ByteBuffer read_;
  grpc::ByteBuffer write_;  // with the write token

  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;  // handshake done
  bool over_ ABSL_GUARDED_BY(mutex_) = false;  // no operation is begun any more
  bool writing_ ABSL_GUARDED_BY(mutex_) =
      true;  // the write token is held: by gRPC, or by whoever runs Advance
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;    // there may be something to write
  bool held_ ABSL_GUARDED_BY(mutex_) = true;     // gRPC waits for us
  absl::Status reason_ ABSL_GUARDED_BY(mutex_);  // why we closed it
  TimerId handshake_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bascule::peer
