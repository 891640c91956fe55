// One question and one answer between brokers of which one is not the other's peer.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "replication/peer/peer_core.h"

namespace bascule::peer {

// The asking side. Any thread.
class Introductions : public std::enable_shared_from_this<Introductions> {
 public:
  explicit Introductions(std::shared_ptr<PeerCore> core) : core_(std::move(core)) {}
  // `done` never before this returns.
  // `server_id`: whose certificate is wanted there; nullopt = any broker's.
  void Ask(std::string address, std::optional<std::string> server_id, std::string request,
           Duration timeout, PeerTransport::Done done);
  // Cancels what is under way; its callers hear it.
  void Stop();

 private:
  struct Question;
  static absl::StatusOr<std::string> Result(const Question& question, const absl::Status& status);
  void OnAnswer(const Question* key, const grpc::Status& status);

  const std::shared_ptr<PeerCore> core_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<const Question*, std::shared_ptr<Question>> asked_ ABSL_GUARDED_BY(mutex_);
};

// The side that is asked. `core` outlives the call.
grpc::ServerUnaryReactor* AnswerIntroduction(std::shared_ptr<PeerCore> core,
                                             grpc::CallbackServerContext& context,
                                             const grpc::ByteBuffer& request,
                                             grpc::ByteBuffer& response);

}  // namespace bascule::peer
