// bascule.v1.Bascule over a real connection.
#include <doctest/doctest.h>

#include "bascule/v1/bascule.grpc.pb.h"
#include "core/base/text.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

struct OwnWorld : ApiWorld {
  OwnWorld() : own(v1::Bascule::NewStub(channel)) {}

  std::string Create(const v1::CreateStreamRequest& request, v1::CreateStreamResponse& response) {
    grpc::ClientContext context;
    LimitCall(context);
    return Shown(own->CreateStream(&context, request, &response));
  }
  std::string List(const std::vector<std::string>& names, v1::ListStreamsResponse& response) {
    v1::ListStreamsRequest request;
    for (const auto& name : names) request.add_names(name);
    grpc::ClientContext context;
    LimitCall(context);
    return Shown(own->ListStreams(&context, request, &response));
  }

  std::unique_ptr<v1::Bascule::Stub> own;
};

v1::CreateStreamRequest FullRequest() {
  v1::CreateStreamRequest request;
  request.set_name("s");
  request.set_subject("foo");
  request.set_group("g");
  request.set_partitions(2);
  request.set_replication_factor(1);
  v1::StreamSettings& settings = *request.mutable_settings();
  settings.set_retention_max_bytes(1);
  settings.set_retention_max_messages(2);
  settings.set_retention_max_age_ms(3);
  settings.set_cleaner_interval_ms(4);
  settings.set_segment_max_bytes(70000);
  settings.set_segment_max_age_ms(6);
  settings.set_min_isr(1);
  settings.set_optimistic_concurrency_control(true);
  settings.set_durability(v1::DURABILITY_OS);
  settings.set_reply_acks(v1::REPLY_ACKS_JETSTREAM);
  settings.set_leader_acks(v1::LEADER_ACKS_COMMITTED);
  settings.set_record_internal_subjects(true);
  return request;
}

TEST_CASE("create stream: every setting reaches metadata") {
  OwnWorld world;
  v1::CreateStreamResponse response;
  CHECK(world.Create(FullRequest(), response) == "0 ");
  CHECK(response.created());
  StreamOverrides wanted;
  wanted.retention_max_bytes = 1;
  wanted.retention_max_messages = 2;
  wanted.retention_max_age = std::chrono::milliseconds(3);
  wanted.cleaner_interval = std::chrono::milliseconds(4);
  wanted.segment_max_bytes = 70000;
  wanted.segment_max_age = std::chrono::milliseconds(6);
  wanted.min_isr = 1;
  wanted.optimistic_concurrency_control = true;
  wanted.durability = Durability::kOs;
  wanted.reply_acks = ReplyAcks::kJetStream;
  wanted.leader_acks = LeaderAcks::kCommitted;
  wanted.record_internal_subjects = true;
  CHECK(world.admin.last_spec.overrides == wanted);
  CHECK(world.admin.last_spec.partitions == 2);
  CHECK(world.admin.last_spec.group == "g");

  v1::CreateStreamRequest plain;
  plain.set_name("p");
  CHECK(world.Create(plain, response) == "0 ");
  CHECK(world.admin.last_spec.overrides == StreamOverrides());

  plain.mutable_settings()->set_durability(static_cast<v1::Durability>(9));
  CHECK(world.Create(plain, response) ==
        "3 settings.durability: 9 is not a value that this version knows");
}

TEST_CASE("create stream if absent: what is there is compared with what was asked") {
  OwnWorld world;
  world.AddStream("s", "bar");
  world.admin.answer = absl::AlreadyExistsError("stream already exists");
  v1::CreateStreamResponse response;
  v1::CreateStreamRequest request = FullRequest();
  CHECK(world.Create(request, response) == "6 stream already exists");
  request.set_if_absent(true);
  request.mutable_settings()->clear_retention_max_age_ms();
  CHECK(world.Create(request, response) == "0 ");
  CHECK_FALSE(response.created());
  const std::vector<std::string> differences(response.differences().begin(),
                                             response.differences().end());
  REQUIRE(differences.size() == 14);
  CHECK(differences[0] == "subject: \"bar\" here, \"foo\" asked");
  CHECK(differences[1] == "group: \"\" here, \"g\" asked");
  CHECK(differences[2] == "partitions: 1 here, 2 asked");
  CHECK(differences[3] == "retention_max_bytes: 0 here, 1 asked");
  CHECK(differences[5] == "cleaner_interval: 5m here, 4ms asked");
  CHECK(differences[8] == "min_isr: 0 here, 1 asked");
  CHECK(differences[9] == "optimistic_concurrency_control: false here, true asked");
  CHECK(differences[10] == "durability: fsync here, os asked");

  v1::CreateStreamRequest same;
  same.set_name("s");
  same.set_subject("bar");
  same.set_replication_factor(-1);  // every broker: there is one
  same.set_if_absent(true);
  response.Clear();
  CHECK(world.Create(same, response) == "0 ");
  CHECK(response.differences().empty());

  same.set_name("just going");
  CHECK(world.Create(same, response) ==
        "14 stream just going is just being created or deleted: try again");
}

TEST_CASE("list streams: all, or those asked for") {
  OwnWorld world;
  auto partitions = world.AddStream("s", "foo", 2);
  world.AddStream("a", "bar");
  PartitionStatus status;
  status.log_start = Offset(3);
  status.high_watermark = Offset(8);
  status.log_end = Offset(10);
  status.flushed_end = Offset(9);
  status.bytes = 1234;
  status.segments = 2;
  status.messages_refused = 1;
  status.gap_records = 5;
  status.degraded = "disk reserve reached";
  partitions[0]->SetDescribe(status);
  partitions[1]->SetDescribe(absl::UnavailableError("going away"));
  v1::ListStreamsResponse response;
  CHECK(world.List({"s", "x"}, response) == "5 no such stream: x");
  CHECK(world.List({}, response) == "0 ");
  REQUIRE(response.streams_size() == 2);
  CHECK(response.streams(0).name() == "a");
  CHECK(response.streams(0).partitions(0).oldest_offset() == -1);
  CHECK(response.streams(0).partitions(0).newest_offset() == -1);
  CHECK(world.List({"s"}, response) == "0 ");
  REQUIRE(response.streams_size() == 1);
  const v1::Stream& stream = response.streams(0);
  CHECK(stream.subject() == "foo");
  CHECK(stream.replication_factor() == 1);
  CHECK(stream.settings().durability() == v1::DURABILITY_FSYNC);
  CHECK(stream.settings().has_retention_max_bytes());
  CHECK(stream.settings().retention_max_age_ms() == 168 * 3600 * 1000);
  REQUIRE(stream.partitions_size() == 2);
  const v1::Partition& first = stream.partitions(0);
  CHECK(first.oldest_offset() == 3);
  CHECK(first.newest_offset() == 9);
  CHECK(first.high_watermark() == 7);
  CHECK(first.flushed_offset() == 8);
  CHECK(first.leader_epoch() == 4);
  CHECK(first.bytes() == 1234);
  CHECK(first.messages_refused() == 1);
  CHECK(first.gap_records() == 5);
  CHECK(first.degraded() == "disk reserve reached");
  CHECK(stream.partitions(1).error() == "going away");
  CHECK(stream.partitions(1).newest_offset() == -1);
}

TEST_CASE("list gaps: a page as the partition has it, and what cannot be asked") {
  OwnWorld world;
  auto partitions = world.AddStream("s", "foo", 2);
  Offset asked_from;
  partitions[1]->SetGaps([&](Offset from, size_t) {
    asked_from = from;
    GapPage page;
    page.gaps = {{Offset(7), {Timestamp(11), Timestamp(12), GapReason::kSlowConsumer, 13}},
                 {Offset(9), {Timestamp(14), Timestamp(15), GapReason::kLeaderMoved, -1}}};
    if (from == Offset(5)) page.next = Offset(20);
    return page;
  });
  const auto list = [&](const std::string& stream, int32_t partition, int64_t from,
                        v1::ListGapsResponse& response) {
    v1::ListGapsRequest request;
    request.set_stream(stream);
    request.set_partition(partition);
    request.set_from_offset(from);
    grpc::ClientContext context;
    LimitCall(context);
    return Shown(world.own->ListGaps(&context, request, &response));
  };
  v1::ListGapsResponse response;
  CHECK(list("s", 1, 5, response) == "0 ");
  CHECK(asked_from == Offset(5));
  CHECK(response.next_offset() == 20);
  REQUIRE(response.gaps_size() == 2);
  CHECK(response.gaps(0).offset() == 7);
  CHECK(response.gaps(0).from() == 11);
  CHECK(response.gaps(0).to() == 12);
  CHECK(response.gaps(0).reason() == v1::GAP_REASON_SLOW_CONSUMER);
  CHECK(response.gaps(0).messages() == 13);
  CHECK(response.gaps(1).reason() == v1::GAP_REASON_LEADER_MOVED);
  CHECK(response.gaps(1).messages() == -1);
  CHECK(list("s", 1, -3, response) == "0 ");
  CHECK(asked_from == Offset(0));
  CHECK(response.next_offset() == -1);
  CHECK(list("s", 0, 0, response) == "0 ");
  CHECK(response.gaps_size() == 0);
  CHECK(response.next_offset() == -1);
  partitions[0]->SetGaps([](Offset, size_t) { return absl::DataLossError("damaged"); });
  CHECK(list("s", 0, 0, response) == "15 damaged");
  CHECK(list("x", 0, 0, response) == "5 no such stream: x");
  for (const int32_t none : {2, -1, 1000}) {
    CHECK(list("s", none, 0, response) == Concat("5 stream s has no partition ", none));
  }
  auto elsewhere = world.MakeEntry("e", "bar", 1);
  elsewhere->stream.partitions[0].leader = "b2";
  elsewhere->partitions[0] = nullptr;
  world.catalog.Put(elsewhere);
  CHECK(list("e", 0, 0, response) == "14 this broker holds no replica; ask broker b2");
}

TEST_CASE("list streams: of what stands elsewhere the metadata is shown, and who knows more") {
  OwnWorld world;
  auto entry = world.MakeEntry("s", "foo", 3);
  entry->stream.partitions[1].leader = "b2";
  entry->stream.partitions[1].replicas = {"b2", "b3"};
  entry->partitions[1] = nullptr;
  entry->stream.partitions[2].leader = "";
  entry->partitions[2] = nullptr;
  world.catalog.Put(entry);
  v1::ListStreamsResponse response;
  CHECK(world.List({"s"}, response) == "0 ");
  REQUIRE(response.streams_size() == 1);
  REQUIRE(response.streams(0).partitions_size() == 3);
  CHECK(response.streams(0).partitions(0).error() == "");
  const v1::Partition& second = response.streams(0).partitions(1);
  CHECK(second.leader() == "b2");
  CHECK(second.replicas_size() == 2);
  CHECK(second.leader_epoch() == 4);
  CHECK(second.newest_offset() == -1);
  CHECK(second.error() == "this broker holds no replica; ask broker b2");
  CHECK(response.streams(0).partitions(2).error() ==
        "this broker holds no replica, and no broker leads the partition");
}

TEST_CASE("list streams: each replica stands as the metadata and its leader know it") {
  OwnWorld world;
  world.admin.brokers = {{"me", "", 0, "", 3, 2}, {"b2", "h", 1, "", 0, 0}};
  auto entry = world.MakeEntry("s", "foo", 1);
  entry->settings.min_isr = 0;
  PartitionDescription& partition = entry->stream.partitions[0];
  partition.replicas = {"me", "b2", "b3"};
  partition.isr = {"me"};
  partition.elr = {"b3"};
  partition.doubtful = {{"b3", LeaderEpoch(3), Offset(9)}};
  world.catalog.Put(entry);
  PartitionStatus status;
  status.leader = true;
  status.log_end = Offset(10);
  status.replicas = {{"b2", false, false, Offset(6)}, {"b3", false, true, std::nullopt}};
  const auto port = std::static_pointer_cast<FakePartition>(entry->partitions[0]);
  port->SetDescribe(status);
  v1::ListStreamsResponse response;
  CHECK(world.List({"s"}, response) == "0 ");
  v1::Partition first = response.streams(0).partitions(0);
  CHECK(first.min_isr() == 2);  // a majority
  REQUIRE(first.elr_size() == 1);
  CHECK(first.elr(0) == "b3");
  REQUIRE(first.replica_status_size() == 3);
  const v1::Replica& me = first.replica_status(0);
  CHECK(me.broker() == "me");
  CHECK(me.live());
  CHECK(me.in_isr());
  CHECK_FALSE(me.has_acknowledged_offset());
  const v1::Replica& second = first.replica_status(1);
  CHECK(second.live());
  CHECK_FALSE(second.in_isr());
  CHECK_FALSE(second.eligible());
  CHECK_FALSE(second.doubtful());
  CHECK(second.acknowledged_offset() == 5);
  const v1::Replica& third = first.replica_status(2);
  CHECK_FALSE(third.live());
  CHECK(third.eligible());
  CHECK(third.doubtful());
  CHECK_FALSE(third.has_acknowledged_offset());
  // A broker that follows knows no positions of others.
  status.leader = false;
  port->SetDescribe(status);
  CHECK(world.List({"s"}, response) == "0 ");
  CHECK_FALSE(response.streams(0).partitions(0).replica_status(1).has_acknowledged_offset());
}

TEST_CASE("list streams: two that answer the same plain messages say so of each other") {
  OwnWorld world;
  for (const auto& [name, subject] :
       {std::pair("one", "a.*"), std::pair("two", "a.b"), std::pair("three", "b")}) {
    auto entry = world.MakeEntry(name, subject, 1);
    entry->settings.reply_acks = ReplyAcks::kJetStream;
    world.catalog.Put(entry);
  }
  world.AddStream("silent", "a.b");
  v1::ListStreamsResponse response;
  CHECK(world.List({"one", "two", "three", "silent"}, response) == "0 ");
  REQUIRE(response.streams_size() == 4);
  const auto warning = [&](int i) { return response.streams(i).partitions(0).degraded(); };
  CHECK(warning(0).find("stream two answers messages of this stream's subject too") == 0);
  CHECK(warning(1).find("stream one answers messages") == 0);
  CHECK(warning(2).empty());
  CHECK(warning(3).empty());
}

TEST_CASE("update stream: what is given reaches metadata, what is in force comes back") {
  OwnWorld world;
  auto entry = world.MakeEntry("s", "foo", 1);
  entry->settings.retention_max_bytes = 5000;
  world.catalog.Put(entry);
  v1::UpdateStreamRequest request;
  request.set_name("s");
  v1::UpdateStreamResponse response;
  const auto update = [&] {
    grpc::ClientContext context;
    LimitCall(context);
    response.Clear();
    return Shown(world.own->UpdateStream(&context, request, &response));
  };
  CHECK(update() == "3 no setting is given that stream s should change");
  request.mutable_settings()->set_durability(v1::DURABILITY_UNSPECIFIED);
  CHECK(update() == "3 no setting is given that stream s should change");
  CHECK(world.admin.last_updated.empty());
  request.mutable_settings()->set_retention_max_bytes(5000);
  request.mutable_settings()->set_durability(v1::DURABILITY_OS);
  CHECK(update() == "0 ");
  StreamOverrides wanted;
  wanted.retention_max_bytes = 5000;
  wanted.durability = Durability::kOs;
  CHECK(world.admin.last_updated == "s");
  CHECK(world.admin.last_changes == wanted);
  CHECK(world.admin.last_timeout > std::chrono::seconds(20));  // the caller's deadline
  CHECK(response.settings().retention_max_bytes() == 5000);
  CHECK(response.settings().has_min_isr());
  world.admin.answer = absl::NotFoundError("stream does not exist");
  request.set_name("x");
  CHECK(update() == "5 stream does not exist");
  CHECK_FALSE(response.has_settings());
  world.admin.answer = absl::OkStatus();  // and gone before the answer
  CHECK(update() == "0 ");
  CHECK_FALSE(response.has_settings());
}

TEST_CASE("server info: the facts and the counts") {
  OwnWorld world;
  world.AddStream("s", "foo", 3);
  world.AddStream("t", "foo", 1);
  auto elsewhere = world.MakeEntry("u", "foo", 1);
  elsewhere->partitions[0] = nullptr;
  world.catalog.Put(elsewhere);
  world.facts.facts.version = "1.2.3";
  world.facts.facts.server_id = "me";
  world.facts.facts.cluster_namespace = "ns";
  world.facts.facts.nats_max_payload = 5;
  world.facts.facts.counters = {{"nats.reconnects", 4}};
  world.facts.facts.degraded = {"NATS is not connected"};
  grpc::ClientContext context;
  LimitCall(context);
  v1::GetServerInfoResponse response;
  CHECK(Shown(world.own->GetServerInfo(&context, v1::GetServerInfoRequest(), &response)) == "0 ");
  CHECK(response.version() == "1.2.3");
  CHECK(response.namespace_() == "ns");
  CHECK(response.streams() == 3);
  CHECK(response.partitions() == 4);
  CHECK(response.nats_max_payload() == 5);
  CHECK(response.counters().at("nats.reconnects") == 4);
  CHECK(response.degraded(0) == "NATS is not connected");
}

}  // namespace
}  // namespace bascule::api
