// Connections to brokers: which address answers, who leads a partition, and what a failed call
// means to a person.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api.grpc.pb.h"
#include "bascule/v1/bascule.grpc.pb.h"
#include "cmd/bascule/console.h"
#include "cmd/bascule/options.h"
#include "core/env/clock.h"

namespace bascule::cli {

// One address with its stubs. Stubs may be used by any thread.
struct Broker {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<proto::API::Stub> api;
  std::unique_ptr<v1::Bascule::Stub> own;
};
using BrokerPtr = std::shared_ptr<Broker>;

// Where a partition is served, and what the metadata says of it.
struct PartitionLeader {
  BrokerPtr broker;
  proto::StreamMetadata stream;
  proto::PartitionMetadata partition;
};

// One thread.
class Client {
 public:
  Client(const ConnectionOptions& options, Clock& clock, Console& console)
      : options_(options), clock_(clock), console_(console), servers_(options.servers) {}

  Clock& clock() { return clock_; }
  Console& console() { return console_; }
  Duration timeout() const { return options_.timeout; }

  // The first of the given servers that accepts a connection, or of the brokers that one of them
  // told of; remembered.
  Outcome<BrokerPtr> Connect();
  // Lets Connect() begin with the first server again.
  void Disconnect() {
    broker_.reset();
    next_server_ = 0;
  }
  // A call that changes nothing, made at the connected broker; while that cannot answer
  // (Unavailable), at the servers behind it. Why it failed; nothing when it did not.
  using Call = std::function<grpc::Status(Broker&, grpc::ClientContext*)>;
  std::optional<Failure> Ask(const std::string& doing, const std::string& stream, const Call& call);

  // The broker that leads `partition`: by its advertised address if that can be reached, else the
  // given one, with a note. Fails when stream or partition are unknown or nobody leads.
  Outcome<PartitionLeader> FindLeader(const std::string& stream, int32_t partition);

  // A connection to an advertised address; null when it cannot be reached within two seconds.
  BrokerPtr TryDial(const std::string& address);

  // Streams and brokers as the connected server sees them; empty `stream` = all.
  Outcome<proto::FetchMetadataResponse> FetchMetadata(const std::string& stream);

  // A context whose deadline is `timeout()` from now.
  std::unique_ptr<grpc::ClientContext> NewContext();

  // What `status` of `doing` ("create stream orders") means. `stream` names the stream of the call,
  // if it has one: when it is unknown, the hint offers the nearest name. `asked`: who was, if it was
  // not the connected one.
  Failure Explain(const grpc::Status& status, const std::string& doing,
                  const std::string& stream = "", const BrokerPtr& asked = nullptr);
  Failure UnknownStream(const std::string& name, const BrokerPtr& asked = nullptr);
  // Whether nobody answered, so that `status` is no server's word.
  bool IsLost(const grpc::Status& status, const BrokerPtr& asked = nullptr);

 private:
  Outcome<std::shared_ptr<grpc::ChannelCredentials>> Credentials();
  BrokerPtr MakeBroker(const std::string& address);
  bool WaitUntilConnected(Broker& broker, Duration limit);
  Failure Unreachable(const std::string& where, const std::string& detail);
  void Remember(const proto::FetchMetadataResponse& metadata);

  const ConnectionOptions& options_;
  Clock& clock_;
  Console& console_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  BrokerPtr broker_;
  std::vector<std::string> servers_;  // the given ones, then those that metadata named
  size_t next_server_ = 0;            // where Connect goes on
  std::string noted_;                 // the last note about a leader, which is not repeated
};

}  // namespace bascule::cli
