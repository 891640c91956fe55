// What is stopped in the middle of a start.
#include <doctest/doctest.h>

#include "replication/meta/requests/requests.pb.h"
#include "tests/unit/join_world.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {

TEST_CASE("a joiner that was stopped asks nobody, starts nothing, and says Unavailable") {
  JoinWorld world;
  auto options = world.Options(1);
  options.seed = true;
  options.addresses = {"b8:9293"};
  Seeker& seed = world.Seek(options);
  world.scheduler.RunFor(kSecond);
  std::optional<absl::StatusOr<std::string>> invited;
  const std::string invitation = EncodeIntroRequest(InviteRequest{"ns", "theirs", {"b9:9293"}});
  // One that has come and waits for its turn, and one that comes later.
  for (const bool waits : {true, false}) {
    invited.reset();
    const auto invite = [&] {
      seed.joiner->OnIntroduction("b9", invitation, kSecond,
                                  [&](absl::StatusOr<std::string> a) { invited = std::move(a); });
    };
    if (!waits) invite();
    world.home.Post([&, waits] {
      if (waits) invite();
      seed.joiner->Stop();
    });
    world.scheduler.RunFor(kSecond);
    REQUIRE(invited.has_value());
    if (waits) CHECK_MESSAGE(absl::IsUnavailable(invited->status()), invited->status());
    const uint64_t asked = world.network.introductions;
    world.scheduler.RunFor(20 * kSecond);
    CHECK(world.network.introductions == asked);
    CHECK_FALSE(seed.outcome.has_value());
  }
  CHECK(absl::IsUnavailable(invited->status()));
}

TEST_CASE("a request that was not begun when its broker ended is surely not done") {
  MetaWorld world(2);
  const BrokerSelf& asker = world[2].self;
  meta::Request request;
  request.set_broker(asker.id);
  request.mutable_delete_stream()->set_name("s");
  std::optional<absl::Status> answer;
  world[1].frontend->peer_handler().OnPeerCall(
      {asker.node, asker.id, asker.peer_address, asker.incarnation, 1}, EncodeRequest(request),
      kSecond, [&](const absl::StatusOr<std::string>& result) { answer = result.status(); });
  world.Stop(1);
  REQUIRE(answer.has_value());
  CHECK_MESSAGE(absl::IsUnavailable(*answer), *answer);
}

}  // namespace bascule::metadata
