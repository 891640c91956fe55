#include "cmd/bascule/client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/text.h"
#include "cmd/bascule/unavailable.h"
#include "core/base/spelling.h"

namespace bascule::cli {
namespace {

// Brokers that metadata named, to turn to when the given servers are gone.
constexpr size_t kMaxServers = 64;
// How long one of several addresses may take before the next is tried.
constexpr Duration kDialLimit = std::chrono::seconds(2);

// Absent when the file cannot be read.
std::optional<std::string> ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return std::nullopt;
  return content;
}

std::chrono::system_clock::time_point After(Clock& clock, Duration span) {
  return std::chrono::system_clock::time_point(std::chrono::nanoseconds(clock.Wall().value())) +
         span;
}

// The innermost reason of gRPC's nested texts: "...: Failed to connect to remote host: Connection
// refused".
std::string Reason(const std::string& message) {
  const size_t colon = message.rfind(": ");
  std::string reason = colon == message.npos ? message : message.substr(colon + 2);
  if (!reason.empty())
    reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  return reason;
}

}  // namespace

Outcome<std::shared_ptr<grpc::ChannelCredentials>> Client::Credentials() {
  if (!options_.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  const auto load = [](const std::string& path, std::string& target) {
    if (path.empty()) return true;
    auto content = ReadWhole(path);
    if (content) target = *std::move(content);
    return content.has_value();
  };
  const auto unreadable = [](const std::string& flag, const std::string& path) {
    return Failure{ExitCode::kUsage, absl::StrCat("cannot read ", path),
                   absl::StrCat("see ", flag)};
  };
  if (!load(options_.tls_ca, ssl.pem_root_certs)) return unreadable("--tls-ca", options_.tls_ca);
  if (!load(options_.tls_cert, ssl.pem_cert_chain))
    return unreadable("--tls-cert", options_.tls_cert);
  if (!load(options_.tls_key, ssl.pem_private_key))
    return unreadable("--tls-key", options_.tls_key);
  return grpc::SslCredentials(ssl);
}

BrokerPtr Client::MakeBroker(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A server's own limits bound what it sends; a listing of many streams passes gRPC's 4 MiB.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetUserAgentPrefix("bascule/" BASCULE_VERSION);
  auto broker = std::make_shared<Broker>();
  broker->address = address;
  broker->channel = grpc::CreateCustomChannel(address, credentials_, arguments);
  broker->api = proto::API::NewStub(broker->channel);
  broker->own = v1::Bascule::NewStub(broker->channel);
  return broker;
}

bool Client::WaitUntilConnected(Broker& broker, Duration limit) {
  const auto deadline = After(clock_, limit);
  for (;;) {
    const grpc_connectivity_state state = broker.channel->GetState(true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return false;
    if (!broker.channel->WaitForStateChange(state, deadline)) return false;
  }
}

Outcome<BrokerPtr> Client::Connect() {
  if (broker_) return broker_;
  auto credentials = Credentials();
  if (!credentials.ok()) return credentials.failure();
  credentials_ = *credentials;
  const bool several = servers_.size() > 1;
  grpc::Status last(grpc::StatusCode::UNAVAILABLE, "no server given");
  while (next_server_ < servers_.size()) {
    BrokerPtr broker = MakeBroker(servers_[next_server_++]);
    if (WaitUntilConnected(*broker,
                           several ? std::min(options_.timeout, kDialLimit) : options_.timeout)) {
      broker_ = broker;
      return broker_;
    }
    // The state says only that it failed; a call says why.
    auto context = NewContext();
    if (several) context->set_deadline(After(clock_, std::chrono::milliseconds(200)));
    proto::FetchMetadataResponse ignored;
    last = broker->api->FetchMetadata(context.get(), proto::FetchMetadataRequest(), &ignored);
  }
  next_server_ = 0;
  return Unreachable(absl::StrJoin(options_.servers, ", "),
                     last.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED
                         ? "no answer"
                         : Reason(last.error_message()));
}

Failure Client::Unreachable(const std::string& where, const std::string& detail) {
  std::string hint = "is basculed running there? (--server HOST:PORT or BASCULE_SERVER)";
  if (options_.tls) {
    hint = "does the server speak TLS, and do --tls-ca and --tls-cert fit it?";
  } else if (detail != "connection refused" && detail != "no answer") {
    hint = "check --server (or BASCULE_SERVER); a server with TLS needs --tls or --tls-ca";
  }
  return {ExitCode::kUnreachable, absl::StrCat("cannot reach ", where, ": ", detail), hint};
}

std::unique_ptr<grpc::ClientContext> Client::NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(After(clock_, options_.timeout));
  return context;
}

std::optional<Failure> Client::Ask(const std::string& doing, const std::string& stream,
                                   const Call& call) {
  for (;;) {
    Outcome<BrokerPtr> broker = Connect();
    if (!broker.ok()) return broker.failure();
    auto context = NewContext();
    const grpc::Status status = call(**broker, context.get());
    if (status.ok()) return std::nullopt;
    const bool others = next_server_ < servers_.size();
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || !others)
      return Explain(status, doing, stream);
    const std::string why = IsLost(status)
                                ? absl::StrCat(" does not answer (", Reason(status.error_message()))
                                : absl::StrCat(" cannot say (", status.error_message());
    Note(console_, absl::StrCat((*broker)->address, why, "); asking the next server"));
    broker_.reset();
  }
}

BrokerPtr Client::TryDial(const std::string& address) {
  BrokerPtr broker = MakeBroker(address);
  if (WaitUntilConnected(*broker, std::min(options_.timeout, kDialLimit))) return broker;
  return nullptr;
}

void Client::Remember(const proto::FetchMetadataResponse& metadata) {
  for (const proto::Broker& broker : metadata.brokers()) {
    const std::string address = absl::StrCat(broker.host(), ":", broker.port());
    if (servers_.size() >= kMaxServers) return;
    if (std::find(servers_.begin(), servers_.end(), address) == servers_.end())
      servers_.push_back(address);
  }
}

Outcome<proto::FetchMetadataResponse> Client::FetchMetadata(const std::string& stream) {
  proto::FetchMetadataRequest request;
  if (!stream.empty()) request.add_streams(stream);
  proto::FetchMetadataResponse response;
  const auto failure =
      Ask("fetch the metadata", "", [&](Broker& broker, grpc::ClientContext* context) {
        return broker.api->FetchMetadata(context, request, &response);
      });
  if (failure) return *failure;
  Remember(response);
  return response;
}

Outcome<PartitionLeader> Client::FindLeader(const std::string& stream, int32_t partition) {
  Outcome<proto::FetchMetadataResponse> metadata = FetchMetadata(stream);
  if (!metadata.ok()) return metadata.failure();
  const auto& streams = metadata->streammetadata();
  if (streams.empty() || streams[0].error() != proto::StreamMetadata::OK)
    return UnknownStream(stream);
  PartitionLeader found{broker_, streams[0], {}};
  const auto entry = found.stream.partitions().find(partition);
  if (entry == found.stream.partitions().end()) {
    const int count = found.stream.partitions_size();
    return Failure{ExitCode::kNotFound,
                   absl::StrCat("stream ", stream, " has no partition ", partition),
                   count == 1 ? "its only partition is 0"
                              : absl::StrCat("its partitions are 0 to ", count - 1)};
  }
  found.partition = entry->second;
  const std::string& leader = found.partition.leader();
  if (leader.empty()) {
    return Failure{ExitCode::kRefused,
                   absl::StrCat("partition ", partition, " of ", stream, " has no leader"),
                   absl::StrCat("bascule stream info ", stream, " shows its replicas")};
  }
  // The broker that answered stands first in the list: to it there is a connection already.
  const auto& brokers = metadata->brokers();
  if (brokers.empty() || brokers[0].id() == leader) return found;
  const auto known = std::find_if(brokers.begin(), brokers.end(),
                                  [&](const proto::Broker& b) { return b.id() == leader; });
  if (known == brokers.end()) {
    return Failure{ExitCode::kUnreachable,
                   absl::StrCat("partition ", partition, " of ", stream, " is led by broker ",
                                leader, ", which is not among the live ones"),
                   "bascule cluster status shows them"};
  }
  const std::string address = absl::StrCat(known->host(), ":", known->port());
  if (address == broker_->address) return found;
  if (BrokerPtr dialled = TryDial(address)) {
    found.broker = dialled;
  } else {
    const std::string note =
        absl::StrCat("broker ", leader, " leads partition ", partition, " but ", address,
                     " cannot be reached from here; asking ", broker_->address);
    if (note != noted_) Note(console_, note);
    noted_ = note;
  }
  return found;
}

Failure Client::UnknownStream(const std::string& name, const BrokerPtr& asked) {
  Failure failure{ExitCode::kNotFound, absl::StrCat("no stream ", name),
                  "bascule stream list shows what is there"};
  const BrokerPtr& broker = asked ? asked : broker_;
  if (!broker) return failure;
  absl::StrAppend(&failure.what, " on ", broker->address);
  // Best effort: without the names the failure is the same.
  proto::FetchMetadataResponse all;
  auto context = NewContext();
  if (!broker->api->FetchMetadata(context.get(), proto::FetchMetadataRequest(), &all).ok())
    return failure;
  std::vector<std::string> names;
  for (const auto& stream : all.streammetadata()) names.push_back(stream.name());
  const std::string near = NearestName(name, names);
  if (!near.empty()) failure.hint = absl::StrCat("did you mean ", near, "?");
  if (names.empty()) failure.hint = "there are no streams yet; bascule stream create makes one";
  return failure;
}

bool Client::IsLost(const grpc::Status& status, const BrokerPtr& asked) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  if (IsConnectionLost(status)) return true;
  const BrokerPtr& broker = asked ? asked : broker_;
  return broker && broker->channel->GetState(false) != GRPC_CHANNEL_READY;
}

Failure Client::Explain(const grpc::Status& status, const std::string& doing,
                        const std::string& stream, const BrokerPtr& asked) {
  const std::string& text = status.error_message();
  const BrokerPtr& broker = asked ? asked : broker_;
  const std::string where = broker ? broker->address : absl::StrJoin(options_.servers, ", ");
  const std::string cannot = absl::StrCat("cannot ", doing, ": ");
  if (IsWithoutLeader(status))
    return {ExitCode::kNoLeader, cannot + text, "bascule cluster status shows who is there"};
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (!IsLost(status, asked)) return {ExitCode::kRefused, cannot + text, ""};
      if (absl::StrContains(text, "failed to connect")) return Unreachable(where, Reason(text));
      return {ExitCode::kUnreachable,
              absl::StrCat(cannot, "the connection to ", where, " was lost (", text, ")"),
              "is basculed still running there?"};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {ExitCode::kUnreachable,
              absl::StrCat(cannot, "no answer from ", where, " within ",
                           ExactDuration(options_.timeout)),
              "raise --timeout, or see bascule server info"};
    case grpc::StatusCode::NOT_FOUND:
      if (!stream.empty() && !absl::StrContains(text, "partition"))
        return UnknownStream(stream, broker);
      return {ExitCode::kNotFound, cannot + text, "bascule stream list shows what is there"};
    case grpc::StatusCode::ALREADY_EXISTS:
      return {ExitCode::kRefused, cannot + text, "with --if-absent that is no error"};
    case grpc::StatusCode::UNIMPLEMENTED:
      return {ExitCode::kRefused,
              absl::StrCat(cannot, where, " does not offer this",
                           text.empty() ? "" : absl::StrCat(" (", text, ")")),
              "is it a Bascule broker, and as new as this program (" BASCULE_VERSION ")?"};
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return {ExitCode::kRefused, cannot + text, "see --tls-cert and the broker's authorization"};
    case grpc::StatusCode::DATA_LOSS:
      return {ExitCode::kDamaged, cannot + text, "see bascule stream info and bascule log verify"};
    default:
      return {ExitCode::kRefused, cannot + (text.empty() ? "the server gave no reason" : text), ""};
  }
}

}  // namespace bascule::cli
