// Servers that take only so many subscriptions, and random lives of feeds against a model of them.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/text.h"
#include "nats_bridge/ingest_subscriptions.h"
#include "tests/support/sim_rng.h"
#include "tests/unit/nats_fake_server.h"

namespace bascule::nats {
namespace {

// Names of the feeds that the server has, in their order.
std::string ServedNow(const ListenerWorld& world) {
  std::string out;
  for (const ListenerWorld::Feed& feed : world.feeds) {
    if (world.server.Listens(feed.subject, feed.group)) out += feed.subject;
  }
  return out;
}

// Each feed's last verdict is what the server thinks of it, and it is counted right.
void CheckTruth(const ListenerWorld& world) {
  size_t refused = 0;
  for (const ListenerWorld::Feed& feed : world.feeds) {
    if (feed.subscription == nullptr) continue;
    CAPTURE(feed.subject);
    CAPTURE(feed.group);
    REQUIRE(feed.notes->verdict.has_value());
    CHECK(feed.notes->verdict->ok() == world.server.Listens(feed.subject, feed.group));
    refused += feed.notes->verdict->ok() ? 0 : 1;
  }
  CHECK(world.refused() == refused);
}

size_t WaitingForPlaces(const ListenerWorld& world) {
  size_t waiting = 0;
  for (const ListenerWorld::Feed& feed : world.feeds) {
    if (feed.subscription != nullptr && absl::IsResourceExhausted(*feed.notes->verdict)) ++waiting;
  }
  return waiting;
}

// --- the model of random lives ---

// A message at a feed's subject.
struct Published {
  int64_t number = 0;  // its payload
  Timestamp at;
  bool owed = false;  // the feed was confirmed: it has it, or a gap over it
};

struct ModelFeed {
  std::vector<int64_t> heard;     // what it must have been handed, in this order
  std::vector<Published> missed;  // what did not come
  size_t losses = 0;              // of sessions, after it was confirmed once
};

class Swarm {
 public:
  Swarm(uint64_t seed, bool limited) : rng_(seed), limited_(limited) {
    if (limited_) world_.server.max_subscriptions = Between(rng_, 1, 5);
  }

  void Run() {
    for (int i = 0; i < 250; ++i) Step();
    Finish();
  }

 private:
  bool TellsOk(const ListenerWorld::Feed& feed) const {
    return feed.notes->verdict.has_value() && feed.notes->verdict->ok();
  }

  void Step() {
    world_.clock.Advance(std::chrono::microseconds(1));
    switch (rng_.Below(14)) {
      case 0:
        return Add();
      case 1:
        if (!world_.feeds.empty()) Remove(rng_.Below(world_.feeds.size()));
        return;
      case 2:
        return world_.server.Deny(AnySubject());
      case 3:
      case 4:
        world_.server.denied.erase(AnySubject());
        return;
      case 5:
        if (world_.session != nullptr && Chance(rng_, 0.4)) Lose();
        return;
      case 6:
        if (world_.ready() && !world_.drain.has_value() && world_.session->pings_out() < 4)
          world_.subscriptions.SendHeartbeat(*world_.session);
        return;
      case 7:
        if (world_.ready() && !world_.drain.has_value() && Chance(rng_, 0.2))
          world_.drain = world_.subscriptions.Drain(*world_.session);
        return;
      case 8:
      case 9:
      case 10:
        return Publish(AnySubject());
      case 11:
        if (world_.session == nullptr) return world_.LogIn();
        // A server that is out of places says so in the order of what it was sent.
        return world_.ToServer(limited_ ? SIZE_MAX : rng_.Below(60));
      default:
        if (world_.session != nullptr) ToClient(rng_.Below(100));
    }
  }

  std::string AnySubject() { return std::string(1, static_cast<char>('a' + rng_.Below(4))); }

  void Add() {
    if (world_.subscriptions.size() >= 9) return;
    // Each has a group of its own, so that a SUB shows whose it is.
    model_.emplace_back();
    world_.Add(AnySubject(), Concat("g", model_.size()));
  }

  void Remove(size_t index) {
    if (world_.feeds[index].subscription == nullptr) return;
    world_.Remove(world_.feeds[index]);
  }

  void Publish(const std::string& subject) {
    ++number_;
    std::vector<FakeNatsServer::Delivery>& deliveries = world_.server.deliveries;
    if (world_.session != nullptr) world_.server.Publish(subject, Concat(number_));
    std::vector<bool> sent(model_.size());
    for (size_t d = on_their_way_.size(); world_.session != nullptr && d < deliveries.size(); ++d) {
      const size_t whose = Whose(deliveries[d]);
      on_their_way_.push_back({whose, MessageTo(whose)});
      sent[whose] = true;
    }
    for (size_t i = 0; i < model_.size(); ++i) {
      if (world_.feeds[i].subscription != nullptr && world_.feeds[i].subject == subject && !sent[i])
        model_[i].missed.push_back(MessageTo(i));
    }
  }

  Published MessageTo(size_t feed) {
    return {number_, world_.clock.Wall(), TellsOk(world_.feeds[feed])};
  }

  size_t Whose(const FakeNatsServer::Delivery& delivery) const {
    size_t i = 0;
    while (world_.feeds.at(i).group != world_.server.listeners.at(delivery.sid).group) ++i;
    return i;
  }

  void ToClient(size_t most) {
    const size_t until = world_.handed + std::min(most, world_.unheard());
    for (; next_ < on_their_way_.size() && world_.server.deliveries[next_].end <= until; ++next_) {
      const auto& [feed, message] = on_their_way_[next_];
      if (world_.feeds[feed].subscription != nullptr) model_[feed].heard.push_back(message.number);
    }
    world_.ToClient(most);
    if (world_.drained) Moved();
  }

  void NoteLoss() {
    for (size_t i = 0; i < model_.size(); ++i) {
      if (world_.feeds[i].told().find("ok") != std::string::npos) ++model_[i].losses;
    }
  }

  // The session is gone, with what was still on its way.
  void Lose() {
    NoteLoss();
    for (; next_ < on_their_way_.size(); ++next_) {
      const auto& [feed, message] = on_their_way_[next_];
      model_[feed].missed.push_back(message);
    }
    on_their_way_.clear();
    next_ = 0;
    world_.Lose();
  }

  void Moved() {
    if (Chance(rng_, 0.5)) return Lose();
    // It stays with that server, whatever that one has said behind its PONG.
    NoteLoss();
    world_.subscriptions.OnLost(GapReason::kDisconnected);
    world_.Begin();
  }

  void Settle() {
    if (world_.session == nullptr) world_.LogIn();
    while (!world_.session->output().empty() || world_.unheard() > 0) {
      world_.ToServer();
      ToClient(SIZE_MAX);
      if (world_.session == nullptr) world_.LogIn();
    }
    world_.clock.Advance(std::chrono::microseconds(1));
  }

  void Finish() {
    Settle();
    world_.subscriptions.SendHeartbeat(*world_.session);  // who waits tries again behind a PONG
    Settle();
    CheckTruth(world_);
    if (WaitingForPlaces(world_) > 0)
      CHECK(world_.server.listeners.size() == world_.server.max_subscriptions);
    // In the end all are listened to.
    world_.server.denied.clear();
    world_.server.max_subscriptions = SIZE_MAX;
    Lose();
    Settle();
    CheckTruth(world_);
    CHECK(world_.refused() == 0);
    for (char subject = 'a'; subject < 'e'; ++subject) Publish(std::string(1, subject));
    Settle();
    for (size_t i = 0; i < model_.size(); ++i) CheckFeed(i);
    for (size_t i = 0; i < model_.size(); ++i) Remove(i);
    Settle();
    CHECK(world_.subscriptions.size() == 0);
    CHECK(world_.server.listeners.empty());
    CHECK(world_.refused() == 0);
  }

  void CheckFeed(size_t index) const {
    const ListenerWorld::Feed& feed = world_.feeds[index];
    const ModelFeed& model = model_[index];
    CAPTURE(index);
    CAPTURE(feed.told());
    std::vector<int64_t> heard;
    std::vector<int64_t> heard_before;  // each gap: the last message that was told before it
    bool confirmed = false;
    for (const std::string& line : feed.notes->lines) {
      confirmed = confirmed || line == "ok";
      if (line == "gap") {
        CHECK(confirmed);
        heard_before.push_back(heard.empty() ? 0 : heard.back());
      } else if (line[0] >= '0' && line[0] <= '9') {
        heard.push_back(std::stoll(line));
      }
    }
    CHECK(heard == model.heard);
    size_t of_losses = 0;
    for (const GapReport& gap : feed.notes->gaps) {
      CHECK(gap.from <= gap.to);
      CHECK(gap.count == -1);
      if (gap.reason == GapReason::kDisconnected) ++of_losses;
    }
    CHECK(of_losses <= model.losses);
    if (feed.subscription == nullptr) return;  // of what it missed last it need not hear
    for (const Published& message : model.missed) {
      if (!message.owed) continue;
      bool covered = false;
      for (size_t g = 0; g < feed.notes->gaps.size(); ++g) {
        const GapReport& gap = feed.notes->gaps[g];
        covered = covered || (gap.from <= message.at && message.at <= gap.to &&
                              heard_before[g] < message.number);
      }
      CAPTURE(message.number);
      CHECK(covered);
    }
  }

  SimRng rng_;
  const bool limited_;
  ListenerWorld world_;
  std::vector<ModelFeed> model_;                            // as world_.feeds
  std::vector<std::pair<size_t, Published>> on_their_way_;  // as server.deliveries: to which feed
  size_t next_ = 0;                                         // of them, to be handed over
  int64_t number_ = 0;
};

}  // namespace

TEST_CASE("nats subscriptions: too many and forbidden ones in one window are told apart") {
  ListenerWorld world;
  world.server.max_subscriptions = 3;
  world.server.denied = {"b", "e", "g"};
  for (const char* subject : {"a", "b", "c", "d", "e", "f", "g", "h"}) world.Add(subject);
  world.Connect();
  CHECK(ServedNow(world) == "acd");
  const std::vector<std::string> verdicts = {"ok",     "denied",  "ok",     "ok",
                                             "denied", "crowded", "denied", "crowded"};
  for (size_t i = 0; i < verdicts.size(); ++i) CHECK(world.feeds[i].told() == verdicts[i]);
  CHECK(world.refused() == 5);
  for (const bool dealt : world.dealt_with) CHECK(dealt);
  // Nothing more is tried while all places are taken.
  const std::string heard = world.server.heard;
  world.Beat();
  CHECK(world.server.heard == heard + "PING\r\n");
  CheckTruth(world);
  // The next server takes them all.
  world.server.max_subscriptions = SIZE_MAX;
  world.server.denied.clear();
  world.Lose();
  world.Connect();
  CHECK(ServedNow(world) == "abcdefgh");
  CheckTruth(world);
  CHECK(world.refused() == 0);
}

TEST_CASE(
    "nats subscriptions: one that is removed before it is refused shifts no other's refusal") {
  ListenerWorld world;
  world.server.max_subscriptions = 1;
  world.server.denied = {"c"};
  for (const char* subject : {"a", "b", "c"}) world.Add(subject);
  world.LogIn();
  world.ToServer();
  world.Remove(world.feeds[2]);
  world.Settle();
  CHECK(world.feeds[0].told() == "ok");
  CHECK(world.feeds[1].told() == "crowded");
  CheckTruth(world);
}

TEST_CASE("nats subscriptions: a place given back is taken by one that waited") {
  ListenerWorld world;
  world.server.max_subscriptions = 2;
  for (const char* subject : {"a", "b", "c", "d"}) world.Add(subject);
  world.Connect();
  CHECK(ServedNow(world) == "ab");
  world.Remove(world.feeds[0]);
  world.Settle();
  CHECK(world.server.listeners.size() == 2);
  CheckTruth(world);
  CHECK(world.refused() == 1);
  world.server.Deny("b");
  world.Settle();
  world.Beat();
  CHECK(ServedNow(world) == "cd");
  CheckTruth(world);
  CHECK(world.refused() == 1);
  // One that waits goes away by itself.
  world.Add("e");
  world.Settle();
  CHECK(world.feeds[4].told() == "crowded");
  world.Remove(world.feeds[4]);
  CHECK(world.refused() == 1);
}

TEST_CASE(
    "nats subscriptions: who loses a place and gets one again has a gap before its messages") {
  ListenerWorld world;
  for (const char* subject : {"a", "b"}) world.Add(subject);
  world.Connect();
  world.Sleep();
  world.server.max_subscriptions = 1;
  world.Lose();
  world.Connect();
  const Timestamp lost = world.clock.Wall();
  CHECK(world.feeds[1].told() == "ok gap crowded");
  world.Sleep();
  world.Beat();
  world.Remove(world.feeds[0]);
  world.Settle();
  REQUIRE(world.feeds[1].notes->gaps.size() == 2);
  const GapReport& gap = world.feeds[1].notes->gaps[1];
  CHECK(gap.reason == GapReason::kNotListening);
  CHECK(gap.from == lost);  // where the one before it ends
  CHECK(gap.to == world.clock.Wall());
}

TEST_CASE("nats subscriptions: a place given back inside a window is taken by one that waited") {
  for (const bool by_permission : {false, true}) {
    CAPTURE(by_permission);
    ListenerWorld world;
    world.server.max_subscriptions = 2;
    for (const char* subject : {"a", "b", "c"}) world.Add(subject);
    world.LogIn();
    world.ToServer();
    if (by_permission) {
      const std::string pong = "PONG\r\n";
      world.server.said.resize(world.server.said.size() - pong.size());
      world.server.Deny("a");
      world.server.said += pong;
    } else {
      world.Remove(world.feeds[0]);
    }
    world.Settle();
    world.Beat();
    world.Beat();
    CHECK(ServedNow(world) == "bc");
    CheckTruth(world);
  }
}

TEST_CASE("nats subscriptions: a window lost after places were given back does not shut the next") {
  ListenerWorld world;
  world.server.max_subscriptions = 2;
  for (const char* subject : {"a", "b", "c"}) world.Add(subject);
  world.LogIn();
  world.ToServer();
  world.ToClient(world.unheard() - 1);  // "crowded" has come, the PONG has not
  world.Remove(world.feeds[0]);
  world.Remove(world.feeds[1]);
  world.Lose();
  world.Connect();
  world.Beat();
  CHECK(ServedNow(world) == "c");
  CheckTruth(world);
}

TEST_CASE(
    "nats subscriptions: a server that ends connections over too many is filled in few steps") {
  for (size_t most = 1; most <= 12; ++most) {
    CAPTURE(most);
    ListenerWorld world;
    world.server.max_subscriptions = most;
    world.server.ends_over_too_many = true;
    for (int i = 0; i < 13; ++i) world.Add(Concat("s", i));
    int sessions = 1;
    for (world.Connect(); world.server.ended; ++sessions) {
      REQUIRE(sessions < 8);
      world.Lose();
      world.Connect();
    }
    CHECK(world.server.listeners.size() == most);
    CheckTruth(world);
    CHECK(world.refused() == 13 - most);
  }
}

TEST_CASE("nats subscriptions: whatever comes, each message is handed over or lies in a gap") {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    Swarm(seed, seed % 2 == 0).Run();
  }
}

}  // namespace bascule::nats
