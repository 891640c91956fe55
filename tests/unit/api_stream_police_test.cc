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
  explicit Law(const StreamBounds& bounds = SmallBounds())
      : police(bounds, [this](const std::string& peer) -> std::optional<StreamCounts> {
          const auto found = counts.find(peer);
          if (found == counts.end()) return std::nullopt;
          return found->second;
        }) {}
  // Whom a look at these ends.
  std::vector<std::string> Judge(const std::vector<std::pair<std::string, uint64_t>>& busy) {
    std::vector<BusyConnection> shown;
    for (const auto& [peer, received] : busy)
      shown.push_back({peer, peer.substr(0, peer.rfind(':')), received});
    std::vector<std::string> ended;
    for (const CondemnedConnection& each : police.Judge(shown)) ended.push_back(each.peer);
    return ended;
  }
  // ... some looks in which nobody sends anything.
  std::vector<std::string> Wait(int looks) {
    std::vector<std::string> ended;
    for (; looks > 0 && ended.empty(); --looks) ended = Judge({});
    return ended;
  }
  bool Ends(const std::string& peer, uint64_t received) {
    return !Judge({{peer, received}}).empty();
  }
  std::map<std::string, StreamCounts> counts;
  StreamPolice police;
};

TEST_CASE("stream police: open streams") {
  Law law;
  law.counts["a"] = {110, 100, 0, 0};
  law.counts["b"] = {111, 100, 0, 0};
  CHECK(law.Judge({{"a", 0}, {"b", 0}, {"unknown", 0}}) == std::vector<std::string>{"b"});
}

TEST_CASE("stream police: what was sent at once is counted when it has been read, however late") {
  using Ended = std::vector<std::string>;
  Law law;
  CHECK(law.Judge({{"a", 9000}, {"b", 9000}}).empty());  // gRPC knows of neither yet
  for (uint64_t open = 0; open <= 10; open += 5) {
    law.counts["a"] = {100 + open, 100, 0, 0};
    CHECK(law.Wait(8).empty());
  }
  law.counts["a"].started += 1;
  CHECK(law.Wait(8) == Ended{"a"});
  law.counts.erase("a");
  law.counts["b"] = {111, 100, 0, 0};
  CHECK(law.Wait(8) == Ended{"b"});
  law.counts.erase("b");
  // One with streams is looked at as long as it has some, one without costs nothing.
  law.counts["c"] = {110, 100, 0, 0};
  law.counts["d"] = {100, 100, 0, 0};
  CHECK(law.Judge({{"c", 1}, {"d", 1}}).empty());
  CHECK(law.Wait(1000).empty());
  law.counts["d"].started += 100;
  CHECK(law.Wait(1000).empty());
  law.counts["c"].started += 100;
  CHECK(law.Wait(2) == Ended{"c"});
  CHECK(law.Judge({{"d", 2}}) == Ended{"d"});
}

TEST_CASE("stream police: a name that comes again is another connection") {
  Law law;
  law.counts["a"] = {500, 500, 3, 400};
  CHECK_FALSE(law.Ends("a", 100'000));
  law.counts["a"] = {1, 0, 0, 0};
  CHECK_FALSE(law.Ends("a", 10));
  law.counts.erase("a");  // gone, and its streams with it
  CHECK(law.Wait(100).empty());
  law.counts["a"] = {10, 0, 0, 0};
  CHECK_FALSE(law.Ends("a", 10));
}

TEST_CASE("stream police: open streams of one address, of all; who has most goes first") {
  StreamBounds bounds = SmallBounds();
  bounds.open_per_address = 25;
  bounds.open_in_all = 60;
  Law law(bounds);
  using Ended = std::vector<std::string>;
  const auto open = [&](const std::string& peer, uint64_t streams) {
    law.counts[peer].started = law.counts[peer].ended + streams;
    return law.Judge({{peer, 0}});
  };
  for (int round = 0; round < 2; ++round) {
    // Silent ones count on.
    CHECK(open("10.0.0.1:1", 8).empty());
    CHECK(open("10.0.0.1:2", 10).empty());
    CHECK(law.Wait(100).empty());
    CHECK(open("10.0.0.1:3", 7).empty());
    CHECK(open("10.0.0.1:3", 8) == Ended{"10.0.0.1:2"});
    law.counts.erase("10.0.0.1:2");
    CHECK(open("10.0.0.1:3", 9).empty());
    // What ended without a word is noticed before anybody pays for it.
    law.counts["10.0.0.1:1"].ended += 5;
    CHECK(open("10.0.0.1:4", 10).empty());
    law.counts.erase("10.0.0.1:1");
    // Other addresses, until all together have too many: 19 + 20 + 21, then one more.
    CHECK(open("10.0.0.2:1", 10).empty());
    CHECK(open("10.0.0.2:2", 10).empty());
    for (const auto& [peer, streams] :
         std::map<std::string, uint64_t>{{"[2001:db8::7]:1", 9}, {"[2001:db8::7]:2", 10}})
      CHECK(open(peer, streams).empty());
    CHECK(open("[2001:db8::7]:3", 2).empty());
    CHECK(open("10.0.0.3:1", 1) == Ended{"[2001:db8::7]:2"});
    law.counts.clear();
    CHECK(law.Wait(100).empty());
  }
}

TEST_CASE("stream police: streams of a connection whose name another has now count no more") {
  for (const bool in_all : {false, true}) {
    CAPTURE(in_all);
    StreamBounds bounds = SmallBounds();
    (in_all ? bounds.open_in_all : bounds.open_per_address) = 15;
    Law law(bounds);
    for (int round = 0; round < 3; ++round) {
      law.counts["10.0.0.1:1"] = {100, 90, 0, 0};
      CHECK_FALSE(law.Ends("10.0.0.1:1", 0));
      law.counts["10.0.0.1:1"] = {10, 0, 0, 0};  // its own ten, beside no others
      CHECK_FALSE(law.Ends("10.0.0.1:1", 0));
      law.counts["10.0.0.1:2"] = {5, 0, 0, 0};
      CHECK_FALSE(law.Ends("10.0.0.1:2", 0));
      law.counts["10.0.0.1:2"].started = 6;  // one too many
      CHECK(law.Ends("10.0.0.1:2", 0));
      law.counts.clear();
      CHECK(law.Wait(100).empty());
    }
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
