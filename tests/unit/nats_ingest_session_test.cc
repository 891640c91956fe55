// One conversation with a server: every way in, cut at every byte, and all that is said after it.
#include "nats_bridge/ingest_session.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/text.h"
#include "nlohmann/json.hpp"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

// What a session tells, a line for each.
struct SessionNotes : SessionListener {
  void OnMessage(uint64_t sid, const BusMessage& message) override {
    std::string line = Concat("MSG ", sid, " ", message.subject, " [", message.reply, "]");
    if (message.headers != nullptr) {
      for (const auto& [name, value] : *message.headers) line += Concat(" ", name, "=", value);
    }
    if (message.header_bytes > 0) line += Concat(" ", message.header_bytes, " bytes");
    lines.push_back(Concat(line, ": ", message.payload));
  }
  void OnInfo(const ServerInfo& info) override { lines.push_back(Concat("INFO ", info.server_id)); }
  void OnPong(uint64_t ping) override { lines.push_back(Concat("PONG ", ping)); }
  void OnServerError(std::string_view text) override { lines.push_back(Concat("ERR ", text)); }
  std::vector<std::string> lines;
};

using SessionLines = std::vector<std::string>;

constexpr std::string_view kPlainInfo = "INFO {\"server_id\":\"S\"}\r\n";
constexpr std::string_view kTlsInfo = "INFO {\"server_id\":\"S\",\"tls_required\":true}\r\n";

// A session, and the bytes that it has not taken yet.
struct TalkingSession {
  explicit TalkingSession(SessionOptions options = {}) : session(std::move(options), notes) {}

  absl::Status Hear(std::string_view bytes) {
    rest += bytes;
    // In a buffer of its own, so that a look past what is there shows.
    const std::string there = rest;
    const auto taken = session.Take(there);
    RETURN_IF_ERROR(taken.status());
    REQUIRE(taken->bytes <= there.size());
    rest.erase(0, taken->bytes);
    CHECK((taken->wanted > rest.size() || rest.empty()));
    wanted = taken->wanted;
    return absl::OkStatus();
  }
  // `step` bytes at a time.
  absl::Status HearInSteps(std::string_view bytes, size_t step) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size())))
      RETURN_IF_ERROR(Hear(bytes.substr(0, step)));
    return absl::OkStatus();
  }
  // What it sent since the last time.
  std::string Sent() { return std::exchange(session.output(), {}); }

  SessionNotes notes;
  IngestSession session;
  std::string rest;
  size_t wanted = 0;
};

struct ReadySession : TalkingSession {
  ReadySession() {
    REQUIRE(Hear(Concat(kPlainInfo, "PONG\r\n")).ok());
    REQUIRE(session.stage() == SessionStage::kReady);
    notes.lines.clear();
    Sent();
  }
};

// The fields of the CONNECT line that, with a PING behind it, is all of `sent`.
nlohmann::json ConnectOf(const std::string& sent) {
  const size_t end = sent.find("\r\n");
  REQUIRE(sent.starts_with("CONNECT "));
  REQUIRE(sent.substr(end) == "\r\nPING\r\n");
  return nlohmann::json::parse(sent.substr(8, end - 8));
}

bool SaysThat(const absl::Status& status, std::string_view part) {
  return FromAbsl(status.message()).find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("nats session: each way in, with TLS and without, cut at every byte") {
  for (int way = 0; way < 16; ++way) {
    const bool must = (way & 1) != 0;
    const bool required = (way & 2) != 0;
    const bool available = (way & 4) != 0;
    const bool tls_first = (way & 8) != 0;
    const bool begins_tls = !tls_first && (required || (must && available));
    const bool ends = !tls_first && must && !required && !available;
    const std::string info =
        Concat("INFO {\"server_id\":\"S\",\"tls_required\":", required ? "true" : "false",
               ",\"tls_available\":", available ? "true" : "false", "}\r\n");
    SessionOptions options;
    options.must_encrypt = must;
    for (size_t cut = 0; cut <= info.size(); ++cut) {
      CAPTURE(way);
      CAPTURE(cut);
      TalkingSession talk(options);
      CHECK(talk.session.stage() == SessionStage::kAwaitingInfo);
      if (tls_first) REQUIRE(talk.session.Encrypted().ok());
      CHECK(talk.session.output().empty());
      absl::Status status = talk.Hear(info.substr(0, cut));
      if (cut < info.size()) {
        REQUIRE(status.ok());
        CHECK(talk.session.stage() == SessionStage::kAwaitingInfo);
        CHECK(talk.session.output().empty());
        CHECK(talk.notes.lines.empty());
        status = talk.Hear(info.substr(cut));
      }
      if (ends) {
        CHECK(absl::IsFailedPrecondition(status));
        CHECK(talk.session.output().empty());
        continue;
      }
      REQUIRE(status.ok());
      CHECK(talk.notes.lines == SessionLines{"INFO S"});
      if (begins_tls) {
        CHECK(talk.session.stage() == SessionStage::kEncrypting);
        CHECK(talk.session.output().empty());
        CHECK(talk.session.pings_out() == 0);
        REQUIRE(talk.Hear("").ok());
        REQUIRE(talk.session.Encrypted().ok());
      }
      CHECK(talk.session.stage() == SessionStage::kLoggingIn);
      CHECK(talk.session.pings_out() == 1);
      CHECK(ConnectOf(talk.Sent())["tls_required"] == (tls_first || begins_tls));
      // As a server with `verbose` would, and one that asks at once.
      REQUIRE(talk.HearInSteps("+OK\r\nPING\r\nPON", cut + 1).ok());
      CHECK(talk.Sent() == "PONG\r\n");
      CHECK(talk.session.stage() == SessionStage::kLoggingIn);
      REQUIRE(talk.HearInSteps("G\r\n", cut + 1).ok());
      CHECK(talk.session.stage() == SessionStage::kReady);
      CHECK(talk.session.pings_out() == 0);
      CHECK(talk.Sent().empty());
      CHECK(talk.notes.lines == SessionLines{"INFO S", "PONG 1"});
    }
  }
}

TEST_CASE("nats session: plain text behind INFO where TLS is to begin ends it") {
  for (const std::string tail : {"P", "PONG\r\n", "MSG a 1 0\r\n\r\n", "-ERR 'x'\r\n", "\x16\x03",
                                 "INFO {\"server_id\":\"S\"}\r\n"}) {
    for (const bool at_once : {false, true}) {
      CAPTURE(tail);
      TalkingSession talk;
      absl::Status status = talk.Hear(at_once ? Concat(kTlsInfo, tail) : std::string(kTlsInfo));
      if (!at_once) {
        REQUIRE(status.ok());
        status = talk.Hear(tail);
      }
      CHECK(absl::IsInvalidArgument(status));
      CHECK(SaysThat(status, "plain text"));
      CHECK(talk.session.output().empty());
      CHECK(talk.notes.lines == SessionLines{"INFO S"});
    }
  }
}

TEST_CASE("nats session: CONNECT says who this is, and the URL goes before the options") {
  SessionOptions options;
  options.login.user = "bob";
  options.login.password = "quote\" and \\";
  options.name = "ingest of \xc3\xbc";
  TalkingSession by_user(options);
  REQUIRE(by_user.Hear(kPlainInfo).ok());
  nlohmann::json said = ConnectOf(by_user.Sent());
  CHECK(said["user"] == "bob");
  CHECK(said["pass"] == "quote\" and \\");
  CHECK(said["name"] == "ingest of \xc3\xbc");
  CHECK(said["verbose"] == false);
  CHECK(said["pedantic"] == false);
  CHECK(said["headers"] == true);
  CHECK(said["protocol"] == 1);
  CHECK(said["tls_required"] == false);
  CHECK(said["echo"] == true);
  CHECK(said.value("no_responders", false) == false);
  for (const char* other : {"auth_token", "jwt", "nkey", "sig"}) CHECK(!said.contains(other));

  options.server.token = "from-url";
  TalkingSession by_url_token(options);
  REQUIRE(by_url_token.Hear(kPlainInfo).ok());
  said = ConnectOf(by_url_token.Sent());
  CHECK(said["auth_token"] == "from-url");
  CHECK(!said.contains("user"));
  CHECK(!said.contains("pass"));

  options.server.token.clear();
  options.server.user = "eve";
  TalkingSession by_url_user(options);
  REQUIRE(by_url_user.Hear(kPlainInfo).ok());
  said = ConnectOf(by_url_user.Sent());
  CHECK(said["user"] == "eve");
  CHECK(said["pass"] == "");

  SessionOptions token;
  token.login.token = "t";
  TalkingSession by_token(token);
  REQUIRE(by_token.Hear(kPlainInfo).ok());
  said = ConnectOf(by_token.Sent());
  CHECK(said["auth_token"] == "t");
  for (const char* other : {"user", "pass", "jwt", "nkey", "sig", "name"})
    CHECK(!said.contains(other));
}

TEST_CASE("nats session: the nonce is signed, after TLS too, and no key is told without one") {
  // RFC 8032, 7.1, test 2: the key and the signature of "r".
  const std::string seed = "SUAEZTIITMUP7FW2TW3MGRXMCFHA6W4KGGPTLK5GETNIZ5XNJ64KN63OVI";
  const std::string key = "UA6UAF6D5BBYSWUSW4FKOTI3P26JZGBMZ4XMJFUMYDGVL4JK6RTAYUDN";
  const std::string signature =
      "kqAJqfDUyrhyDoILX2QlQKKye1QWUD-Ps3YiI-vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA";
  for (const bool by_jwt : {false, true}) {
    for (const bool tls : {false, true}) {
      for (const bool nonce : {false, true}) {
        SessionOptions options;
        options.login.seed = seed;
        (by_jwt ? options.login.jwt : options.login.public_key) = by_jwt ? "e.y.J" : key;
        TalkingSession talk(options);
        REQUIRE(talk.Hear(Concat("INFO {\"tls_required\":", tls ? "true" : "false",
                                 nonce ? ",\"nonce\":\"r\"" : "", "}\r\n"))
                    .ok());
        if (tls) REQUIRE(talk.session.Encrypted().ok());
        const nlohmann::json said = ConnectOf(talk.Sent());
        CHECK(said.value("sig", "") == (nonce ? signature : ""));
        CHECK(said.value("jwt", "") == (nonce && by_jwt ? "e.y.J" : ""));
        CHECK(said.value("nkey", "") == (nonce && !by_jwt ? key : ""));
        CHECK(said.dump().find(seed) == std::string::npos);
      }
    }
  }
  SessionOptions broken;
  broken.login.seed = "SUNOSEED";
  TalkingSession talk(broken);
  CHECK(!talk.Hear("INFO {\"nonce\":\"r\"}\r\n").ok());
  CHECK(talk.session.output().empty());
}

TEST_CASE("nats session: what does not let this client in ends it, wherever it is cut") {
  struct Ending {
    std::string bytes;
    absl::StatusCode code;
    std::string part;
  };
  const std::string info(kPlainInfo);
  const auto wrong = absl::StatusCode::kInvalidArgument;
  const std::vector<Ending> endings = {
      {info + "-ERR 'Authorization Violation'\r\n", absl::StatusCode::kPermissionDenied,
       "Authorization Violation"},
      {"-ERR 'maximum connections exceeded'\r\n", absl::StatusCode::kPermissionDenied,
       "maximum connections exceeded"},
      {info + "MSG a 1 2\r\nhi\r\n", wrong, "before it has let"},
      {info + "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n", wrong, "before it has let"},
      {"MSG a 1 2\r\nhi\r\n", wrong, "INFO"},
      {"PING\r\n", wrong, "INFO"},
      {"+OK\r\n", wrong, "INFO"},
      {"HTTP/1.1 400 Bad Request\r\n", wrong, "HTTP/1.1"},
      {"SSH-2.0-OpenSSH\r\n", wrong, ""},
      {info + "garbage\r\n", wrong, "garbage"},
      {"INFO {\"server_id\":7}\r\n", wrong, "server_id"},
      {"INFO [1]\r\n", wrong, ""},
      {"INFO {\r\n", wrong, ""},
      {"INFO\r\n", wrong, ""}};
  for (const Ending& ending : endings) {
    for (size_t step = 1; step <= ending.bytes.size(); ++step) {
      CAPTURE(ending.bytes);
      TalkingSession talk;
      const absl::Status status = talk.HearInSteps(ending.bytes, step);
      CHECK(status.code() == ending.code);
      const bool shown = step == ending.bytes.size() && !SaysThat(status, ending.part);
      CHECK_MESSAGE(!shown, status.ToString());
      CHECK(talk.session.stage() != SessionStage::kReady);
      for (const std::string& line : talk.notes.lines) CHECK(line == "INFO S");
    }
  }
}

TEST_CASE("nats session: a PING is answered in its place") {
  TalkingSession talk;
  REQUIRE(talk.Hear(Concat(kPlainInfo, "PING\r\nPING\r\n")).ok());
  const std::string sent = talk.Sent();
  CHECK(sent.substr(sent.find("\r\n")) == "\r\nPING\r\nPONG\r\nPONG\r\n");
  REQUIRE(talk.Hear("PONG\r\n").ok());
  talk.session.Subscribe(18446744073709551615U, "a.*", "");
  talk.session.Subscribe(2, "b.>", "group");
  REQUIRE(talk.Hear("PING\r\n").ok());
  talk.session.Unsubscribe(2);
  CHECK(talk.session.Ping() == 2);
  CHECK(talk.Sent() ==
        "SUB a.* 18446744073709551615\r\nSUB b.> group 2\r\nPONG\r\nUNSUB 2\r\nPING\r\n");
}

TEST_CASE("nats session: PONGs carry the numbers of their PINGs, and one too many says nothing") {
  ReadySession talk;
  REQUIRE(talk.Hear("PONG\r\nPONG\r\n").ok());
  CHECK(talk.notes.lines.empty());
  CHECK(talk.session.pings_out() == 0);
  CHECK(talk.session.Ping() == 2);
  CHECK(talk.session.Ping() == 3);
  CHECK(talk.session.pings_out() == 2);
  REQUIRE(talk.Hear("PONG\r\n").ok());
  CHECK(talk.notes.lines == SessionLines{"PONG 2"});
  CHECK(talk.session.pings_out() == 1);
  CHECK(talk.session.Ping() == 4);
  REQUIRE(talk.Hear("PONG\r\nPONG\r\nPONG\r\n").ok());
  CHECK(talk.notes.lines == SessionLines{"PONG 2", "PONG 3", "PONG 4"});
  CHECK(talk.session.pings_out() == 0);
  CHECK(talk.session.Ping() == 5);
}

TEST_CASE("nats session: each INFO that comes later is told, and changes nothing else") {
  ReadySession talk;
  REQUIRE(talk.Hear("INFO {\"server_id\":\"T\",\"ldm\":true,\"connect_urls\":[\"h:1\"],"
                    "\"tls_required\":true}\r\n")
              .ok());
  CHECK(talk.notes.lines == SessionLines{"INFO T"});
  CHECK(talk.session.info().lame_duck);
  CHECK(talk.session.info().connect_urls == std::vector<std::string>{"h:1"});
  CHECK(talk.session.stage() == SessionStage::kReady);
  CHECK(talk.Sent().empty());
  REQUIRE(talk.Hear("INFO {}\r\nMSG a 1 0\r\n\r\n").ok());
  CHECK(talk.notes.lines == SessionLines{"INFO T", "INFO ", "MSG 1 a []: "});
  CHECK(absl::IsInvalidArgument(talk.Hear("INFO {\"ldm\":1}\r\n")));

  TalkingSession logging_in;
  REQUIRE(logging_in.Hear(Concat(kPlainInfo, kTlsInfo)).ok());
  CHECK(logging_in.notes.lines == SessionLines{"INFO S", "INFO S"});
  CHECK(logging_in.session.stage() == SessionStage::kLoggingIn);
  ConnectOf(logging_in.Sent());  // one, and one PING
}

TEST_CASE("nats session: messages, with headers and without, in the order of all that is said") {
  const std::string headers = "NATS/1.0\r\nA: b\r\nA: c\r\n\r\n";
  const std::string bytes = Concat(
      "MSG a.b 7 5\r\nPING\n\r\nMSG a.b 8 reply.to 0\r\n\r\n-ERR 'Slow Consumer'\r\nPONG\r\n"
      "HMSG a 7 r ",
      headers.size(), " ", headers.size() + 2, "\r\n", headers,
      "hi\r\nMSG a 1 1\r\nx\r\nHMSG a 2 12 12\r\nNATS/1.0\r\n\r\n\r\nHMSG a 3 7 8\r\nnothing!\r\n",
      "-ERR 'it''s \"odd\"'\r\n+OK\r\nPING\r\nmsg a 1 0\r\n\r\n");
  const SessionLines expected = {"MSG 7 a.b []: PING\n",
                                 "MSG 8 a.b [reply.to]: ",
                                 "ERR Slow Consumer",
                                 "PONG 2",
                                 "MSG 7 a [r] A=b A=c 24 bytes: hi",
                                 "MSG 1 a []: x",  // nothing is left of the one before
                                 "MSG 2 a [] 12 bytes: ",
                                 "MSG 3 a []: !",
                                 "ERR it''s \"odd\"",
                                 "MSG 1 a []: "};
  for (size_t step = 1; step <= bytes.size(); ++step) {
    CAPTURE(step);
    ReadySession talk;
    talk.session.Ping();
    talk.Sent();
    REQUIRE(talk.HearInSteps(bytes, step).ok());
    CHECK(talk.notes.lines == expected);
    CHECK(talk.Sent() == "PONG\r\n");
    CHECK(talk.rest.empty());
  }
}

TEST_CASE("nats session: it knows how much of a message is missing, and how large one may be") {
  ReadySession talk;
  REQUIRE(talk.Hear("PING\r\nMSG a 1 100\r\n0123456789").ok());
  CHECK(talk.rest == "MSG a 1 100\r\n0123456789");
  CHECK(talk.wanted == 13 + 100 + 2);
  REQUIRE(talk.Hear(std::string(90, 'x')).ok());
  CHECK(talk.wanted == 13 + 100 + 2);
  CHECK(talk.notes.lines.empty());
  REQUIRE(talk.Hear("\r\n").ok());
  CHECK(talk.wanted == 0);
  CHECK(talk.notes.lines.size() == 1);
  REQUIRE(talk.Hear("MSG a 1 67108864\r\n").ok());
  CHECK(talk.wanted == 18 + 67108864 + 2);
  ReadySession other;
  CHECK(absl::IsInvalidArgument(other.Hear("MSG a 1 67108865\r\n")));
}

TEST_CASE("nats session: whatever is said, however it is cut, is told once and in order") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    SimRng rng(seed);
    ReadySession talk;
    std::string bytes;
    SessionLines expected;
    uint64_t asked = 1;
    uint64_t answered = 1;
    std::string answers;
    const auto hand_over = [&] {
      while (!bytes.empty()) {
        const size_t cut = std::min<size_t>(bytes.size(), Between(rng, 1, 30));
        REQUIRE(talk.Hear(bytes.substr(0, cut)).ok());
        bytes.erase(0, cut);
      }
    };
    for (int i = 0; i < 60; ++i) {
      const uint64_t kind = rng.Below(6);
      if (kind == 0) {
        hand_over();  // a PONG that nobody had asked for comes before this
        REQUIRE(talk.session.Ping() == ++asked);
      } else if (kind == 1) {
        bytes += "PONG\r\n";
        if (answered < asked) expected.push_back(Concat("PONG ", ++answered));
      } else if (kind == 2) {
        bytes += "PING\r\n";
        answers += "PONG\r\n";
      } else if (kind == 3) {
        bytes += Concat("-ERR 'e", i, "'\r\n");
        expected.push_back(Concat("ERR e", i));
      } else {
        const std::string payload(rng.Below(40), '\r');
        bytes += Concat("MSG s ", i, " ", payload.size(), "\r\n", payload, "\r\n");
        expected.push_back(Concat("MSG ", i, " s []: ", payload));
      }
      if (Chance(rng, 0.3)) hand_over();
    }
    hand_over();
    CHECK(talk.notes.lines == expected);
    CHECK(talk.session.pings_out() == asked - answered);
    // A PONG for each PING of the server; its own PINGs lie between them.
    std::string sent = talk.Sent();
    for (size_t at = 0; (at = sent.find("PING\r\n", at)) != std::string::npos;) sent.erase(at, 6);
    CHECK(sent == answers);
  }
}

}  // namespace bascule::nats
