// Subscriptions that the server refuses on one connection and takes on another: who is told, and which
// time is a gap.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "nats_bridge/nats_connection.h"
#include "tests/integration/nats_world.h"

namespace bascule {
namespace {

std::string Permits(const std::string& subjects) {
  return Concat("authorization: { users: [ { user: u, password: p, permissions: { subscribe: [",
                subjects, ", \"ns.ack.>\"] } } ] }\n");
}

// A bus that may subscribe to "a" and "b", until the server is told otherwise.
struct PermittedWorld : NatsWorld {
  PermittedWorld() : NatsWorld(Server()) {
    options.user = "u";
    options.password = "p";
    StartBus();
  }
  static NatsServerOptions Server() {
    NatsServerOptions server;
    server.config = Permits("\"a\", \"b\"");
    return server;
  }
};

// What a feed was told, in order.
class FeedVerdicts {
 public:
  std::unique_ptr<SubjectFeed> Open(NatsWorld& w, const std::string& subject,
                                    const std::string& group = "") {
    FeedOptions options;
    options.group = group;
    options.subject = options.partition_subject = subject;
    options.max_message_bytes = 1024;
    return w.bus->Open(options, w.partition, w.shard, [this](absl::Status status) {
      const std::lock_guard lock(mutex_);
      told_.push_back(std::move(status));
    });
  }
  std::vector<absl::Status> all() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  bool Comes(size_t count) const {
    return Eventually([&] { return all().size() >= count; });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<absl::Status> told_;
};

TEST_CASE("nats refusal: the time in which a feed was refused is one gap, whatever reconnects") {
  PermittedWorld w;
  FeedVerdicts told;
  auto feed = told.Open(w, "a");
  REQUIRE(told.Comes(1));
  const auto deaf = [&] {
    std::vector<GapReport> gaps;
    for (const GapReport& gap : w.partition.gaps()) {
      if (gap.reason == GapReason::kNotListening) gaps.push_back(gap);
    }
    return gaps;
  };
  Timestamp refused{};
  for (int round = 0; round < 3; ++round) {
    w.server->options().config = Permits("\"b\"");
    refused = RealClock().Wall();  // for the last time: it was before
    w.Reconnect();
    REQUIRE(told.Comes(2));  // or a quick next round is one loss with this one
    CHECK(deaf().empty());
  }
  w.server->options().config = Permits("\"a\", \"b\"");
  const Timestamp allowed = RealClock().Wall();
  w.Reconnect();
  REQUIRE(Eventually([&] { return !deaf().empty(); }));
  CHECK(deaf()[0].from <= refused);
  CHECK(deaf()[0].to >= allowed);
  for (int round = 0; round < 2; ++round) w.Reconnect();
  CHECK(deaf().size() == 1);
  w.Close(std::move(feed));
}

TEST_CASE("nats refusal: a feed that loses its permission says so, and that it is heard again") {
  PermittedWorld w;
  FeedVerdicts told;
  FeedVerdicts other;
  auto feed = told.Open(w, "a", "b");  // the group's name means nothing for the subject
  auto other_feed = other.Open(w, "b");
  REQUIRE(told.Comes(1));
  REQUIRE(other.Comes(1));
  w.Reconnect();  // nothing new
  w.server->options().config = Permits("\"b\"");
  w.Reconnect();
  REQUIRE(told.Comes(2));
  w.Reconnect();  // nothing new
  const auto deaf = [&] {
    const std::vector<GapReport> gaps = w.partition.gaps();
    return std::count_if(gaps.begin(), gaps.end(), [](const GapReport& gap) {
      return gap.reason == GapReason::kNotListening;
    });
  };
  CHECK(deaf() == 0);
  w.server->options().config = Permits("\"a\", \"b\"");
  w.Reconnect();
  REQUIRE(told.Comes(3));
  w.Close(std::move(feed));
  w.Close(std::move(other_feed));
  CHECK(other.all().size() == 1);
  CHECK(deaf() == 1);
  const std::vector<absl::Status> all = told.all();
  REQUIRE(all.size() == 3);
  CHECK(all[0].ok());
  CHECK(all[1].code() == absl::StatusCode::kPermissionDenied);
  CHECK(all[1].message().find("\"a\"") != absl::string_view::npos);
  CHECK(all[2].ok());
}

}  // namespace
}  // namespace bascule
