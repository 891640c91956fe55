// Subscribe over a real connection: positions, the first empty message, how a subscription ends,
// cancelling, memory.
#include <doctest/doctest.h>

#include "tests/support/eventually.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

proto::SubscribeRequest From(std::string stream, proto::StartPosition start, int64_t offset = 0) {
  proto::SubscribeRequest request;
  request.set_stream(std::move(stream));
  request.set_startposition(start);
  request.set_startoffset(offset);
  // What clients send in positions they do not use.
  request.set_starttimestamp(-6795364578871345152);
  request.set_stoptimestamp(-6795364578871345152);
  return request;
}

// One subscription, read to the end (or to `limit` messages, then cancelled).
struct Subscribed {
  std::vector<proto::Message> messages;  // without the first, empty one
  bool stood = false;
  grpc::Status status;
};

Subscribed Run(ApiWorld& world, const proto::SubscribeRequest& request, size_t limit = ~size_t{0}) {
  grpc::ClientContext context;
  LimitCall(context);
  Subscribed result;
  auto reader = world.stub->Subscribe(&context, request);
  proto::Message message;
  if (limit != 0 && reader->Read(&message)) {
    result.stood = true;
    CHECK(message.ByteSizeLong() == 0);
    while (result.messages.size() < limit && reader->Read(&message))
      result.messages.push_back(message);
  }
  if (result.messages.size() >= limit) context.TryCancel();
  result.status = reader->Finish();
  return result;
}

std::vector<int64_t> OffsetsOf(const Subscribed& result) {
  std::vector<int64_t> offsets;
  for (const auto& message : result.messages) offsets.push_back(message.offset());
  return offsets;
}
using Offsets = std::vector<int64_t>;

std::string Refusal(ApiWorld& world, const proto::SubscribeRequest& request) {
  const Subscribed result = Run(world, request);
  CHECK_FALSE(result.stood);
  return Shown(result.status);
}

TEST_CASE("subscribe: refusals, in the contract's order") {
  ApiWorld world;
  auto entry = world.MakeEntry("s", "foo", 4);
  entry->stream.partitions[1].leader = "other";
  entry->partitions[2] = nullptr;
  entry->stream.partitions[2].leader = "other";
  world.catalog.Put(entry);

  auto request = From("unknown", static_cast<proto::StartPosition>(9));
  request.set_stopposition(static_cast<proto::StopPosition>(8));
  request.mutable_consumer()->set_groupid("g");
  CHECK(Refusal(world, request) == "3 Consumer id cannot be empty when group id is provided");
  request.mutable_consumer()->set_consumerid("c");
  CHECK(Refusal(world, request) == "5 No such partition");
  request.set_stream("s");
  request.set_partition(4);
  CHECK(Refusal(world, request) == "5 No such partition");
  request.set_partition(-1);
  CHECK(Refusal(world, request) == "5 No such partition");
  request.set_partition(1);
  CHECK(Refusal(world, request) == "9 Server not partition leader");
  request.set_readisrreplica(true);
  CHECK(Refusal(world, request) == "3 Consumer groups not compatible with ReadISRReplica");
  request.set_partition(2);
  CHECK(Refusal(world, request) == "9 Server not partition leader");  // no replica to read
  request.set_partition(0);
  request.set_readisrreplica(false);
  CHECK(Refusal(world, request) ==
        "12 consumer groups are not implemented by this version of Bascule: subscribe without "
        "Consumer");
  request.clear_consumer();
  CHECK(Refusal(world, request) == "3 Unknown StartPosition 9");
  request.set_startposition(proto::EARLIEST);
  CHECK(Refusal(world, request) == "3 Unknown StopPosition 8");
}

TEST_CASE("subscribe: a replica that does not lead can be read when asked, resume is no matter") {
  ApiWorld world;
  auto entry = world.MakeEntry("s", "foo", 1);
  entry->stream.partitions[0].leader = "other";
  world.catalog.Put(entry);
  std::static_pointer_cast<FakePartition>(entry->partitions[0])->Append({ValueBody("a")});
  auto request = From("s", proto::EARLIEST);
  request.set_readisrreplica(true);
  request.set_resume(true);
  request.set_stopposition(proto::STOP_LATEST);
  CHECK(OffsetsOf(Run(world, request)) == Offsets{0});
}

TEST_CASE("subscribe: positions reach the partition as the client named them") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  partition->SetLocate([](const StartPosition&, const StopPosition&) {
    return absl::InvalidArgumentError("Stop offset is before start offset: 1 < 2");
  });
  auto request = From("s", proto::OFFSET, -5);
  request.set_stopposition(proto::STOP_OFFSET);
  request.set_stopoffset(12);
  CHECK(Refusal(world, request) == "3 Stop offset is before start offset: 1 < 2");
  CHECK(partition->last_start().kind == StartPosition::Kind::kOffset);
  CHECK(partition->last_start().offset == -5);
  CHECK(partition->last_stop().kind == StopPosition::Kind::kOffset);
  CHECK(partition->last_stop().offset == 12);

  request.set_stopoffset(-1);  // never
  Refusal(world, request);
  CHECK(partition->last_stop().kind == StopPosition::Kind::kOnCancel);

  request = From("s", proto::TIMESTAMP);
  request.set_starttimestamp(123);
  request.set_stopposition(proto::STOP_TIMESTAMP);
  request.set_stoptimestamp(456);
  Refusal(world, request);
  CHECK(partition->last_start().kind == StartPosition::Kind::kTimestamp);
  CHECK(partition->last_start().timestamp == Timestamp(123));
  CHECK(partition->last_stop().timestamp == Timestamp(456));

  partition->SetLocate([](const StartPosition&, const StopPosition&) {
    return absl::ResourceExhaustedError("Stream is empty");
  });
  CHECK(Refusal(world, From("s", proto::LATEST)) == "8 Stream is empty");
  CHECK(partition->last_start().kind == StartPosition::Kind::kLatest);
}

TEST_CASE("subscribe: messages carry everything, control batches nothing") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo", 2)[1];
  std::string body;
  wire::AppendKey(body, "k");
  wire::AppendValue(body, "v");
  wire::AppendReply(body, "r");
  wire::AppendHeader(body, "h", "1");
  partition->Append({ValueBody("a"), body});
  partition->Append({ValueBody("gap")}, wire::kControl);
  partition->Append({ValueBody("b")});
  auto request = From("s", proto::EARLIEST);
  request.set_partition(1);
  request.set_stopposition(proto::STOP_LATEST);
  const Subscribed result = Run(world, request);
  CHECK(Shown(result.status) == "8 Stop offset reached");
  REQUIRE(OffsetsOf(result) == Offsets{0, 1, 3});
  const proto::Message& message = result.messages[1];
  CHECK(message.key() == "k");
  CHECK(message.value() == "v");
  CHECK(message.stream() == "s");
  CHECK(message.partition() == 1);
  CHECK(message.subject() == "foo.1");
  CHECK(message.replysubject() == "r");
  CHECK(message.headers().at("h") == "1");
  CHECK(message.headers().at("subject") == "foo.1");
  CHECK(message.headers().at("reply") == "r");
  CHECK(message.timestamp() == 1000);
  CHECK(message.ackinbox().empty());
}

TEST_CASE("subscribe: stop offsets, also ones that do not exist any more") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  for (int i = 0; i < 4; ++i) partition->Append({ValueBody("a"), ValueBody("b"), ValueBody("c")});
  auto request = From("s", proto::OFFSET, 2);
  request.set_stopposition(proto::STOP_OFFSET);
  request.set_stopoffset(4);
  CHECK(OffsetsOf(Run(world, request)) == Offsets{2, 3, 4});
  request.set_stopoffset(2);
  CHECK(OffsetsOf(Run(world, request)) == Offsets{2});
  partition->CutBefore(Offset(6));  // 2..5 are gone: the first one past the stop ends it
  request.set_stopoffset(4);
  const Subscribed gone = Run(world, request);
  CHECK(gone.stood);
  CHECK(gone.messages.empty());
  CHECK(Shown(gone.status) == "8 Stop offset reached");
  partition->SetLocate([](const StartPosition&, const StopPosition&) {
    return ReadRange{Offset(6), Offset(5)};
  });
  CHECK(Shown(Run(world, request).status) == "8 Stop offset reached");
  // Whoever has read is forgotten again, however the subscription ended.
  CHECK(Eventually([&] { return partition->readers() == 0; }));
}

TEST_CASE("subscribe: waits at the end, and shows committed records only") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  partition->Append({ValueBody("a")});
  grpc::ClientContext context;
  LimitCall(context);
  auto reader = world.stub->Subscribe(&context, From("s", proto::EARLIEST));
  proto::Message message;
  REQUIRE(reader->Read(&message));
  REQUIRE(reader->Read(&message));
  CHECK(message.value() == "a");
  REQUIRE(Eventually([&] { return partition->parked() == 1; }));
  partition->Append({ValueBody("b"), ValueBody("c")}, 0, /*committed=*/false);
  CHECK(partition->parked() == 1);
  partition->Commit();
  REQUIRE(reader->Read(&message));
  CHECK(message.value() == "b");
  REQUIRE(reader->Read(&message));
  CHECK(message.value() == "c");
  // A control batch alone wakes the session, which sends nothing and waits again.
  partition->Append({ValueBody("gap")}, wire::kControl);
  partition->Append({ValueBody("d")});
  REQUIRE(reader->Read(&message));
  CHECK(message.offset() == 4);
  context.TryCancel();
  CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("subscribe: ends as its partition's reads end, after everything that was ready") {
  for (const auto& [end, shown] : std::vector<std::pair<absl::Status, std::string>>{
           {absl::NotFoundError("commit log was deleted"), "5 commit log was deleted"},
           {absl::UnavailableError("not leader any more"), "14 not leader any more"},
           {absl::DataLossError("segment 0: damaged"), "15 segment 0: damaged"},
           {absl::CancelledError("shard stops"), "14 shard stops"},
           {absl::FailedPreconditionError("commit log was closed"), "9 commit log was closed"}}) {
    ApiWorld world;
    auto partition = world.AddStream("s", "foo")[0];
    partition->Append({ValueBody("a"), ValueBody("b")});
    partition->EndReads(end);
    const Subscribed result = Run(world, From("s", proto::EARLIEST));
    CHECK(OffsetsOf(result) == Offsets{0, 1});
    CHECK(Shown(result.status) == shown);
    CHECK(Eventually([&] { return partition->readers() == 0; }));
  }
}

TEST_CASE("subscribe: damaged bytes end it with DataLoss, not the process") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  partition->Append({ValueBody("a")});
  partition->AppendRaw("these bytes are no batch", Offset(1), Offset(2));
  const Subscribed result = Run(world, From("s", proto::EARLIEST));
  CHECK(OffsetsOf(result) == Offsets{0});
  CHECK(result.status.error_code() == grpc::StatusCode::DATA_LOSS);
}

TEST_CASE("subscribe: a partition that does not get on is reported, not asked for ever") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  partition->Append({ValueBody("a")});
  partition->StandStill();
  const Subscribed result = Run(world, From("s", proto::EARLIEST));
  CHECK(result.status.error_code() == grpc::StatusCode::INTERNAL);
  CHECK(result.status.error_message().find("a read from offset 0 did not get on") == 0);
  CHECK(partition->reads() == 1);
}

TEST_CASE("subscribe: offsets without records are passed over") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  partition->SetChunkBytes(1);
  partition->Append({ValueBody("a")});
  partition->AppendRaw("", Offset(1), Offset(5));
  partition->Append({ValueBody("b")});
  auto request = From("s", proto::EARLIEST);
  request.set_stopposition(proto::STOP_LATEST);
  CHECK(OffsetsOf(Run(world, request)) == Offsets{0, 5});
}

TEST_CASE("subscribe in reverse: down to the beginning, or to the stop") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  for (int i = 0; i < 3; ++i) partition->Append({ValueBody("a"), ValueBody("b")});
  partition->Append({ValueBody("gap")}, wire::kControl);
  for (const size_t chunk : {size_t{1}, size_t{1} << 20}) {
    partition->SetChunkBytes(chunk);
    auto request = From("s", proto::LATEST);
    request.set_reverse(true);
    Subscribed result = Run(world, request);
    CHECK(result.stood);
    CHECK(OffsetsOf(result) == Offsets{5, 4, 3, 2, 1, 0});
    CHECK(Shown(result.status) == "2 EOF");
    request = From("s", proto::OFFSET, 4);
    request.set_reverse(true);
    request.set_stopposition(proto::STOP_OFFSET);
    request.set_stopoffset(1);
    result = Run(world, request);
    CHECK(OffsetsOf(result) == Offsets{4, 3, 2, 1});
    CHECK(Shown(result.status) == "8 Stop offset reached");
    request.set_stopoffset(0);
    CHECK(Shown(Run(world, request).status) == "8 Stop offset reached");
  }
  partition->CutBefore(Offset(2));
  auto request = From("s", proto::OFFSET, 3);
  request.set_reverse(true);
  CHECK(OffsetsOf(Run(world, request)) == Offsets{3, 2});
  request.set_startoffset(1);
  const Subscribed below = Run(world, request);
  CHECK(below.messages.empty());
  CHECK(Shown(below.status) == "2 EOF");
}

TEST_CASE("subscribe: cancelling frees a parked session and its read") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<proto::Message>>> readers;
  proto::Message message;
  for (int i = 0; i < 20; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(world.stub->Subscribe(contexts.back().get(), From("s", proto::NEW_ONLY)));
    REQUIRE(readers.back()->Read(&message));
  }
  REQUIRE(Eventually([&] { return partition->parked() == 20; }));
  for (auto& context : contexts) context->TryCancel();
  for (auto& reader : readers) CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(Eventually([&] { return partition->cancelled_reads() == 20; }));
  CHECK(partition->readers() == 0);
  CHECK(partition->parked() == 0);
  // Sessions and their callbacks let go of the partition.
  world.catalog.Remove("s");
  CHECK(Eventually([&] { return partition.use_count() == 1; }));
}

TEST_CASE("subscribe: many small messages, in order and complete, over chunks of any size") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  constexpr int kBatches = 400, kPerBatch = 250;
  std::vector<std::string> bodies;
  for (int b = 0; b < kBatches; ++b) {
    bodies.clear();
    for (int i = 0; i < kPerBatch; ++i)
      bodies.push_back(ValueBody("message " + std::to_string(b * kPerBatch + i)));
    partition->Append(bodies);
  }
  for (const size_t chunk : {size_t{30'000}, size_t{256 * 1024}}) {
    partition->SetChunkBytes(chunk);
    grpc::ClientContext context;
    LimitCall(context);
    auto request = From("s", proto::EARLIEST);
    request.set_stopposition(proto::STOP_LATEST);
    auto reader = world.stub->Subscribe(&context, request);
    proto::Message message;
    REQUIRE(reader->Read(&message));
    int64_t next = 0;
    while (reader->Read(&message)) {
      if (message.offset() != next || message.value() != "message " + std::to_string(next)) break;
      ++next;
    }
    CHECK(next == kBatches * kPerBatch);
    CHECK(Shown(reader->Finish()) == "8 Stop offset reached");
  }
  CHECK(Eventually([&] { return partition->chunks_alive() == 0; }));
}

TEST_CASE("subscribe: large records pass whole, between small ones") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  std::vector<size_t> sizes = {10, 4000, 4100, 70'000, 1'000'000, 3, 5'000'000, 64};
  for (size_t size : sizes) {
    std::string body;
    wire::AppendValue(body, std::string(size, 'x') + std::to_string(size));
    wire::AppendSubject(body, "own." + std::to_string(size));
    partition->Append({body});
  }
  auto request = From("s", proto::EARLIEST);
  request.set_stopposition(proto::STOP_LATEST);
  const Subscribed result = Run(world, request);
  REQUIRE(result.messages.size() == sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    CHECK(result.messages[i].value() == std::string(sizes[i], 'x') + std::to_string(sizes[i]));
    CHECK(result.messages[i].subject() == "own." + std::to_string(sizes[i]));
    CHECK(result.messages[i].headers().at("subject") == "own." + std::to_string(sizes[i]));
  }
  CHECK(Eventually([&] { return partition->chunks_alive() == 0; }));
}

TEST_CASE("subscribe: a client that does not read holds two chunks, not the log") {
  for (const size_t size : {size_t{100}, size_t{16'000}}) {
    ApiWorld world;
    auto partition = world.AddStream("s", "foo")[0];
    const int per_batch = static_cast<int>(64 * 1024 / size);
    constexpr int kBatches = 300;  // 19 MiB
    for (int b = 0; b < kBatches; ++b) {
      partition->Append(std::vector<std::string>(static_cast<size_t>(per_batch),
                                                 ValueBody(std::string(size, 'x'))));
    }
    auto request = From("s", proto::EARLIEST);
    request.set_stopposition(proto::STOP_LATEST);
    grpc::ClientContext context;
    auto reader = world.stub->Subscribe(&context, request);
    proto::Message message;
    REQUIRE(reader->Read(&message));
    // Reads stop once gRPC's own buffers and flow control are full: the count stands still.
    int before = -1;
    int still = 0;
    REQUIRE(Eventually([&] {
      const int now = partition->reads();
      still = now == before ? still + 1 : 0;
      before = now;
      return still == 12;
    }));
    CHECK(partition->reads() < 60);
    // One open, one ahead, one whose last bytes gRPC still has.
    CHECK(partition->chunks_alive() <= 3);
    int64_t count = 0;
    while (reader->Read(&message)) ++count;
    CHECK(count == int64_t{kBatches} * per_batch);
    CHECK(Shown(reader->Finish()) == "8 Stop offset reached");
  }
}

TEST_CASE("subscribe: a client that goes away in the middle frees its session") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  for (int b = 0; b < 100; ++b)
    partition->Append(std::vector<std::string>(500, ValueBody(std::string(100, 'x'))));
  for (int round = 0; round < 20; ++round) {
    const Subscribed result =
        Run(world, From("s", proto::EARLIEST), static_cast<size_t>(round * 100));
    CHECK(result.status.error_code() == grpc::StatusCode::CANCELLED);
  }
  world.catalog.Remove("s");
  CHECK(Eventually([&] { return partition.use_count() == 1 && partition->chunks_alive() == 0; }));
}

}  // namespace
}  // namespace bascule::api
