// What a server sends, taken apart: whole, cut at every byte, odd, and past every bound.
#include "nats_bridge/server_operation.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/text.h"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

constexpr OperationBounds kBounds{200, 2000, 5000};

// An operation with its own bytes.
struct Owned {
  OperationKind kind = OperationKind::kOk;
  uint64_t sid = 0;
  std::string subject, reply, headers, payload, text;
  bool operator==(const Owned&) const = default;
};

Owned Own(const ServerOperation& operation) {
  return {operation.kind,
          operation.sid,
          std::string(operation.subject),
          std::string(operation.reply),
          std::string(operation.headers),
          std::string(operation.payload),
          std::string(operation.text)};
}

std::string Wire(const Owned& operation) {
  switch (operation.kind) {
    case OperationKind::kInfo:
      return Concat("INFO ", operation.text, "\r\n");
    case OperationKind::kPing:
      return "PING\r\n";
    case OperationKind::kPong:
      return "PONG\r\n";
    case OperationKind::kOk:
      return "+OK\r\n";
    case OperationKind::kError:
      return Concat("-ERR '", operation.text, "'\r\n");
    case OperationKind::kMessage:
      break;
  }
  const std::string reply = operation.reply.empty() ? "" : operation.reply + " ";
  const size_t headers = operation.headers.size();
  const size_t total = headers + operation.payload.size();
  const std::string sizes = headers == 0 ? Concat(total) : Concat(headers, " ", total);
  return Concat(headers == 0 ? "MSG " : "HMSG ", operation.subject, " ", operation.sid, " ", reply,
                sizes, "\r\n", operation.headers, operation.payload, "\r\n");
}

// Everything in `bytes`, which come `step` at a time.
std::vector<Owned> TakeAll(const std::string& bytes, size_t step) {
  std::vector<Owned> taken;
  size_t begin = 0;
  size_t wanted = 1;
  for (size_t end = 0; end < bytes.size();) {
    end = std::min(bytes.size(), end + step);
    while (end - begin >= wanted && begin < end) {
      ServerOperation operation;
      // In a buffer of its own, so that a look past what is there shows.
      const std::string there = bytes.substr(begin, end - begin);
      const auto step_taken = TakeOperation(there, kBounds, operation);
      REQUIRE_MESSAGE(step_taken.ok(), step_taken.status().ToString());
      if (step_taken->bytes == 0) {
        REQUIRE(step_taken->wanted > there.size());
        wanted = step_taken->wanted;
        break;
      }
      REQUIRE(step_taken->bytes <= there.size());
      taken.push_back(Own(operation));
      begin += step_taken->bytes;
      wanted = 1;
    }
  }
  CHECK(begin == bytes.size());
  return taken;
}

Owned Message(uint64_t sid, const std::string& subject, const std::string& reply,
              const std::string& headers, const std::string& payload) {
  return {OperationKind::kMessage, sid, subject, reply, headers, payload, ""};
}

absl::Status Refusal(const std::string& bytes) {
  ServerOperation operation;
  const auto taken = TakeOperation(bytes, kBounds, operation);
  return taken.ok() ? absl::OkStatus() : taken.status();
}

bool Names(const absl::Status& why, const std::string& part) {
  return absl::IsInvalidArgument(why) && why.message().find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("server operations: each kind, cut at every byte") {
  const std::string headers = "NATS/1.0\r\nA: b\r\n\r\n";
  const std::vector<Owned> sent = {
      {OperationKind::kInfo, 0, "", "", "", "", R"({"server_id":"X","max_payload":1048576})"},
      {OperationKind::kOk, 0, "", "", "", "", ""},
      {OperationKind::kPing, 0, "", "", "", "", ""},
      Message(1, "a.b", "", "", "hello"),
      Message(18446744073709551615U, "a", "_INBOX.x", "", ""),
      Message(7, "a.b.c", "", headers, "with\r\nlines\r\n"),
      Message(7, "a.b.c", "r.s", headers, ""),
      {OperationKind::kError, 0, "", "", "", "", "Permissions Violation for Subscription to \"x\""},
      Message(3, "MSG", "PING", "", "PING\r\nPONG\r\n"),
      {OperationKind::kPong, 0, "", "", "", "", ""}};
  std::string bytes;
  for (const Owned& operation : sent) bytes += Wire(operation);
  for (size_t step = 1; step <= bytes.size(); ++step) CHECK(TakeAll(bytes, step) == sent);
}

TEST_CASE("server operations: whatever is sent comes out, however it is cut") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SimRng rng(seed);
    const auto bytes_of = [&](size_t most) {
      std::string bytes(rng.Below(most + 1), '\0');
      for (char& c : bytes) c = static_cast<char>(rng.Below(256));
      return bytes;
    };
    std::vector<Owned> sent;
    std::string bytes;
    for (uint64_t i = 0; i < 1 + rng.Below(20); ++i) {
      Owned next;
      next.kind = static_cast<OperationKind>(rng.Below(6));
      if (next.kind == OperationKind::kInfo) next.text = "{}" + std::string(rng.Below(1000), 'i');
      if (next.kind == OperationKind::kError) next.text = "e" + std::string(rng.Below(50), 'e');
      if (next.kind == OperationKind::kMessage) {
        next = Message(rng.Next(), "s" + std::string(rng.Below(40), '.'),
                       rng.Below(2) == 0 ? "" : "reply",
                       rng.Below(2) == 0 ? "" : "NATS/1.0\r\n" + bytes_of(50) + "\r\n\r\n",
                       bytes_of(rng.Below(10) == 0 ? 4000 : 100));
      }
      sent.push_back(next);
      bytes += Wire(next);
    }
    CHECK(TakeAll(bytes, 1 + rng.Below(300)) == sent);
    CHECK(TakeAll(bytes, bytes.size()) == sent);
  }
}

TEST_CASE("server operations: any case, and blanks and tabs as they like") {
  for (const std::string line : {"msg a 5 2\r\nhi\r\n", "MSG\ta\t5\t2\r\nhi\r\n",
                                 "Msg   a  5 \t 2  \r\nhi\r\n", "mSg a 005 02\r\nhi\r\n"}) {
    CAPTURE(line);
    CHECK(TakeAll(line, 1) == std::vector<Owned>{Message(5, "a", "", "", "hi")});
  }
  CHECK(TakeAll("info {\"a\": 1}  \r\nping\r\npong \r\n+ok\r\n", 3).size() == 4);
  CHECK(TakeAll("-ERR 'Unknown Protocol Operation'\r\n", 5)[0].text ==
        "Unknown Protocol Operation");
  CHECK(TakeAll("-err no quotes\r\n", 5)[0].text == "no quotes");
  CHECK(TakeAll("-ERR '\r\n", 5)[0].text == "'");
  CHECK(TakeAll("-ERR\r\n", 5)[0].text.empty());
  CHECK(TakeAll("INFO \r\n", 5)[0].text.empty());
}

TEST_CASE("server operations: a message waits for its bytes and no longer") {
  ServerOperation operation;
  const std::string line = "HMSG a 1 12 20\r\n";
  auto taken = TakeOperation(line, kBounds, operation);
  REQUIRE(taken.ok());
  CHECK(taken->bytes == 0);
  CHECK(taken->wanted == line.size() + 20 + 2);
  taken = TakeOperation("HMSG a 1 12 ", kBounds, operation);
  REQUIRE(taken.ok());
  CHECK(taken->bytes == 0);
  CHECK(taken->wanted == 13);
  CHECK(TakeOperation("", kBounds, operation)->wanted == 1);
}

TEST_CASE("server operations: what is past a bound is refused before it is there") {
  // Sizes, at the bound and past it; nothing of the body has come.
  CHECK(Refusal("MSG a 1 5000\r\n").ok());
  CHECK(Names(Refusal("MSG a 1 5001\r\n"), "more than 5000 bytes"));
  CHECK(Names(Refusal("HMSG a 1 1 5001\r\n"), "more than 5000 bytes"));
  CHECK(Names(Refusal("MSG a 1 18446744073709551616\r\n"), "no number, or more than"));
  CHECK(Names(Refusal("MSG a 1 99999999999999999999999999\r\n"), "no number, or more than"));
  CHECK(Names(Refusal("HMSG a 1 21 20\r\n"), "headers that are larger than their message"));
  CHECK(Refusal("HMSG a 1 20 20\r\n").ok());
  // Lines, with and without their end; INFO has a bound of its own.
  const auto line = [](const std::string& name, size_t bytes) {
    return name + std::string(bytes - name.size(), 'x');
  };
  for (const bool ended : {false, true}) {
    const std::string end = ended ? "\r\n" : "";
    CAPTURE(ended);
    CHECK(Refusal(line("-ERR ", 200) + end).ok());
    CHECK(Names(Refusal(line("-ERR ", ended ? 201 : 203) + end), "a line of more than 200 bytes"));
    CHECK(Refusal(line("INFO ", 2000) + end).ok());
    CHECK(Names(Refusal(line("INFO ", ended ? 2001 : 2003) + end), "a line of more than 2000"));
  }
}

TEST_CASE("server operations: what is none is refused at once, and shown") {
  CHECK(
      Names(Refusal("HTTP/1.1 400 Bad Request\r\n"),
            "the server sent \"HTTP/1.1 400 Bad Request\\r\\n\": that is no operation of NATS (is "
            "nats.servers its port for clients?)"));
  CHECK(Names(Refusal("x"), "no operation of NATS"));
  CHECK(Names(Refusal("\r\n"), "no operation of NATS"));
  CHECK(Names(Refusal("PINGS\r\n"), "no operation of NATS"));
  CHECK(Names(Refusal("MSGS a 1 2\r\n"), "no operation of NATS"));
  CHECK(Names(Refusal(std::string(100, '\x01')), "\\001...\""));
  for (const std::string begun :
       {"M", "MS", "H", "HMS", "P", "PIN", "PON", "+", "+O", "-", "-ER", "i"})
    CHECK_MESSAGE(Refusal(begun).ok(), begun);
  CHECK(Names(Refusal("PING\n"), "without a carriage return"));
  CHECK(Names(Refusal("MSG a\rb 1 2\r\n"), "a carriage return inside"));
  CHECK(Names(Refusal("PING\rPONG\r\n"), "a carriage return inside"));
  for (const std::string bad : {"MSG\r\n", "MSG a\r\n", "MSG a 1\r\n", "MSG a 1 r 2 3\r\n",
                                "HMSG a 1 2\r\n", "HMSG a 1 r 2 3 4\r\n", "HMSG a 1 r 2 3 4 5\r\n"})
    CHECK_MESSAGE(Names(Refusal(bad), "more or fewer words"), bad);
  CHECK(Names(Refusal("MSG a x 2\r\n"), "for no subscription"));
  CHECK(Names(Refusal("MSG a -1 2\r\n"), "for no subscription"));
  CHECK(Names(Refusal("MSG a 18446744073709551616 2\r\n"), "for no subscription"));
  CHECK(Names(Refusal("MSG a 1 -2\r\n"), "no number"));
  CHECK(Names(Refusal("MSG a 1 2\r\nhello\r\n"), "does not end where its line says"));
  CHECK(Names(Refusal("MSG a 1 2\r\nhi\n\r"), "does not end where its line says"));
}

}  // namespace bascule::nats
