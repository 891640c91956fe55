// What is listened to through every session: verdicts, refusals of each kind, places, and gaps.
#include "nats_bridge/ingest_subscriptions.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/text.h"
#include "tests/unit/nats_fake_server.h"

namespace bascule::nats {
namespace {

using ListenerFeed = ListenerWorld::Feed;

bool IsGap(const GapReport& gap, Timestamp from, Timestamp to,
           GapReason reason = GapReason::kDisconnected) {
  return gap.from == from && gap.to == to && gap.reason == reason && gap.count == -1;
}

// A message that the server sends between what it says of a SUB and the PONG behind it.
void PublishBeforePong(ListenerWorld& world, const std::string& subject,
                       const std::string& payload) {
  std::string& said = world.server.said;
  REQUIRE(said.ends_with("PONG\r\n"));
  said.resize(said.size() - 6);
  world.server.Publish(subject, payload);
  said += "PONG\r\n";
}

}  // namespace

TEST_CASE("nats subscriptions: a verdict is told once, and not before the PONG behind it") {
  ListenerWorld world;
  world.server.denied = {"b"};
  const ListenerFeed& a = world.Add("a");
  const ListenerFeed& b = world.Add("b", "g");
  CHECK(world.subscriptions.pending());
  CHECK(!world.subscriptions.settled());
  world.LogIn();
  CHECK(!world.subscriptions.pending());
  CHECK(world.subscriptions.waits());
  world.ToServer();
  while (world.unheard() > 0) {
    CHECK(a.told().empty());
    CHECK(b.told().empty());
    CHECK(!world.subscriptions.settled());
    world.ToClient(1);
  }
  CHECK(world.subscriptions.settled());
  CHECK(world.dealt_with == std::vector<bool>{true});
  const auto unchanged = [&] {
    CHECK(a.told() == "ok");
    CHECK(b.told() == "denied");
    CHECK(world.refused() == 1);
  };
  unchanged();
  CHECK(world.subscriptions.size() == 2);
  // SUBs, in the order in which they were asked for, and one PING behind them; then no more.
  CHECK(world.server.heard.ends_with("\r\nSUB a 1\r\nSUB b g 2\r\nPING\r\n"));
  const size_t said = world.server.said.size();
  world.Beat();
  CHECK(world.server.said.size() == said + 6);
  unchanged();
  world.Lose();
  CHECK(!world.subscriptions.settled());
  world.Connect();
  CHECK(a.told() == "ok gap");
  CHECK(b.told() == "denied");
  // Without anybody who listens a PING is to be answered, too.
  ListenerWorld empty;
  empty.Connect();
  CHECK(empty.subscriptions.settled());
  empty.Lose();
  CHECK(!empty.subscriptions.settled());
}

TEST_CASE("nats subscriptions: a refused subject is recognized, whatever stands in it") {
  for (const std::string subject :
       {"a", "a.b.*", "it's", "quote\"d", "back\\slash", "\\\"", "\xc3\xbc.\xe2\x98\x83.>",
        "no\xc2\xa0"
        "break",
        "zero\xe2\x80\x8b"
        "e",
        "tag\xf3\xa0\x80\x81"
        "f"}) {
    for (const std::string group : {"", "g", "g\"(sid\"", "\xc3\xbc\\"}) {
      for (const bool names_group : {false, true}) {
        CAPTURE(subject);
        CAPTURE(group);
        ListenerWorld world;
        world.server.names_groups = names_group;
        world.server.denied = {subject};
        const ListenerFeed& other = world.Add(subject + "x", group);
        const ListenerFeed& refused = world.Add(subject, group);
        world.Connect();
        CHECK(refused.told() == "denied");
        CHECK(other.told() == "ok");
        CHECK(world.dealt_with == std::vector<bool>{true});
        CHECK(world.refused() == 1);
      }
    }
  }
}

TEST_CASE("nats subscriptions: of several at one subject those are refused that the server means") {
  for (const bool plain_denied : {false, true}) {
    ListenerWorld world;
    world.server.denied_to = {{"s", plain_denied ? "" : "g"}};
    const ListenerFeed& g = world.Add("s", "g");
    const ListenerFeed& plain = world.Add("s");
    const ListenerFeed& h = world.Add("s", "h");
    world.Connect();
    CHECK(g.told() == (plain_denied ? "ok" : "denied"));
    CHECK(plain.told() == (plain_denied ? "denied" : "ok"));
    CHECK(h.told() == "ok");
    // Taken back from one of them, by its number, with and without the group.
    for (const std::string queue : {"", " using queue \"h\""}) {
      ListenerWorld other;
      const ListenerFeed& first = other.Add("s", "h");
      const ListenerFeed& second = other.Add("s", "h");
      const ListenerFeed& third = other.Add("s");
      other.Connect();
      other.server.SayError(
          Concat("Permissions Violation for Subscription to \"s\"", queue, " (sid \"2\")"));
      other.Settle();
      CHECK(first.told() == "ok");
      CHECK(second.told() == "ok denied");
      CHECK(third.told() == "ok");
    }
  }
}

TEST_CASE("nats subscriptions: a refusal is not taken for that of another at the same subject") {
  // Of one that was removed meanwhile.
  ListenerWorld world;
  world.server.denied_to = {{"s", "g"}};
  const ListenerFeed& plain = world.Add("s");
  world.Connect();
  ListenerFeed& removed = world.Add("s", "g");
  world.ToServer();
  world.Remove(removed);
  world.Settle();
  CHECK(plain.told() == "ok");
  CHECK(removed.told().empty());
  CHECK(world.refused() == 0);
  // Of one whose PONG has not come, where the permission is given before the next one asks.
  ListenerWorld other;
  other.server.denied = {"s"};
  other.LogIn();
  const ListenerFeed& early = other.Add("s");
  other.ToServer();
  other.server.denied.clear();
  const ListenerFeed& late = other.Add("s");
  other.ToServer();
  other.Settle();
  CHECK(early.told() == "denied");
  CHECK(late.told() == "ok");
  CHECK(other.refused() == 1);
}

TEST_CASE("nats subscriptions: what is said of other things is left alone") {
  ListenerWorld world;
  const ListenerFeed& a = world.Add("a");
  world.Connect();
  for (const std::string text :
       {"Permissions Violation for Publish to \"a\"", "Slow Consumer", "Stale Connection",
        "Permissions Violation for Subscription to \"unknown\"",
        "Permissions Violation for Subscription to", "Permissions Violation for Subscription to \"",
        "Permissions Violation for Subscription to \"a\" (sid \"77\")", "", "\""}) {
    CAPTURE(text);
    CHECK(!world.subscriptions.OnServerError(text));
  }
  CHECK(!world.subscriptions.OnServerError("maximum subscriptions exceeded"));
  world.Beat();
  CHECK(a.told() == "ok");
  CHECK(world.refused() == 0);
}

TEST_CASE("nats subscriptions: one subject is found again when its first listener is gone") {
  // Longer than a string holds in itself, so that its bytes are another's once it is gone.
  const std::string subject(60, 's');
  ListenerWorld world;
  ListenerFeed& first = world.Add(subject);
  const ListenerFeed& second = world.Add(subject, "g");
  world.Connect();
  world.Remove(first);
  world.Settle();
  const std::vector<std::string> other_bytes(50, std::string(60, 'x'));
  world.server.Deny(subject);
  world.Settle();
  CHECK(second.told() == "ok denied");
  world.server.denied.clear();
  for (int i = 0; i < 100; ++i) world.Add(Concat("other.", i));
  world.server.denied = {subject};
  const ListenerFeed& third = world.Add(subject, "h");
  world.Settle();
  CHECK(third.told() == "denied");
}

TEST_CASE(
    "nats subscriptions: a loss is one gap, from the last answered PING, before what follows") {
  for (const bool message_first : {false, true}) {
    ListenerWorld world;
    const ListenerFeed& a = world.Add("a");
    world.Connect();
    world.Sleep();
    const Timestamp answered = world.Beat();
    world.Sleep();
    world.server.Publish("a", "1");
    world.subscriptions.SendHeartbeat(*world.session);  // never answered
    world.ToServer();
    world.ToClient(world.unheard() - 1);
    world.Sleep();
    world.Lose(GapReason::kSlowConsumer);
    world.Sleep();
    world.LogIn();
    world.ToServer();
    Timestamp told = world.Sleep();
    CHECK(a.told() == "ok 1");
    if (message_first) {
      // Before the PONG comes it hears already.
      PublishBeforePong(world, "a", "2");
      world.ToClient(world.unheard() - 6);
      CHECK(a.told() == "ok 1 gap 2");
    }
    world.Settle();
    const Timestamp later = world.Sleep();
    world.Beat();
    world.server.Publish("a", "3");
    world.Settle();
    CHECK(a.told() == (message_first ? "ok 1 gap 2 3" : "ok 1 gap 3"));
    REQUIRE(a.notes->gaps.size() == 1);
    CHECK(IsGap(a.notes->gaps[0], answered, told, GapReason::kSlowConsumer));
    // The next one begins later.
    world.Lose();
    world.Sleep();
    world.Connect();
    REQUIRE(a.notes->gaps.size() == 2);
    CHECK(IsGap(a.notes->gaps[1], later, world.clock.Wall()));
  }
}

TEST_CASE(
    "nats subscriptions: a PING that is answered later does not hide what was missed before") {
  ListenerWorld world;
  const ListenerFeed& a = world.Add("a");
  world.Connect();
  std::vector<Timestamp> sent;
  for (int i = 0; i < 3; ++i) {
    sent.push_back(world.Sleep());
    world.subscriptions.SendHeartbeat(*world.session);
  }
  world.ToServer();
  world.Sleep();
  world.ToClient(2 * 6);  // two answers of three
  world.Lose();
  world.Connect();
  REQUIRE(a.notes->gaps.size() == 1);
  CHECK(IsGap(a.notes->gaps[0], sent[1], world.clock.Wall()));
}

TEST_CASE("nats subscriptions: two losses in a row, at each point of the second session") {
  for (int reached = 0; reached < 4; ++reached) {
    CAPTURE(reached);
    ListenerWorld world;
    const ListenerFeed& a = world.Add("a");
    world.Connect();
    world.Sleep();
    const Timestamp answered = world.Beat();
    world.Sleep();
    world.Lose();
    const ListenerFeed& b = world.Add("b");
    Timestamp first;
    if (reached > 0) world.LogIn();
    if (reached > 1) world.ToServer();
    if (reached > 2) {  // a message came, the PONG did not
      PublishBeforePong(world, "a", "1");
      PublishBeforePong(world, "b", "1");
      world.ToClient(world.unheard() - 6);
      first = world.clock.Wall();
    }
    world.Sleep();
    world.Lose(GapReason::kSlowConsumer);
    world.Sleep();
    world.Connect();
    const size_t gaps = reached > 2 ? 2 : 1;
    REQUIRE(a.notes->gaps.size() == gaps);
    if (gaps == 2) CHECK(IsGap(a.notes->gaps[0], answered, first));
    const GapReport& last = a.notes->gaps.back();
    CHECK(IsGap(last, answered, world.clock.Wall(), GapReason::kSlowConsumer));
    // It was never confirmed before.
    CHECK(b.told() == (gaps == 2 ? "1 ok" : "ok"));
  }
}

TEST_CASE(
    "nats subscriptions: a calendar that is set back makes no gap that ends before it begins") {
  ListenerWorld world;
  const ListenerFeed& a = world.Add("a");
  world.Connect();
  const Timestamp answered = world.Beat();
  world.clock.JumpWall(std::chrono::hours(-1));
  world.Lose();
  world.Connect();
  REQUIRE(a.notes->gaps.size() == 1);
  CHECK(IsGap(a.notes->gaps[0], answered, answered));
}

TEST_CASE(
    "nats subscriptions: what was never confirmed has no gap, what is removed hears nothing") {
  ListenerWorld world;
  ListenerFeed& never = world.Add("never");
  ListenerFeed& removed = world.Add("removed");
  ListenerFeed& kept = world.Add("kept");
  ListenerFeed& undecided = world.Add("undecided");
  ListenerFeed& refused = world.Add("refused");
  world.server.denied = {"never", "refused"};
  world.LogIn();
  world.ToServer();
  world.server.Publish("undecided", "1");
  // Inside a window, one of them about to be refused; a message for the other is on its way.
  world.Remove(undecided);
  world.Remove(refused);
  world.Settle();
  CHECK(undecided.told().empty());
  CHECK(refused.told().empty());
  CHECK(world.refused() == 1);
  CHECK(!world.server.Listens("undecided", ""));
  CHECK(world.server.heard.ends_with("UNSUB 4\r\nUNSUB 5\r\n"));
  world.server.Publish("removed", "1");
  world.server.Publish("removed", "2");
  world.ToClient(world.unheard() / 2);
  world.Remove(removed);
  world.Settle();
  CHECK(removed.told() == "ok 1");
  world.Lose();
  world.server.denied.clear();
  world.LogIn();
  world.ToServer();
  // When a gap is due already.
  world.Remove(kept);
  world.Settle();
  CHECK(kept.told() == "ok");
  CHECK(removed.told() == "ok 1");
  CHECK(never.told() == "denied ok");
  world.Lose();
  world.Remove(never);  // while there is no session
  world.Connect();
  CHECK(never.told() == "denied ok");
  CHECK(world.server.listeners.empty());
  CHECK(world.subscriptions.size() == 0);
}

TEST_CASE("nats subscriptions: a permission taken back is told at once, and its end is one gap") {
  ListenerWorld world;
  const ListenerFeed& a = world.Add("a");
  const ListenerFeed& b = world.Add("b");
  world.Connect();
  world.Sleep();
  const Timestamp answered = world.Beat();
  world.Sleep();
  world.server.Publish("a", "1");
  world.server.Deny("a");
  world.Settle();  // no PONG in it
  CHECK(a.told() == "ok 1 denied");
  CHECK(FromAbsl(a.notes->verdict->message()).find("(sid \"1\")") != std::string_view::npos);
  CHECK(b.told() == "ok");
  CHECK(world.refused() == 1);
  // Whatever is heard or lost meanwhile.
  world.Beat();
  world.Lose();
  world.Sleep();
  world.Connect();
  world.Beat();
  CHECK(a.notes->gaps.empty());
  CHECK(b.told() == "ok gap");
  world.Sleep();
  world.server.denied.clear();
  world.Lose();
  world.Connect();
  CHECK(a.told().starts_with("ok 1 denied"));
  CHECK(a.told().ends_with("denied gap ok"));
  REQUIRE(a.notes->gaps.size() == 1);
  CHECK(IsGap(a.notes->gaps[0], answered, world.clock.Wall(), GapReason::kNotListening));
  CHECK(world.refused() == 0);
  CHECK(b.told() == "ok gap gap");
}

TEST_CASE("nats subscriptions: whoever hears again is told of the gap before the first message") {
  ListenerWorld world;
  const ListenerFeed& a = world.Add("a");
  world.Connect();
  world.server.Deny("a");
  world.Settle();
  world.Sleep();
  world.server.denied.clear();
  world.Lose();
  world.LogIn();
  world.ToServer();
  PublishBeforePong(world, "a", "1");
  world.Settle();
  CHECK(a.told() == "ok denied gap 1 ok");
}

TEST_CASE(
    "nats subscriptions: drained, a server sends no more, and the gap begins with the drain") {
  for (const bool stays : {false, true}) {
    ListenerWorld world;
    const ListenerFeed& a = world.Add("a");
    world.Connect();
    world.Sleep();
    world.server.Publish("a", "1");
    const Timestamp begun = world.Sleep();
    world.drain = world.subscriptions.Drain(*world.session);
    const ListenerFeed& added = world.Add("added");
    world.server.Publish("a", "2");
    world.ToServer();
    world.server.Publish("a", "missed");
    CHECK(world.server.listeners.empty());
    world.ToClient(world.unheard() - 1);
    CHECK(!world.drained);
    CHECK(a.told() == "ok 1 2");
    world.ToClient();
    CHECK(world.drained);
    CHECK(a.told() == "ok 1 2");
    world.Sleep();
    world.subscriptions.OnLost(GapReason::kDisconnected);
    if (stays) {
      world.Begin();
      world.Settle();
    } else {
      world.Connect();
    }
    world.server.Publish("a", "3");
    world.Settle();
    CHECK(a.told() == "ok 1 2 gap 3");
    REQUIRE(a.notes->gaps.size() == 1);
    CHECK(IsGap(a.notes->gaps[0], begun, world.clock.Wall()));
    CHECK(added.told() == "ok");
  }
}

TEST_CASE("nats subscriptions: a line that ends the connection is not sent again, others are") {
  ListenerWorld world;
  world.server.max_control_line = 512;
  const ListenerFeed& fits = world.Add("fits");
  const ListenerFeed& large = world.Add(std::string(600, 'l'), "g");
  const ListenerFeed& behind = world.Add("behind");
  world.Connect();
  CHECK(world.server.ended);
  CHECK(world.dealt_with == std::vector<bool>{false});  // who listens is to know why it ended
  CHECK(world.subscriptions.line_limit() == 512);
  world.Lose();
  world.Connect();
  CHECK(!world.server.ended);
  CHECK(world.server.heard.find("lll") == std::string::npos);
  CHECK(fits.told() == "ok");
  CHECK(behind.told() == "ok");
  CHECK(large.told() == "long");
  CHECK(world.subscriptions.counts().lines_refused.load() == 1);
  CHECK(world.refused() == 1);
}

}  // namespace bascule::nats
