// Places for subscribers: who gets one, and that each comes back for a second round.
#include "core/api/subscriber_slots.h"

#include <doctest/doctest.h>

#include "core/api/read_memory.h"
#include "tests/support/eventually.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

using Verdict = SubscriberSlots::Verdict;

TEST_CASE("subscriber slots: of a partition and of an address, and they come back, twice") {
  SubscriberSlots slots(3, 2);
  int here, there;
  const auto* a = reinterpret_cast<const PartitionPort*>(&here);
  const auto* b = reinterpret_cast<const PartitionPort*>(&there);
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    CHECK(slots.Take(a, "x") == Verdict::kTaken);
    CHECK(slots.Take(b, "x") == Verdict::kTaken);
    CHECK(slots.Take(a, "x") == Verdict::kAddressFull);
    CHECK(slots.Take(a, "y") == Verdict::kTaken);
    CHECK(slots.Take(a, "z") == Verdict::kTaken);
    CHECK(slots.Take(a, "w") == Verdict::kPartitionFull);
    CHECK(slots.taken_by("w") == 0);  // what was refused took nothing
    slots.Release(b, "x");
    CHECK(slots.Take(b, "x") == Verdict::kTaken);
    slots.Release(a, "x");
    slots.Release(b, "x");
    slots.Release(a, "y");
    slots.Release(a, "z");
    for (const char* address : {"x", "y", "z"}) CHECK(slots.taken_by(address) == 0);
  }
}

TEST_CASE("read memory: in all and half of it for one address, given back twice over") {
  constexpr size_t kChunk = limits::kReadChunkBytes;
  constexpr MonotonicTime kStart(1'000'000);
  ReadMemory memory(4 * kChunk);
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    const MonotonicTime begin = Add(kStart, round * 10 * ReadMemory::kExpected);
    const MonotonicTime later = Add(begin, ReadMemory::kExpected);
    CHECK(memory.Begin("a", begin));
    CHECK(memory.Begin("a", begin));
    CHECK_FALSE(memory.Begin("a", begin));  // both may be about to hold a chunk
    CHECK(memory.Begin("b", begin));
    CHECK(memory.Begin("b", begin));
    CHECK_FALSE(memory.Begin("c", begin));
    CHECK(memory.Begin("c", later));  // none of them did
    CHECK(memory.total() == kChunk);
    memory.Change("a", 0, 2 * kChunk);
    CHECK_FALSE(memory.Begin("a", Add(later, ReadMemory::kExpected)));
    CHECK(memory.total() == 2 * kChunk);
    memory.Change("a", 2 * kChunk, kChunk);
    CHECK(memory.Begin("a", Add(later, ReadMemory::kExpected)));
    memory.Change("a", kChunk, 0);
  }
  CHECK_FALSE(memory.total() == 0);
  CHECK(memory.Begin("d", Add(kStart, 100 * ReadMemory::kExpected)));
  CHECK(memory.total() == kChunk);
}

TEST_CASE("client addresses: no port, an IPv6 network as one") {
  CHECK(ClientAddress("ipv4:10.0.0.7:4711") == "ipv4:10.0.0.7");
  CHECK(ClientAddress("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711") == "ipv6:2001:db8:1:2::/64");
  CHECK(ClientAddress("ipv6:[2001:db8:1:2:9::1]:4712") == "ipv6:2001:db8:1:2::/64");
  CHECK(ClientAddress("ipv6:%5B::ffff:10.0.0.7%5D:1") == "ipv4:10.0.0.7");
  CHECK(ClientAddress("nonsense") == "nonsense");
}

proto::SubscribeRequest NewOnly(const std::string& stream) {
  proto::SubscribeRequest request;
  request.set_stream(stream);
  request.set_startposition(proto::NEW_ONLY);
  return request;
}

struct Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<proto::Message>> reader;
};

TEST_CASE("subscribe: one address has so many subscriptions, however they end, twice over") {
  ApiOptions options;
  options.bounds.subscriptions_per_address = 2;
  ApiWorld world(options);
  auto partition = world.AddStream("s", "foo")[0];
  proto::Message message;
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    std::vector<std::unique_ptr<Call>> calls;
    const auto opens = [&] {
      calls.push_back(std::make_unique<Call>());
      LimitCall(calls.back()->context);
      calls.back()->reader = world.stub->Subscribe(&calls.back()->context, NewOnly("s"));
      return calls.back()->reader->Read(&message);
    };
    // The place of the round before comes back a moment after its client has seen the end.
    for (int i = 0; i < 2; ++i) {
      CHECK(Eventually([&] {
        if (opens()) return true;
        calls.pop_back();
        return false;
      }));
    }
    CHECK_FALSE(opens());
    const grpc::Status refused = calls.back()->reader->Finish();
    CHECK(Shown(refused).starts_with("8 there are 2 subscriptions from ipv4:127.0.0.1,"));
    calls.pop_back();
    // Cancelled, refused by the partition, dropped with its connection: all give the place back.
    for (auto& call : calls) call->context.TryCancel();
    for (auto& call : calls) (void)call->reader->Finish();
    CHECK(Eventually([&] {
      Call again;
      LimitCall(again.context);
      again.reader = world.stub->Subscribe(&again.context, NewOnly("s"));
      const bool stands = again.reader->Read(&message);
      again.context.TryCancel();
      (void)again.reader->Finish();
      return stands;
    }));
    CHECK(Eventually([&] { return partition->readers() == 0; }));
  }
}

TEST_CASE("subscribe: who takes nothing gets no more subscriptions, until it ends, twice over") {
  ApiOptions options;
  options.bounds.memory_bytes = 4 << 20;
  ApiWorld world(options);
  auto partition = world.AddStream("s", "foo")[0];
  for (int i = 0; i < 8; ++i) partition->Append({ValueBody(std::string(1 << 20, 'x'))});
  proto::SubscribeRequest all = NewOnly("s");
  all.set_startposition(proto::EARLIEST);
  proto::Message message;
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    std::vector<std::unique_ptr<Call>> calls;
    grpc::Status refused;
    // Each reads the first, empty message alone, so what is behind it waits here and there.
    CHECK(Eventually([&] {
      calls.push_back(std::make_unique<Call>());
      LimitCall(calls.back()->context);
      calls.back()->reader = world.stub->Subscribe(&calls.back()->context, all);
      if (calls.back()->reader->Read(&message)) return false;
      refused = calls.back()->reader->Finish();
      calls.pop_back();
      return true;
    }));
    CHECK(Shown(refused).starts_with("8 subscribers from ipv4:127.0.0.1"));
    for (auto& call : calls) call->context.TryCancel();
    for (auto& call : calls) (void)call->reader->Finish();
    CHECK(Eventually([&] {
      Call again;
      LimitCall(again.context);
      again.reader = world.stub->Subscribe(&again.context, NewOnly("s"));
      return again.reader->Read(&message);
    }));
  }
}

TEST_CASE("subscribe: who has taken all and waits for more holds no memory") {
  ApiOptions options;
  options.bounds.memory_bytes = 4 << 20;
  ApiWorld world(options);
  auto partition = world.AddStream("s", "foo")[0];
  for (int i = 0; i < 4; ++i) partition->Append({ValueBody(std::string(1 << 20, 'x'))});
  proto::SubscribeRequest all = NewOnly("s");
  all.set_startposition(proto::EARLIEST);
  proto::Message message;
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 12; ++i) {
    CAPTURE(i);
    REQUIRE(Eventually([&] {
      calls.push_back(std::make_unique<Call>());
      LimitCall(calls.back()->context);
      calls.back()->reader = world.stub->Subscribe(&calls.back()->context, all);
      if (calls.back()->reader->Read(&message)) return true;
      calls.pop_back();
      return false;
    }));
    for (int read = 0; read < 4; ++read) CHECK(calls.back()->reader->Read(&message));
  }
  for (auto& call : calls) call->context.TryCancel();
}

}  // namespace
}  // namespace bascule::api
