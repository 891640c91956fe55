// A NATS server as one client sees it, in memory: it takes what the client sends, in pieces of any
// size, and says what a nats-server says, in its order. And such a client, with feeds that listen.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/logging.h"
#include "core/base/text.h"
#include "nats_bridge/ingest_session.h"
#include "nats_bridge/ingest_subscriptions.h"
#include "tests/support/sim_clock.h"

namespace bascule::nats {

// As Go's %q writes it; of what cannot be printed only what tests use.
inline std::string GoQuoted(std::string_view text) {
  static const std::vector<std::pair<std::string, std::string>> kEscapes = {
      {"\"", "\\\""},
      {"\\", "\\\\"},
      {"\xc2\xa0", "\\u00a0"},
      {"\xe2\x80\x8b", "\\u200b"},
      {"\xf3\xa0\x80\x81", "\\U000e0001"}};
  std::string out = "\"";
  while (!text.empty()) {
    const auto escape = std::find_if(kEscapes.begin(), kEscapes.end(), [text](const auto& e) {
      return text.substr(0, e.first.size()) == e.first;
    });
    out += escape == kEscapes.end() ? std::string(1, text[0]) : escape->second;
    text.remove_prefix(escape == kEscapes.end() ? 1 : escape->first.size());
  }
  return out + '"';
}

class FakeNatsServer {
 public:
  struct Listener {
    std::string subject, group;
    bool operator==(const Listener&) const = default;
    auto operator<=>(const Listener&) const = default;
  };
  // A message that was sent, and where it ends in `said`.
  struct Delivery {
    size_t end = 0;
    uint64_t sid = 0;
    std::string payload;
  };

  // --- how it is set up; outlasts a connection
  std::string info =
      R"({"server_id":"FAKE","version":"2.10.0","headers":true,"max_payload":1048576})";
  size_t max_subscriptions = SIZE_MAX;
  size_t max_control_line = 4096;
  bool ends_over_too_many = false;  // the connection, as old servers do
  bool names_groups = true;         // in refusals; old servers do not
  std::set<std::string> denied;     // subjects, for everybody
  std::set<Listener> denied_to;     // for a group, or for who has none

  // --- of the connection
  std::string said;   // all of it
  std::string heard;  // whole lines
  std::vector<Delivery> deliveries;
  std::map<uint64_t, Listener> listeners;
  bool ended = false;

  void Connect() {
    said.clear();
    heard.clear();
    begun_.clear();
    deliveries.clear();
    listeners.clear();
    ended = false;
    Say(Concat("INFO ", info));
  }

  void Take(std::string_view bytes) {
    begun_ += bytes;
    while (!ended) {
      const size_t end = begun_.find("\r\n");
      if (end == std::string::npos) return;
      const std::string line = begun_.substr(0, end);
      begun_.erase(0, end + 2);
      heard += line + "\r\n";
      TakeLine(line);
    }
  }

  // To each listener of it that has no group, and to one of each group.
  void Publish(const std::string& subject, const std::string& payload) {
    std::set<std::string> groups;
    const std::map<uint64_t, Listener> present = listeners;
    for (const auto& [sid, listener] : present) {
      if (listener.subject != subject) continue;
      if (!listener.group.empty() && !groups.insert(listener.group).second) continue;
      Say(Concat("MSG ", subject, " ", sid, " ", payload.size()));
      Say(payload);
      deliveries.push_back({said.size(), sid, payload});
    }
  }

  // Takes a permission away, as a nats-server does that reads its configuration again.
  void Deny(const std::string& subject) {
    denied.insert(subject);
    for (auto it = listeners.begin(); it != listeners.end();) {
      if (it->second.subject != subject) {
        ++it;
        continue;
      }
      SayError(Concat(RefusalOf(it->second), " (sid \"", it->first, "\")"));
      it = listeners.erase(it);
    }
  }

  void SayError(const std::string& text) { Say(Concat("-ERR '", text, "'")); }
  bool Listens(const std::string& subject, const std::string& group) const {
    return std::any_of(listeners.begin(), listeners.end(), [&](const auto& listener) {
      return listener.second == Listener{subject, group};
    });
  }

 private:
  void Say(const std::string& line) {
    if (!ended) said += line + "\r\n";
  }

  std::string RefusalOf(const Listener& listener) const {
    const bool group = names_groups && !listener.group.empty();
    return Concat("Permissions Violation for Subscription to ", GoQuoted(listener.subject),
                  group ? Concat(" using queue ", GoQuoted(listener.group)) : "");
  }

  void End(const std::string& text) {
    SayError(text);
    ended = true;
  }

  void TakeLine(const std::string& line) {
    const size_t blank = line.find(' ');
    const std::string name = line.substr(0, blank);
    const std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
    if (name != "CONNECT" && rest.size() > max_control_line)
      return End("Maximum Control Line Exceeded");
    if (name == "PING") return Say("PONG");
    if (name == "UNSUB") {
      listeners.erase(std::stoull(rest));
    } else if (name == "SUB") {
      TakeSub(rest);
    } else if (name != "CONNECT" && name != "PONG") {
      End("Unknown Protocol Operation");
    }
  }

  void TakeSub(const std::string& rest) {
    std::istringstream in(rest);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.size() != 2 && words.size() != 3) return End("Parser Error");
    const Listener listener{words[0], words.size() == 3 ? words[1] : ""};
    if (denied.contains(listener.subject) || denied_to.contains(listener))
      return SayError(RefusalOf(listener));
    if (listeners.size() >= max_subscriptions) {
      SayError("maximum subscriptions exceeded");
      ended = ends_over_too_many;
      return;
    }
    listeners.emplace(std::stoull(words.back()), listener);
  }

  std::string begun_;  // a line that has not come whole yet
};

// What one feed was told, in its order: "ok", "denied", "crowded" (too many), "long" (its line),
// "gap", or a payload.
struct FeedNotes : SubscriptionHandler {
  void OnMessage(const BusMessage& message) override { lines.emplace_back(message.payload); }
  void OnListening(absl::Status status) override {
    lines.push_back(status.ok()                         ? "ok"
                    : absl::IsPermissionDenied(status)  ? "denied"
                    : absl::IsResourceExhausted(status) ? "crowded"
                                                        : "long");
    verdict = status;
  }
  void OnGap(const GapReport& gap) override {
    lines.push_back("gap");
    gaps.push_back(gap);
  }
  std::vector<std::string> lines;
  std::vector<GapReport> gaps;
  std::optional<absl::Status> verdict;  // the last
};

// Refusals are logged, some thousand of them in a random life.
struct SilentLog : LogSink {
  SilentLog() { SetLogSink(this); }
  ~SilentLog() override { SetLogSink(nullptr); }
  void Write(std::string /*line*/) override {}
  bool Flush(std::chrono::milliseconds /*limit*/) override { return true; }
  Losses losses() const override { return {}; }
};

// A client of the server, which does what the ingest connection does with each answer.
struct ListenerWorld : SessionListener {
  struct Feed {
    std::string subject, group;
    std::shared_ptr<FeedNotes> notes = std::make_shared<FeedNotes>();
    std::shared_ptr<IngestSubscription> subscription;  // null: removed
    // All that it was told.
    std::string told() const {
      std::string out;
      for (const std::string& line : notes->lines) out += (out.empty() ? "" : " ") + line;
      return out;
    }
  };

  SilentLog log;
  SimClock clock;
  FakeNatsServer server;
  IngestSubscriptions subscriptions{clock};
  std::unique_ptr<IngestSession> session;
  std::deque<Feed> feeds;
  size_t handed = 0;  // bytes of `server.said`
  std::optional<uint64_t> drain;
  bool drained = false;
  std::vector<bool> dealt_with;  // each error of the server

  bool ready() const { return session != nullptr && session->stage() == SessionStage::kReady; }
  IngestSession* ready_session() const { return ready() ? session.get() : nullptr; }
  size_t unheard() const { return server.said.size() - handed; }

  Feed& Add(const std::string& subject, const std::string& group = "") {
    Feed& feed = feeds.emplace_back();
    feed.subject = subject;
    feed.group = group;
    feed.subscription = std::make_shared<IngestSubscription>(subject, group, feed.notes);
    subscriptions.Add(feed.subscription);
    if (ready() && !drain.has_value()) SendPending();
    return feed;
  }
  void Remove(Feed& feed) {
    subscriptions.Remove(*feed.subscription, ready_session());
    feed.subscription.reset();
    if (ready() && !drain.has_value()) SendPending();
  }
  void SendPending() {
    if (subscriptions.pending()) subscriptions.SendPending(*session);
  }
  // Up to and with the answer to the login; what is subscribed then lies in the session's output.
  void LogIn() {
    server.Connect();
    session = std::make_unique<IngestSession>(SessionOptions(), *this);
    handed = 0;
    taken_ = 0;
    drain.reset();
    drained = false;
    ToClient();
    ToServer();
    ToClient();
    REQUIRE(ready());
  }
  void Connect() {
    LogIn();
    Settle();
  }
  void ToServer(size_t most = SIZE_MAX) {
    std::string& output = session->output();
    const std::string sent = output.substr(0, most);
    output.erase(0, sent.size());
    server.Take(sent);
  }
  void ToClient(size_t most = SIZE_MAX) {
    handed += std::min(most, unheard());
    const std::string there = server.said.substr(taken_, handed - taken_);
    const auto taken = session->Take(there);
    REQUIRE_MESSAGE(taken.ok(), taken.status().ToString());
    taken_ += taken->bytes;
  }
  // Until neither has anything to say.
  void Settle() {
    for (int i = 0; !session->output().empty() || unheard() > 0; ++i) {
      REQUIRE(i < 1000);
      ToServer();
      ToClient();
      if (server.ended) return;
    }
  }
  void Lose(GapReason reason = GapReason::kDisconnected) {
    subscriptions.OnLost(reason);
    session.reset();
  }
  // A PING of its own, and its answer; when it was sent.
  Timestamp Beat() {
    const Timestamp sent = clock.Wall();
    subscriptions.SendHeartbeat(*session);
    Settle();
    return sent;
  }
  Timestamp Sleep(int milliseconds = 10) {
    clock.Advance(std::chrono::milliseconds(milliseconds));
    return clock.Wall();
  }
  size_t refused() const { return subscriptions.counts().refused.load(); }

  void OnMessage(uint64_t sid, const BusMessage& message) override {
    subscriptions.OnMessage(sid, message);
  }
  void OnInfo(const ServerInfo& /*info*/) override {}
  void OnPong(uint64_t ping) override {
    if (ping == 1) return Begin();
    subscriptions.OnPong(ping);
    if (!drain.has_value()) return SendPending();
    drained = drained || ping >= *drain;
  }
  void OnServerError(std::string_view text) override {
    dealt_with.push_back(subscriptions.OnServerError(text));
  }
  // A session is ready.
  void Begin() {
    drain.reset();
    drained = false;
    subscriptions.SendPending(*session);
    if (!subscriptions.waits()) subscriptions.SendHeartbeat(*session);
  }

 private:
  size_t taken_ = 0;  // of what was handed over
};

}  // namespace bascule::nats
