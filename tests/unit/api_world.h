// An ApiServer over the fake ports, and a client connected to it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "api.grpc.pb.h"
#include "core/api/api_server.h"
#include "core/base/check.h"
#include "tests/unit/api_fake_cluster.h"
#include "tests/unit/api_fakes.h"

namespace bascule::api {

struct ApiWorld {
  explicit ApiWorld(ApiOptions options = {}, Clock& clock = RealClock()) {
    if (options.listen == ApiOptions().listen) options.listen = "127.0.0.1:0";
    options.server_id = "me";
    server = std::make_unique<ApiServer>(
        std::move(options),
        ApiPorts{catalog, admin, cluster, bus, facts, clock, RealFileSystem(), RealRng()});
    BASCULE_CHECK(server->Start().ok());
    channel = Connect();
    stub = proto::API::NewStub(channel);
  }
  ~ApiWorld() { server->Shutdown(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(server->BoundPort()); }
  // A connection that is not shared with others.
  std::shared_ptr<grpc::Channel> Connect(std::shared_ptr<grpc::ChannelCredentials> credentials =
                                             grpc::InsecureChannelCredentials()) const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address(), std::move(credentials), arguments);
  }

  // A stream that this broker leads; partition i is partitions[i].
  std::shared_ptr<CatalogEntry> MakeEntry(std::string name, std::string subject, int count) {
    auto entry = std::make_shared<CatalogEntry>();
    entry->stream.name = std::move(name);
    entry->stream.subject = std::move(subject);
    entry->stream.created = kFakeCreated;
    for (int32_t i = 0; i < count; ++i) {
      entry->stream.partitions.push_back({PartitionId(i), "me", kFakeEpoch, {"me"}, {"me"}, {}, 0});
      entry->partitions.push_back(std::make_shared<FakePartition>());
    }
    return entry;
  }
  std::vector<std::shared_ptr<FakePartition>> AddStream(std::string name, std::string subject,
                                                        int count = 1) {
    auto entry = MakeEntry(std::move(name), std::move(subject), count);
    std::vector<std::shared_ptr<FakePartition>> fakes;
    for (auto& port : entry->partitions)
      fakes.push_back(std::static_pointer_cast<FakePartition>(port));
    catalog.Put(std::move(entry));
    return fakes;
  }

  StreamCatalog catalog;
  FakeAdmin admin;
  FakeCluster cluster;
  FakeBus bus;
  FakeFacts facts;
  std::unique_ptr<ApiServer> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<proto::API::Stub> stub;
};

// A bound for calls that ought to answer: only a failing test waits for it.
inline void LimitCall(grpc::ClientContext& context,
                      std::chrono::seconds limit = std::chrono::seconds(30)) {
  context.set_deadline(std::chrono::system_clock::now() + limit);
}

// A status that shows itself in a failing test: "5 No such partition".
inline std::string Shown(const grpc::Status& status) {
  return std::to_string(static_cast<int>(status.error_code())) + " " + status.error_message();
}

}  // namespace bascule::api
