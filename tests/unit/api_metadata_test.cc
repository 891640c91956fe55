// FetchMetadata, FetchPartitionMetadata, CreateStream, DeleteStream and what is not built yet.
#include <doctest/doctest.h>

#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

PartitionStatus StatusWith(int64_t hw, int64_t end) {
  PartitionStatus status;
  status.leader = true;
  status.high_watermark = Offset(hw);
  status.log_end = status.last_message_end = Offset(end);
  status.first_received = Timestamp(11);
  status.latest_received = Timestamp(22);
  return status;
}

proto::FetchMetadataResponse Fetch(ApiWorld& world, const std::vector<std::string>& streams,
                                   const std::vector<std::string>& groups = {}) {
  proto::FetchMetadataRequest request;
  for (const auto& name : streams) request.add_streams(name);
  for (const auto& name : groups) request.add_groups(name);
  grpc::ClientContext context;
  LimitCall(context);
  proto::FetchMetadataResponse response;
  CHECK(Shown(world.stub->FetchMetadata(&context, request, &response)) == "0 ");
  return response;
}

TEST_CASE("fetch metadata: all streams, with every partition's numbers") {
  ApiWorld world;
  auto partitions = world.AddStream("s", "foo", 2);
  partitions[0]->SetDescribe(StatusWith(5, 7));
  partitions[1]->SetDescribe(absl::UnavailableError("going away"));
  world.AddStream("a", "bar");
  const auto response = Fetch(world, {});
  REQUIRE(response.streammetadata_size() == 2);
  const proto::StreamMetadata& s = response.streammetadata(1);
  CHECK(s.name() == "s");
  CHECK(s.subject() == "foo");
  CHECK(s.creationtimestamp() == 77);
  CHECK(s.error() == proto::StreamMetadata::OK);
  REQUIRE(s.partitions_size() == 2);
  const proto::PartitionMetadata& first = s.partitions().at(0);
  CHECK(first.leader() == "me");
  CHECK(first.replicas_size() == 1);
  CHECK(first.isr(0) == "me");
  CHECK(first.highwatermark() == 4);
  CHECK(first.newestoffset() == 6);
  CHECK(first.messagesreceivedtimestamps().firsttimestamp() == 11);
  CHECK(first.messagesreceivedtimestamps().latesttimestamp() == 22);
  CHECK_FALSE(first.paused());
  CHECK(s.partitions().at(1).id() == 1);
  CHECK(s.partitions().at(1).highwatermark() == -1);
  CHECK(response.groupmetadata_size() == 0);
}

TEST_CASE(
    "fetch metadata: a replica that is in sync and cannot be dialled is not offered to clients") {
  ApiWorld world;
  world.admin.brokers = {{"me", "", 0, "", 3, 2}, {"b2", "h", 1, "", 0, 0}};
  auto entry = world.MakeEntry("s", "foo", 2);
  for (PartitionDescription& partition : entry->stream.partitions) {
    partition.leader = "b3";
    partition.replicas = {"b3", "b2", "me"};
    partition.isr = partition.replicas;
  }
  entry->stream.partitions[1].isr = {"b3"};
  world.catalog.Put(entry);
  const auto response = Fetch(world, {"s"});
  const proto::PartitionMetadata& first = response.streammetadata(0).partitions().at(0);
  CHECK(first.leader() == "b3");
  CHECK(first.replicas_size() == 3);
  REQUIRE(first.isr_size() == 2);
  CHECK(first.isr(0) == "b2");
  CHECK(first.isr(1) == "me");
  // Of nobody else there would be nothing to choose from.
  CHECK(response.streammetadata(0).partitions().at(1).isr_size() == 1);
}

TEST_CASE("fetch metadata: a gap record at the end is no message to wait for") {
  ApiWorld world;
  PartitionStatus status = StatusWith(7, 7);
  status.last_message_end = Offset(6);
  world.AddStream("s", "foo")[0]->SetDescribe(status);
  const auto response = Fetch(world, {"s"});
  const proto::PartitionMetadata& partition = response.streammetadata(0).partitions().at(0);
  CHECK(partition.highwatermark() == 5);
  CHECK(partition.newestoffset() == 5);
}

TEST_CASE("fetch metadata: what was asked for, in that order, twice if asked twice") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.AddStream("t", "bar");
  const auto response = Fetch(world, {"t", "x", "s", "t"}, {"g1", "g2"});
  REQUIRE(response.streammetadata_size() == 4);
  CHECK(response.streammetadata(0).subject() == "bar");
  CHECK(response.streammetadata(1).name() == "x");
  CHECK(response.streammetadata(1).error() == proto::StreamMetadata::UNKNOWN_STREAM);
  CHECK(response.streammetadata(1).partitions_size() == 0);
  CHECK(response.streammetadata(2).name() == "s");
  CHECK(response.streammetadata(3).partitions_size() == 1);
  REQUIRE(response.groupmetadata_size() == 2);
  CHECK(response.groupmetadata(1).groupid() == "g2");
  CHECK(response.groupmetadata(1).error() == proto::ConsumerGroupMetadata::UNKNOWN_GROUP);
}

TEST_CASE("fetch metadata: partitions that stand elsewhere, and one that nobody leads") {
  ApiWorld world;
  auto entry = world.MakeEntry("s", "foo", 3);
  auto own = std::static_pointer_cast<FakePartition>(entry->partitions[0]);
  own->SetDescribe(StatusWith(5, 7));
  entry->stream.partitions[1].leader = "other";
  entry->stream.partitions[1].replicas = entry->stream.partitions[1].isr = {"other", "third"};
  entry->partitions[1] = nullptr;
  entry->stream.partitions[2].leader = "";
  entry->stream.partitions[2].isr = {};
  entry->partitions[2] = nullptr;
  world.catalog.Put(entry);
  const auto response = Fetch(world, {"s"});
  REQUIRE(response.streammetadata_size() == 1);
  const auto& partitions = response.streammetadata(0).partitions();
  CHECK(partitions.at(0).newestoffset() == 6);
  CHECK(partitions.at(1).leader() == "other");
  CHECK(partitions.at(1).replicas_size() == 2);
  CHECK(partitions.at(1).isr(1) == "third");
  CHECK(partitions.at(1).highwatermark() == -1);
  CHECK(partitions.at(1).newestoffset() == -1);
  CHECK(partitions.at(2).leader() == "");
  CHECK(partitions.at(2).isr_size() == 0);
}

TEST_CASE("fetch metadata: brokers, this one with an address that can be dialled") {
  {
    ApiWorld world;
    world.admin.brokers.push_back({"other", "far", 1234, "", 1, 1});
    const auto response = Fetch(world, {});
    REQUIRE(response.brokers_size() == 2);
    CHECK(response.brokers(0).id() == "me");
    CHECK(response.brokers(0).host() == "127.0.0.1");
    CHECK(response.brokers(0).port() == world.server->BoundPort());
    CHECK(response.brokers(0).partitioncount() == 3);
    CHECK(response.brokers(0).leadercount() == 2);
    CHECK(response.brokers(1).host() == "far");
    CHECK(response.brokers(1).port() == 1234);
  }
  {
    ApiOptions options;
    options.listen = "0.0.0.0:0";
    ApiWorld world(options);
    CHECK(Fetch(world, {}).brokers(0).host() == "localhost");
  }
  {
    ApiOptions options;
    options.advertised_host = "broker.example";
    options.advertised_port = 99;
    ApiWorld world(options);
    CHECK(Fetch(world, {}).brokers(0).host() == "broker.example");
    CHECK(Fetch(world, {}).brokers(0).port() == 99);
  }
}

TEST_CASE("fetch metadata: a thousand streams stay below the limit of clients") {
  ApiWorld world;
  auto one = world.MakeEntry("x", "y", 1);
  for (int i = 0; i < 1000; ++i) {
    auto entry = std::make_shared<CatalogEntry>(*one);
    entry->stream.name = "orders.of.the.day." + std::to_string(i);
    entry->stream.subject = "orders.of.the.day." + std::to_string(i);
    world.catalog.Put(entry);
  }
  const auto response = Fetch(world, {});
  CHECK(response.streammetadata_size() == 1000);
  CHECK(response.ByteSizeLong() < 1024 * 1024);
}

TEST_CASE("fetch partition metadata: from the leader only") {
  ApiWorld world;
  auto entry = world.MakeEntry("s", "foo", 3);
  entry->stream.partitions[1].leader = "other";
  entry->partitions[2] = nullptr;
  world.catalog.Put(entry);
  auto first = std::static_pointer_cast<FakePartition>(entry->partitions[0]);
  first->SetDescribe(StatusWith(5, 7));
  const auto fetch = [&](const std::string& stream, int32_t partition,
                         proto::FetchPartitionMetadataResponse& out) {
    proto::FetchPartitionMetadataRequest request;
    request.set_stream(stream);
    request.set_partition(partition);
    grpc::ClientContext context;
    LimitCall(context);
    return Shown(world.stub->FetchPartitionMetadata(&context, request, &out));
  };
  proto::FetchPartitionMetadataResponse response;
  CHECK(fetch("x", 0, response) == "5 partition not found");
  CHECK(fetch("s", 3, response) == "5 partition not found");
  CHECK(fetch("s", -1, response) == "5 partition not found");
  CHECK(fetch("s", 1, response) == "9 The request should be sent to partition leader");
  CHECK(fetch("s", 2, response) == "9 The request should be sent to partition leader");
  CHECK(fetch("s", 0, response) == "0 ");
  CHECK(response.metadata().highwatermark() == 4);
  CHECK(response.metadata().newestoffset() == 6);
  PartitionStatus stepped_down = StatusWith(5, 7);
  stepped_down.leader = false;
  first->SetDescribe(stepped_down);
  CHECK(fetch("s", 0, response) == "9 The request should be sent to partition leader");
}

std::string Create(ApiWorld& world, const proto::CreateStreamRequest& request) {
  grpc::ClientContext context;
  LimitCall(context);
  proto::CreateStreamResponse response;
  return Shown(world.stub->CreateStream(&context, request, &response));
}

TEST_CASE("create stream: every field reaches metadata, its answer comes back") {
  ApiWorld world;
  proto::CreateStreamRequest request;
  request.set_name("s");
  request.set_subject("foo");
  request.set_group("g");
  request.set_replicationfactor(-1);
  request.set_partitions(3);
  request.mutable_retentionmaxbytes()->set_value(1);
  request.mutable_retentionmaxmessages()->set_value(0);
  request.mutable_retentionmaxage()->set_value(3);
  request.mutable_cleanerinterval()->set_value(4);
  request.mutable_segmentmaxbytes()->set_value(70000);
  request.mutable_segmentmaxage()->set_value(6);
  request.mutable_minisr()->set_value(2);
  request.mutable_optimisticconcurrencycontrol()->set_value(true);
  request.mutable_compactenabled()->set_value(false);  // what is not built may be named as off
  request.mutable_autopausetime()->set_value(0);
  request.mutable_encryption()->set_value(false);
  CHECK(Create(world, request) == "0 ");
  const StreamSpec& spec = world.admin.last_spec;
  CHECK(spec.name == "s");
  CHECK(spec.subject == "foo");
  CHECK(spec.group == "g");
  CHECK(spec.replication_factor == -1);
  CHECK_FALSE(spec.one_replica_unless_set);
  CHECK(spec.partitions == 3);
  StreamOverrides wanted;
  wanted.retention_max_bytes = 1;
  wanted.retention_max_messages = 0;
  wanted.retention_max_age = std::chrono::milliseconds(3);
  wanted.cleaner_interval = std::chrono::milliseconds(4);
  wanted.segment_max_bytes = 70000;
  wanted.segment_max_age = std::chrono::milliseconds(6);
  wanted.min_isr = 2;
  wanted.optimistic_concurrency_control = true;
  CHECK(spec.overrides == wanted);
  CHECK(world.admin.last_timeout > std::chrono::seconds(20));  // the caller's deadline
  // gRPC sends timeouts with few digits, rounded up.
  CHECK(world.admin.last_timeout <= std::chrono::seconds(31));

  request.mutable_cleanerinterval()->set_value(0);  // 0 = the default in these two
  request.mutable_segmentmaxbytes()->set_value(0);
  CHECK(Create(world, request) == "0 ");
  CHECK_FALSE(world.admin.last_spec.overrides.cleaner_interval.has_value());
  CHECK_FALSE(world.admin.last_spec.overrides.segment_max_bytes.has_value());

  world.admin.answer = absl::AlreadyExistsError("stream already exists");
  CHECK(Create(world, request) == "6 stream already exists");
}

TEST_CASE(
    "create stream: fields that are not built yet are refused, after the contract's own checks") {
  using Change = std::function<void(proto::CreateStreamRequest&)>;
  const std::vector<std::pair<std::string, Change>> changes = {
      {"compactEnabled", [](auto& r) { r.mutable_compactenabled()->set_value(true); }},
      {"compactMaxGoroutines", [](auto& r) { r.mutable_compactmaxgoroutines()->set_value(0); }},
      {"autoPauseTime", [](auto& r) { r.mutable_autopausetime()->set_value(5); }},
      {"autoPauseDisableIfSubscribers",
       [](auto& r) { r.mutable_autopausedisableifsubscribers()->set_value(true); }},
      {"encryption", [](auto& r) { r.mutable_encryption()->set_value(true); }}};
  ApiWorld world;
  for (const auto& [field, change] : changes) {
    proto::CreateStreamRequest request;
    change(request);
    CHECK(Create(world, request) == "3 Name cannot be empty");
    request.set_name("s");
    CHECK(Create(world, request) == "3 Subject is invalid");
    request.set_subject("foo");
    CHECK(Create(world, request) ==
          "12 " + field +
              " is not implemented by this version of Bascule: create stream s without it");
    CHECK(world.admin.last_spec.name.empty());
  }
}

TEST_CASE("delete stream") {
  ApiWorld world;
  proto::DeleteStreamRequest request;
  request.set_name("s");
  proto::DeleteStreamResponse response;
  {
    grpc::ClientContext context;  // without a deadline: the default one
    CHECK(Shown(world.stub->DeleteStream(&context, request, &response)) == "0 ");
    CHECK(world.admin.last_deleted == "s");
    CHECK(world.admin.last_timeout == Duration(limits::kDefaultMetadataTimeout));
  }
  world.admin.answer = absl::NotFoundError("stream does not exist");
  grpc::ClientContext context;
  CHECK(Shown(world.stub->DeleteStream(&context, request, &response)) == "5 stream does not exist");
}

template <typename Request, typename Response>
void CheckNotBuilt(ApiWorld& world, const std::string& name,
                   grpc::Status (proto::API::Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*)) {
  grpc::ClientContext context;
  LimitCall(context);
  Response response;
  CHECK(Shown((world.stub.get()->*method)(&context, Request(), &response)) ==
        "12 " + name + " is not implemented by this version of Bascule");
}

TEST_CASE("calls that are not built yet say so") {
  ApiWorld world;
  using Stub = proto::API::Stub;
  CheckNotBuilt(world, "PauseStream", &Stub::PauseStream);
  CheckNotBuilt(world, "SetStreamReadonly", &Stub::SetStreamReadonly);
  CheckNotBuilt(world, "SetCursor", &Stub::SetCursor);
  CheckNotBuilt(world, "FetchCursor", &Stub::FetchCursor);
  CheckNotBuilt(world, "JoinConsumerGroup", &Stub::JoinConsumerGroup);
  CheckNotBuilt(world, "LeaveConsumerGroup", &Stub::LeaveConsumerGroup);
  CheckNotBuilt(world, "FetchConsumerGroupAssignments", &Stub::FetchConsumerGroupAssignments);
  CheckNotBuilt(world, "ReportConsumerGroupCoordinator", &Stub::ReportConsumerGroupCoordinator);
}

}  // namespace
}  // namespace bascule::api
