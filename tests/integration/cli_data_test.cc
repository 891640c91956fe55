// `bascule publish`, `subscribe` and `bench` against a broker in memory.
#include <doctest/doctest.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include "tests/integration/cli_fake_broker.h"
#include "tests/support/eventually.h"

namespace bascule::testing {
namespace {

using std::string_literals::operator""s;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_CASE("publish sends what was asked and prints the offset") {
  FakeBroker broker;
  broker.Add("orders", "orders.>", 2);
  const RunResult result =
      RunCli(broker, {"publish", "orders", "hello", "-p", "1", "--key", "k", "-H", "a=b=c", "--ack",
                      "leader", "--correlation-id", "id"});
  CHECK(result.exit.code == 0);
  CHECK(result.output == "0\n");
  CHECK(result.errors.empty());
  const proto::PublishRequest sent = broker.Published().at(0);
  CHECK(sent.partition() == 1);
  CHECK(sent.key() == "k");
  CHECK(sent.value() == "hello");
  CHECK(sent.headers().at("a") == "b=c");
  CHECK(sent.ackpolicy() == proto::LEADER);
  CHECK(sent.correlationid() == "id");
  CHECK(sent.expectedoffset() == -1);
  CHECK(RunCli(broker, {"publish", "orders", "x"}).exit.code == 0);
  CHECK(broker.Published().at(1).ackpolicy() == proto::ALL);
}

TEST_CASE("another stream's ack is said, and is no answer where offsets are checked") {
  FakeBroker broker;
  broker.ack_stream = "other";
  broker.Add("orders", "orders.>");
  for (const bool lines : {false, true}) {
    const auto publish = [&](std::vector<std::string> more) {
      std::vector<std::string> args{"publish", "orders"};
      if (!lines) args.push_back("value");
      args.insert(args.end(), more.begin(), more.end());
      return RunCli(broker, args, lines ? "one\ntwo\n" : "");
    };
    const RunResult group = publish({});
    CHECK(group.exit.code == 0);
    CHECK(group.errors.find("stored by stream other") != std::string::npos);
    const RunResult strict = publish({"--expect-offset", "7"});
    CHECK(strict.exit.code != 0);
    CHECK(strict.output.empty());
    CHECK(strict.errors.find("stream orders did not answer; stored by stream other") !=
          std::string::npos);
  }
}

TEST_CASE("lines count on from the offset that the first one is to get, from 0 too") {
  for (const int64_t first : {int64_t{-1}, int64_t{0}, int64_t{7}}) {
    CAPTURE(first);
    FakeBroker broker;
    broker.Add("orders", "orders.>");
    std::vector<std::string> args{"publish", "orders"};
    if (first >= 0) args.insert(args.end(), {"--expect-offset", std::to_string(first)});
    CHECK(RunCli(broker, args, "one\ntwo\nthree\n").exit.code == 0);
    const auto sent = broker.Published();
    REQUIRE(sent.size() == 3);
    for (size_t i = 0; i < sent.size(); ++i)
      CHECK(sent[i].expectedoffset() == (first < 0 ? -1 : first + static_cast<int64_t>(i)));
  }
}

TEST_CASE("a subscription reads many times what may wait in it at once") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  constexpr size_t kBytes = 512 * 1024;
  constexpr int kMessages = 80;  // 40 MiB
  for (int i = 0; i < kMessages; ++i)
    broker.Append("orders", std::string(kBytes, static_cast<char>('a' + i % 26)));
  const RunResult result =
      RunCli(broker, {"subscribe", "orders", "--until=latest", "--format", "raw"});
  CHECK(result.exit.code == 0);
  CHECK(result.output.size() == kMessages * (kBytes + 1));
}

TEST_CASE("every line of standard input is a message, in order") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  std::string input;
  std::string offsets;
  for (int i = 0; i < 3000; ++i) {
    input += "line " + std::to_string(i) + "\n";
    offsets += std::to_string(i) + "\n";
  }
  const RunResult result = RunCli(broker, {"publish", "orders", "--window", "16"}, input);
  CHECK(result.exit.code == 0);
  CHECK(result.output == offsets);
  CHECK(RunCli(broker, {"subscribe", "orders", "--format", "raw"}).output == input);
}

TEST_CASE("empty lines and a last line without an end are messages too") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  CHECK(RunCli(broker, {"publish", "orders", "-q", "--correlation-id", "job"}, "a\n\nlast")
            .output.empty());
  const auto sent = broker.Published();
  REQUIRE(sent.size() == 3);
  CHECK(sent[1].value().empty());
  CHECK(sent[2].value() == "last");
  CHECK(sent[2].correlationid() == "job-3");
  CHECK(RunCli(broker, {"publish", "orders"}, "").exit.code == 0);
}

TEST_CASE("no more lines are on their way than the window holds") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.silent = true;
  const RunResult result = RunCli(
      broker, {"publish", "orders", "--window", "3", "--timeout", "200ms"}, "a\nb\nc\nd\ne\n");
  CHECK(result.exit.code == 4);
  CHECK(broker.Published().size() == 3);
  CHECK(Has(result.errors, "the outcome of 3 is unknown"));
}

TEST_CASE("a refused line stops the rest and says how far it came") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.refuse_from = 2;
  const RunResult result =
      RunCli(broker, {"publish", "orders", "--window", "1"}, "a\nb\nc\nd\ne\n");
  CHECK(result.exit.code == 1);
  CHECK(result.output == "0\n1\n");
  CHECK(Has(result.errors, "line 3: not published: readonly partition: 0"));
  CHECK(broker.Published().size() < 5);
}

TEST_CASE("of several refused lines the first one is named") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.refuse_from = 2;
  const RunResult result = RunCli(broker, {"publish", "orders"}, "a\nb\nc\nd\ne\n");
  CHECK(result.exit.code == 1);
  CHECK(Has(result.errors, "line 3: not published: readonly partition: 0"));
  CHECK_FALSE(Has(result.errors, "line 4"));
  CHECK_FALSE(Has(result.errors, "line 5"));
}

TEST_CASE("an unknown target of a publish is status 3, with or without acks") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  for (const std::string ack : {"all", "none"}) {
    const RunResult lines = RunCli(broker, {"publish", "ordrs", "--ack", ack}, "a\n");
    CHECK(lines.exit.code == 3);
    CHECK(lines.errors ==
          "bascule: line 1: no stream ordrs on " + broker.address() + "; did you mean orders?\n");
  }
  CHECK(Has(RunCli(broker, {"publish", "orders", "x", "-p", "9"}).errors, "has no partition 9"));
  REQUIRE(RunCli(broker, {"stream", "create", "three", "-s", "three.x", "--partitions", "3"})
              .exit.code == 0);
  const RunResult fourth = RunCli(broker, {"subscribe", "three", "-p", "3"});
  CHECK(fourth.exit.code == 3);
  CHECK_MESSAGE(Has(fourth.errors, "its partitions are 0 to 2"), fourth.errors);
  const RunResult nobody =
      RunCli(broker, {"--timeout", "200ms", "publish", "--subject", "nowhere", "x"});
  CHECK(nobody.exit.code == 4);
  CHECK(Has(nobody.errors, "does any stream record it?"));
}

TEST_CASE("a subject takes a value or lines") {
  FakeBroker broker;
  broker.Add("audit", "audit");
  CHECK(RunCli(broker, {"publish", "--subject", "audit", "one"}).output == "0\n");
  CHECK(RunCli(broker, {"publish", "--subject", "audit"}, "two\nthree\n").output == "1\n2\n");
  CHECK(RunCli(broker, {"subscribe", "audit", "--format", "raw"}).output == "one\ntwo\nthree\n");
}

TEST_CASE("places of a subscription") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  for (int i = 0; i < 6; ++i) broker.Append("orders", std::to_string(i));
  const auto values = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {"subscribe", "orders", "--format", "raw", "--no-newline"});
    const RunResult result = RunCli(broker, args);
    CHECK(result.exit.code == 0);
    return result.output;
  };
  CHECK(values({}) == "012345");
  CHECK(values({"--from", "3"}) == "345");
  CHECK(values({"--from", "latest"}) == "5");
  CHECK(values({"--from", "2", "--until", "4"}) == "234");
  CHECK(values({"--from", "2023-11-14T22:13:24Z"}) == "45");
  CHECK(values({"--from", "@1700000003", "--count", "2"}) == "34");
  CHECK(values({"--from", "-10m"}).empty());  // later than everything: nothing, and no error
  CHECK(values({"--reverse"}) == "543210");
  CHECK(values({"--reverse", "--from", "4", "--until", "2"}) == "432");
  CHECK(values({"--reverse", "--count", "2"}) == "54");
  broker.Add("empty", "empty");
  CHECK(RunCli(broker, {"subscribe", "empty"}).exit.code == 0);
  CHECK(RunCli(broker, {"subscribe", "empty", "--reverse"}).exit.code == 0);
}

TEST_CASE("text is safe for a terminal, json is exact, raw is the bytes") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const std::string value = "\x1b[31m\xff\0"s;
  broker.Append("orders", value, "key", 0, 0, "orders.eu");
  broker.Append("orders", "caf\xc3\xa9");
  CHECK(RunCli(broker, {"subscribe", "orders"}).output ==
        "0  2023-11-14T22:13:20.000Z  orders.eu  key=key  \\x1b[31m\\xff\\x00\n"
        "1  2023-11-14T22:13:21.000Z  caf\xc3\xa9\n");
  const std::string json = RunCli(broker, {"subscribe", "orders", "--json"}).output;
  CHECK(
      Has(json, "\"subject\":\"orders.eu\",\"key\":\"key\",\"value_base64\":\"G1szMW3/AA==\"}\n"));
  CHECK(Has(json, "\"value\":\"caf\xc3\xa9\"}\n"));
  const TempDir folder;
  const std::string path = folder.path() + "/out";
  CHECK(RunCli(broker, {"subscribe", "orders", "--format", "raw", "--count", "1", "-o", path})
            .exit.code == 0);
  CHECK(ReadFile(path) == value);
  const RunResult full = RunCli(broker, {"subscribe", "orders", "-o", "/dev/full"});
  CHECK(full.exit.code == 1);
  CHECK(Has(full.errors, "cannot write /dev/full: No space left on device"));
}

TEST_CASE("following goes on until the interrupt, and sums up") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.Append("orders", "old");
  auto follower =
      ChildProcess::Start(Cli(broker, {"subscribe", "orders", "--from", "new", "--format", "raw"}))
          .value();
  broker.WaitForSubscribers(1);
  broker.Append("orders", "new");
  CHECK(Eventually([&] { return follower->Output() == "new\n"; }));
  follower->Signal(SIGINT);
  const auto exit = follower->WaitExit(std::chrono::seconds(20));
  REQUIRE(exit.has_value());
  CHECK(exit->ok());
  CHECK(follower->Output() == "new\n");
  CHECK(follower->Errors() == "1 message, offsets 1 to 1, 3 B\n");
}

TEST_CASE("a follower that loses its broker says so and gives up after --reconnect") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  auto follower =
      ChildProcess::Start(Cli(broker, {"subscribe", "orders", "--follow", "--reconnect", "1s"}))
          .value();
  broker.WaitForSubscribers(1);
  broker.Append("orders", "x");
  CHECK(Eventually([&] { return Has(follower->Output(), "x"); }));
  broker.Stop();
  const auto exit = follower->WaitExit(std::chrono::seconds(20));
  REQUIRE(exit.has_value());
  CHECK(exit->code == 4);
  CHECK(Has(follower->Errors(), "trying again for 1s"));
}

TEST_CASE("a follower goes on at the next server, where it was") {
  FakeBroker first;
  FakeBroker second;
  for (FakeBroker* broker : {&first, &second}) {
    broker->Add("orders", "orders.>");
    broker->Append("orders", "zero");
    broker->Append("orders", "one");
  }
  ChildOptions options = Cli(first, {"--server", first.address() + "," + second.address(),
                                     "subscribe", "orders", "--follow", "--format", "raw"});
  auto follower = ChildProcess::Start(options).value();
  CHECK(Eventually([&] { return Has(follower->Output(), "one\n"); }));
  first.Stop();
  second.Append("orders", "two");
  CHECK(Eventually([&] { return Has(follower->Output(), "two\n"); }));
  follower->Signal(SIGTERM);
  CHECK(follower->WaitExit(std::chrono::seconds(20)).value().ok());
  CHECK(follower->Output() == "zero\none\ntwo\n");
  CHECK(Has(follower->Errors(), "connected again, to " + second.address()));
}

proto::Broker At(const std::string& id, const FakeBroker& broker) {
  proto::Broker out;
  out.set_id(id);
  out.set_host("127.0.0.1");
  out.set_port(broker.port());
  return out;
}

TEST_CASE("a follower turns to brokers that only the metadata named") {
  FakeBroker first;
  FakeBroker second;
  first.brokers = {At("b1", first), At("b2", second)};
  for (FakeBroker* broker : {&first, &second}) {
    broker->Add("orders", "orders.>");
    broker->Append("orders", "zero");
  }
  auto follower =
      ChildProcess::Start(Cli(first, {"subscribe", "orders", "--follow", "--format", "raw"}))
          .value();
  CHECK(Eventually([&] { return Has(follower->Output(), "zero\n"); }));
  first.Stop();
  second.Append("orders", "one");
  CHECK(Eventually([&] { return Has(follower->Output(), "one\n"); }));
  follower->Signal(SIGTERM);
  CHECK(follower->WaitExit(std::chrono::seconds(20)).value().ok());
  CHECK(follower->Output() == "zero\none\n");
}

TEST_CASE("a follower waits for a new leader as long as it may, and not longer") {
  FakeBroker leader;
  FakeBroker other;
  leader.brokers = {At("b1", leader), At("b2", other)};
  other.brokers = {At("b2", other), At("b1", leader)};
  other.follows = true;
  for (FakeBroker* broker : {&leader, &other}) {
    broker->Add("orders", "orders.>");
    broker->Append("orders", "zero");
  }
  auto follower = ChildProcess::Start(Cli(leader, {"subscribe", "orders", "--follow", "--format",
                                                   "raw", "--reconnect", "2s"}))
                      .value();
  CHECK(Eventually([&] { return Has(follower->Output(), "zero\n"); }));
  leader.Stop();
  const auto exit = follower->WaitExit(std::chrono::seconds(30));
  REQUIRE(exit.has_value());
  CHECK(exit->code == 1);
  const std::string errors = follower->Errors();
  CHECK(Has(errors, "Server not partition leader"));
  const std::string note = "cannot be reached from here";  // once, however often it is tried
  CHECK(errors.find(note) == errors.rfind(note));
  CHECK_FALSE(Has(errors, "connected again"));
}

TEST_CASE("a reader that goes away ends the program without a complaint") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  for (int i = 0; i < 20'000; ++i) broker.Append("orders", std::string(100, 'x'));
  ChildOptions options = Cli(broker, {});
  options.args = {"-c", "set -o pipefail; " + options.program +
                            " subscribe orders | head -n 1; echo \"status $?\""};
  options.program = "bash";
  const RunResult result = RunProgram(options).value();
  CHECK(Has(result.output, "0  2023"));
  CHECK(Has(result.output, "status 0\n"));
  CHECK(result.errors.empty());
}

TEST_CASE("bench counts every ack and every message") {
  FakeBroker broker;
  const RunResult made = RunCli(broker, {"bench", "publish", "a", "b", "--create", "--count", "500",
                                         "--size", "10,1K", "--window", "7", "--json"});
  CHECK(made.exit.code == 0);
  CHECK(broker.Published().size() == 2000);
  CHECK(Has(made.output,
            "\"streams\":[\"a\",\"b\"],\"size\":10,\"window\":7,\"ack\":\"all\",\"messages\":1000,"
            "\"bytes\":10000,"));
  CHECK(Has(made.output, "\n{\"bench\":\"publish\",\"streams\":[\"a\",\"b\"],\"size\":1024"));
  const RunResult replay = RunCli(broker, {"bench", "replay", "a", "b", "--json"});
  CHECK(replay.exit.code == 0);
  CHECK(Has(replay.output, "\"messages\":2000,\"bytes\":1034000,\"errors\":0"));
  const RunResult missing = RunCli(broker, {"bench", "publish", "zzz"});
  CHECK(missing.exit.code == 3);
  CHECK(Has(missing.errors, "--create makes the streams"));
}

}  // namespace
}  // namespace bascule::testing
