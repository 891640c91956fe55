// Connections that ask too much of HTTP/2 are told from those that only work hard.
#include "core/api/stream_police.h"

#include <doctest/doctest.h>

#include "tests/support/eventually.h"
#include "tests/support/http2_client.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

StreamBounds SmallBounds() {
  StreamBounds bounds;
  bounds.open = 10;
  bounds.failed = 2;
  bounds.message_bytes = 1000;
  bounds.idle_bytes = 500;
  return bounds;
}

struct Law {
  Law()
      : police(SmallBounds(), [this](const std::string& peer) -> std::optional<StreamCounts> {
          const auto found = counts.find(peer);
          if (found == counts.end()) return std::nullopt;
          return found->second;
        }) {}
  bool Ends(const std::string& peer, uint64_t received) {
    return !police.Judge({{peer, received}}).empty();
  }
  std::map<std::string, StreamCounts> counts;
  StreamPolice police;
};

TEST_CASE("stream police: open streams") {
  Law law;
  law.counts["a"] = {110, 100, 0, 0};
  law.counts["b"] = {111, 100, 0, 0};
  CHECK(law.police.Judge({{"a", 0}, {"b", 0}, {"unknown", 0}}) == std::vector<std::string>{"b"});
}

TEST_CASE("stream police: what was sent at once is counted when it has been read, however late") {
  Law law;
  CHECK(law.police.Judge({{"a", 9000}, {"b", 9000}}).empty());  // gRPC knows of neither yet
  for (uint64_t open = 0; open <= 10; ++open) {
    law.counts["a"] = {100 + open, 100, 0, 0};
    CHECK(law.police.Judge({}).empty());
  }
  law.counts["a"].started += 1;
  CHECK(law.police.Judge({}) == std::vector<std::string>{"a"});
  law.counts.erase("a");
  law.counts["b"] = {111, 100, 0, 0};
  CHECK(law.police.Judge({}) == std::vector<std::string>{"b"});
  // Not for ever: a silent one costs nothing.
  law.counts["c"] = {110, 100, 0, 0};
  CHECK(law.police.Judge({{"c", 1}}).empty());
  for (int look = 0; look < 1000; ++look) CHECK(law.police.Judge({}).empty());
  law.counts["c"].started += 100;
  CHECK(law.police.Judge({}).empty());
  CHECK(law.police.Judge({{"c", 2}}) == std::vector<std::string>{"c"});
}

TEST_CASE("stream police: open streams of one address, of all; who has most goes first") {
  StreamBounds bounds = SmallBounds();
  bounds.open_per_address = 25;
  bounds.open_in_all = 60;
  std::map<std::string, StreamCounts> counts;
  StreamPolice police(bounds, [&](const std::string& peer) -> std::optional<StreamCounts> {
    const auto found = counts.find(peer);
    if (found == counts.end()) return std::nullopt;
    return found->second;
  });
  using Ended = std::vector<std::string>;
  const auto open = [&](const std::string& peer, uint64_t streams) {
    counts[peer].started = counts[peer].ended + streams;
    return police.Judge({{peer, 0}});
  };
  const auto end = [&](const std::string& peer) { counts.erase(peer); };
  for (int round = 0; round < 2; ++round) {
    // Silent ones count on.
    CHECK(open("10.0.0.1:1", 8).empty());
    CHECK(open("10.0.0.1:2", 10).empty());
    CHECK(open("10.0.0.1:3", 7).empty());
    CHECK(open("10.0.0.1:3", 8) == Ended{"10.0.0.1:2"});
    end("10.0.0.1:2");
    CHECK(open("10.0.0.1:3", 9).empty());
    // What ended without a word is noticed before anybody pays for it.
    counts["10.0.0.1:1"].ended += 5;
    CHECK(open("10.0.0.1:4", 10).empty());
    end("10.0.0.1:1");
    // Other addresses, until all together have too many: 19 + 20 + 20, then one more.
    for (const char* peer : {"10.0.0.2:1", "10.0.0.2:2", "[fe80::1]:1", "[fe80::1]:2"})
      CHECK(open(peer, 10).empty());
    CHECK(open("10.0.0.3:1", 1).empty());
    CHECK(open("10.0.0.3:1", 2).size() == 1);
    counts.clear();
    CHECK(open("10.0.0.4:1", 0).empty());
  }
}

TEST_CASE("stream police: all at once may be dropped, and a few each time, twice over") {
  Law law;
  StreamCounts& counts = law.counts["a"];
  const auto drop = [&](uint64_t n) {
    counts.started += n;
    counts.ended += n;
    counts.failed += n;
  };
  for (int round = 0; round < 2; ++round) {
    drop(10);
    CHECK_FALSE(law.Ends("a", 0));
    for (int i = 0; i < 20; ++i) {
      drop(2);
      CHECK_FALSE(law.Ends("a", 0));
    }
    for (int i = 0; i < 5; ++i) CHECK_FALSE(law.Ends("a", 0));  // the allowance comes back
  }
  drop(10);
  CHECK_FALSE(law.Ends("a", 0));
  drop(3);
  CHECK(law.Ends("a", 0));
}

TEST_CASE("stream police: much is sent, and nothing comes of it") {
  Law law;
  StreamCounts& counts = law.counts["a"];
  CHECK_FALSE(law.Ends("a", 1500));
  CHECK(law.Ends("a", 1501));
  counts.started = 2;  // each of them may be half way through a message
  CHECK_FALSE(law.Ends("a", 10'000));
  CHECK_FALSE(law.Ends("a", 13'500));
  counts.messages = 1;
  CHECK_FALSE(law.Ends("a", 20'000));
  CHECK_FALSE(law.Ends("a", 23'500));
  CHECK(law.Ends("a", 23'501));
}

TEST_CASE("stream police: a connection of a real server is ended, and its address waits") {
  ApiOptions options;
  options.bounds.streams_per_connection = 50;
  ApiWorld world(options);
  Http2Client client(world.server->BoundPort());
  REQUIRE(client.Greet());
  uint32_t stream = 1;
  CHECK(Eventually([&] {
    for (int i = 0; i < 100 && client.OpenCall(stream, "/proto.API/Publish"); ++i) stream += 2;
    return !client.Flush() || client.AwaitClosed(1);
  }));
  CHECK(stream > 100);
  CHECK(Http2Client(world.server->BoundPort()).AwaitClosed(2000));
  // Later it may come again.
  proto::FetchMetadataResponse response;
  grpc::ClientContext context;
  LimitCall(context);
  context.set_wait_for_ready(true);
  CHECK(world.stub->FetchMetadata(&context, {}, &response).ok());
}

}  // namespace
}  // namespace bascule::api
