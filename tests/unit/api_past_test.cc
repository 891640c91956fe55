// A broker that cannot follow the cluster's metadata does not answer from the past.
#include <doctest/doctest.h>

#include "bascule/v1/bascule.grpc.pb.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

struct PastWorld : ApiWorld {
  std::string Fetch() {
    grpc::ClientContext context;
    LimitCall(context);
    proto::FetchMetadataResponse response;
    return Shown(stub->FetchMetadata(&context, proto::FetchMetadataRequest(), &response));
  }
  std::string List() {
    grpc::ClientContext context;
    LimitCall(context);
    v1::ListStreamsResponse response;
    return Shown(
        v1::Bascule::NewStub(channel)->ListStreams(&context, v1::ListStreamsRequest(), &response));
  }
  std::string Publish(const std::string& stream) {
    grpc::ClientContext context;
    LimitCall(context);
    proto::PublishRequest request;
    request.set_stream(stream);
    request.set_ackpolicy(proto::NONE);
    proto::PublishResponse response;
    return Shown(stub->Publish(&context, request, &response));
  }
  std::string PartitionOf(const std::string& stream) {
    grpc::ClientContext context;
    LimitCall(context);
    proto::FetchPartitionMetadataRequest request;
    request.set_stream(stream);
    proto::FetchPartitionMetadataResponse response;
    return Shown(stub->FetchPartitionMetadata(&context, request, &response));
  }
  std::string Subscribe(const std::string& stream) {
    grpc::ClientContext context;
    LimitCall(context);
    proto::SubscribeRequest request;
    request.set_stream(stream);
    const auto reader = stub->Subscribe(&context, request);
    proto::Message message;
    while (reader->Read(&message)) {
    }
    return Shown(reader->Finish());
  }
};

TEST_CASE("what would be said from the past is Unavailable, and why; again when it is over") {
  PastWorld world;
  for (int round = 0; round < 2; ++round) {
    CHECK(world.Fetch() == "0 ");
    CHECK(world.List() == "0 ");
    CHECK(world.Publish("none") == "5 no such stream: none");
    CHECK(world.PartitionOf("none") == "5 partition not found");
    CHECK(world.Subscribe("none") == "5 No such partition");
    world.catalog.SetPast("its disk is full");
    const std::string past =
        "14 this broker does not know which streams there are now: its disk is full; ask another "
        "broker of the cluster";
    CHECK(world.Fetch() == past);
    CHECK(world.List() == past);
    CHECK(world.Publish("none") == past);
    CHECK(world.PartitionOf("none") == past);
    CHECK(world.Subscribe("none") == past);
    world.catalog.SetPast("");
  }
}

}  // namespace
}  // namespace bascule::api
