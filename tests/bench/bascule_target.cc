#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "api.grpc.pb.h"
#include "bascule/v1/bascule.grpc.pb.h"
#include "tests/bench/target.h"

namespace bascule::bench {

namespace {

using Deadline = std::chrono::system_clock::time_point;

Deadline After(std::chrono::seconds limit) { return std::chrono::system_clock::now() + limit; }

absl::Status FromGrpc(const std::string& what, const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(what, ": ", status.error_message()));
}

proto::SubscribeRequest FromBeginning(const std::string& name) {
  proto::SubscribeRequest request;
  request.set_stream(name);
  request.set_startposition(proto::EARLIEST);
  return request;
}

// How a subscription that was read to `seen` of `wanted` messages ended. The server's own reason
// comes first, since a reader that stops early cancels.
absl::Status Verdict(const std::string& name, uint64_t seen, uint64_t wanted, grpc::Status end) {
  if (seen == wanted) return absl::OkStatus();
  if (end.ok()) {
    return absl::DataLossError(
        absl::StrCat("Subscribe to ", name, " ended after ", seen, " of ", wanted, " messages"));
  }
  return FromGrpc(absl::StrCat("Subscribe to ", name, " after ", seen, " messages"), end);
}

class BasculeTarget : public Target {
 public:
  explicit BasculeTarget(const std::string& address)
      : channel_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())),
        api_(proto::API::NewStub(channel_)),
        own_(v1::Bascule::NewStub(channel_)) {}

  absl::Status WaitReady(std::chrono::seconds limit) override {
    const Deadline deadline = After(limit);
    std::string reason = "no answer";
    while (std::chrono::system_clock::now() < deadline) {
      grpc::ClientContext context;
      context.set_deadline(deadline);
      context.set_wait_for_ready(true);
      v1::GetServerInfoResponse facts;
      const grpc::Status status = own_->GetServerInfo(&context, {}, &facts);
      if (status.ok() && facts.nats_connected()) return absl::OkStatus();
      reason = status.ok() ? "not connected to NATS" : status.error_message();
      channel_->WaitForStateChange(GRPC_CHANNEL_READY,
                                   std::chrono::system_clock::now() + kReadyPeriod);
    }
    return absl::DeadlineExceededError("the broker is not ready: " + reason);
  }

  absl::Status CreateStream(const StreamChoice& choice) override {
    v1::CreateStreamRequest request;
    request.set_name(choice.name);
    request.set_subject(choice.subject);
    request.set_replication_factor(choice.replicas);
    v1::StreamSettings& settings = *request.mutable_settings();
    settings.set_reply_acks(v1::REPLY_ACKS_JETSTREAM);
    settings.set_durability(choice.durability == "os" ? v1::DURABILITY_OS : v1::DURABILITY_FSYNC);
    if (choice.retention_bytes > 0) settings.set_retention_max_bytes(choice.retention_bytes);
    grpc::ClientContext context;
    context.set_deadline(After(kCallLimit));
    v1::CreateStreamResponse response;
    const grpc::Status status = own_->CreateStream(&context, request, &response);
    return status.ok() ? absl::OkStatus() : FromGrpc("creating stream " + choice.name, status);
  }

  absl::Status Replay(const std::string& name, uint64_t count, std::chrono::seconds limit,
                      const Visitor& visit) override {
    grpc::ClientContext context;
    context.set_deadline(After(limit));
    const auto reader = api_->Subscribe(&context, FromBeginning(name));
    proto::Message message;
    uint64_t seen = 0;
    absl::Status bad;
    // The first message is empty and says that the subscription stands.
    if (reader->Read(&message)) {
      while (seen < count && bad.ok() && reader->Read(&message)) {
        if (message.offset() != static_cast<int64_t>(seen)) {
          bad = absl::DataLossError(absl::StrCat("Subscribe to ", name, ": offset ",
                                                 message.offset(), " where ", seen, " is due"));
        } else if (bad = visit(message.value()); bad.ok()) {
          ++seen;
        }
      }
    }
    context.TryCancel();
    const grpc::Status end = reader->Finish();
    return bad.ok() ? Verdict(name, seen, count, end) : bad;
  }

  absl::Status ReplayRaw(const std::string& name, uint64_t count,
                         std::chrono::seconds limit) override {
    grpc::ClientContext context;
    context.set_deadline(After(limit));
    const grpc::internal::RpcMethod method("/proto.API/Subscribe",
                                           grpc::internal::RpcMethod::SERVER_STREAMING, channel_);
    const std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> reader(
        grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(
            channel_.get(), method, &context, FromBeginning(name)));
    grpc::ByteBuffer buffer;
    uint64_t seen = 0;
    if (reader->Read(&buffer)) {
      while (seen < count && reader->Read(&buffer)) ++seen;
    }
    context.TryCancel();
    return Verdict(name, seen, count, reader->Finish());
  }

  absl::StatusOr<uint64_t> Stored(const std::string& name) override {
    proto::FetchPartitionMetadataRequest request;
    request.set_stream(name);
    grpc::ClientContext context;
    context.set_deadline(After(kCallLimit));
    proto::FetchPartitionMetadataResponse response;
    const grpc::Status status = api_->FetchPartitionMetadata(&context, request, &response);
    if (!status.ok()) return FromGrpc("asking about stream " + name, status);
    return static_cast<uint64_t>(response.metadata().highwatermark() + 1);
  }

 private:
  static constexpr std::chrono::seconds kCallLimit{30};
  static constexpr std::chrono::milliseconds kReadyPeriod{100};

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<proto::API::Stub> api_;
  std::unique_ptr<v1::Bascule::Stub> own_;
};

}  // namespace

std::unique_ptr<Target> MakeBasculeTarget(const std::string& grpc) {
  return std::make_unique<BasculeTarget>(grpc);
}

absl::StatusOr<std::unique_ptr<Target>> MakeFeed(const TargetAddress& address) {
  if (address.side == "ours") return MakeBasculeTarget(address.grpc);
  return MakeJetStreamTarget(address.nats_url);
}

}  // namespace bascule::bench
