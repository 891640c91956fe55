#include "replication/peer/peer_core.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/text.h"

namespace bascule::peer {
namespace {

constexpr int kKeepaliveMs = 1000;
constexpr int kKeepaliveTimeoutMs = 2000;
// How long one attempt to connect may take, TLS included.
constexpr int kConnectMs = 3000;
// How far a sender may run ahead of the reader. Fixed, because measuring it costs pings.
constexpr int kControlWindowBytes = 1 << 20;
constexpr int kBulkWindowBytes = 4 << 20;

class OneAnswer {
 public:
  explicit OneAnswer(absl::AnyInvocable<void(absl::StatusOr<std::string>)> answer)
      : answer_(std::move(answer)) {}
  ~OneAnswer() {
    if (!answered_.exchange(true))
      answer_(absl::UnknownError("the broker that was called gave no answer"));
  }
  void Answer(absl::StatusOr<std::string> result) {
    if (!answered_.exchange(true)) answer_(std::move(result));
  }

 private:
  std::atomic<bool> answered_{false};
  absl::AnyInvocable<void(absl::StatusOr<std::string>)> answer_;
};

}  // namespace

void PeerCore::Later(Task task) {
  {
    const absl::MutexLock lock(&mutex_);
    later_.push_back(std::move(task));
    if (later_.size() > 1) return;  // one wake-up runs them all
  }
  deadlines->After(Duration(0), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->RunLaterNow();
  });
}

void PeerCore::AnswerLater(PeerTransport::Done done, absl::Status status) {
  Later([self = shared_from_this(), done = std::move(done), status = std::move(status)]() mutable {
    self->gate.Run([&] { done(std::move(status)); });
  });
}

void PeerCore::RunLaterNow() {
  std::vector<Task> tasks;
  {
    const absl::MutexLock lock(&mutex_);
    tasks.swap(later_);
  }
  for (Task& task : tasks) task();
}

std::shared_ptr<grpc::Channel> MakeChannel(const PeerCore& core, const std::string& address,
                                           std::optional<std::string> server_id, ChannelKind kind) {
  grpc::ChannelArguments arguments;
  // Without a pool of their own, all channels to one address share one socket.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(limits::kPeerBackoffMin.count()));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);  // in truth the time to connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   static_cast<int>(limits::kPeerBackoffMax.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                   kind == ChannelKind::kBulk ? kBulkWindowBytes : kControlWindowBytes);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMaxFrameBytes));
  // The scheme is ours: an address from elsewhere names a host and a port, nothing else.
  return grpc::CreateCustomChannel(Concat("dns:///", address),
                                   core.credentials.ForChannel(std::move(server_id)), arguments);
}

PeerHandler::Respond RespondOnce(absl::AnyInvocable<void(absl::StatusOr<std::string>)> answer) {
  return [once = std::make_shared<OneAnswer>(std::move(answer))](
             absl::StatusOr<std::string> result) { once->Answer(std::move(result)); };
}

}  // namespace bascule::peer
