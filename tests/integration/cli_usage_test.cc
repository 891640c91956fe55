// The command line itself: wrong usage, help, servers that are not there.
#include <doctest/doctest.h>

#include "tests/integration/cli_fake_broker.h"

namespace bascule::testing {
namespace {

TEST_CASE("wrong usage exits with 2 and names the remedy") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  struct Case {
    std::vector<std::string> args;
    std::string says;
  };
  const std::vector<Case> cases = {
      {{"publsh", "x"}, "did you mean publish?"},
      {{"stream", "create", "a", "--subjct", "b"}, "did you mean --subject?"},
      {{"stream", "create", "a"}, "--subject is required"},
      {{"stream", "create", "a", "-s", "a", "--retention-max-age", "10"},
       "--retention-max-age: must be a duration such as 250ms, 1h30m or 7d"},
      {{"stream", "create", "a", "-s", "a", "--durability", "disk"},
       "--durability: must be \"fsync\" or \"os\", not \"disk\""},
      {{"stream", "create", "a", "-s", "a", "--segment-max-bytes", "1K"},
       "must be from 64KiB to 16GiB, or 0 for the default, not \"1K\""},
      {{"stream", "create", "a", "-s", "a", "--partitions", "0"}, "from 1 to 1000"},
      {{"cluster", "certs", "--server-id", "b1", "--days", "0"}, "from 1 to 36500"},
      {{"stream", "update", "a"}, "say what to change"},
      {{"stream", "update", "a", "--subject", "b"}, "is not understood here"},
      {{"cluster", "add", ":9293"}, "has no host"},
      {{"cluster", "add", "h:0"}, "write host:port"},
      {{"cluster", "remove"}, "SERVER-ID is required"},
      {{"cluster", "certs"}, "--server-id is required"},
      {{"cluster", "states"}, "did you mean status?"},
      {{"publish"}, "STREAM or --subject is required"},
      {{"publish", "orders", "x", "-H", "novalue"}, "write name=value"},
      {{"publish", "orders", "x", "-H", "subject=a"}, "reserved"},
      {{"publish", "orders", "x", "-H", "a=1", "-H", "a=2"}, "given twice"},
      {{"publish", "orders", "x", "--subject", "s"}, "--subject takes the place of STREAM"},
      {{"publish", "orders", "x", "--ack", "maybe"}, "is not all, leader or none"},
      {{"subscribe", "orders", "--from", "banana"}, "no place in a log"},
      {{"subscribe", "orders", "--follow", "--until", "5"}, "--follow never ends"},
      {{"subscribe", "orders", "--follow", "--reverse"}, "cannot --follow"},
      {{"subscribe", "orders", "--from", "new", "--until", "latest"}, "before --from new"},
      {{"subscribe", "orders", "--from", "5", "--until", "3"}, "--until lies before --from"},
      {{"subscribe", "orders", "--count", "0"}, "a whole number from 1 up"},
      {{"subscribe", "orders", "-p", "-1"}, "-1"},
      {{"--server", "http://x", "stream", "list"}, "write host:port"},
      {{"--server", "x:99999", "stream", "list"}, "write host:port"},
      {{"--timeout", "0", "stream", "list"}, "must be more than 0"},
      {{"bench", "publish", "orders", "--size", "1G"}, "64 MiB"},
      {{"--tls-cert", "x.pem", "stream", "list"}, "--tls-key"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.says);
    const RunResult result = RunCli(broker, one.args);
    CHECK(result.exit.code == 2);
    CHECK(result.output.empty());
    CHECK(result.errors.find("bascule: ") == 0);
    CHECK(Has(result.errors, one.says));
  }
}

TEST_CASE("help has examples everywhere, and the exit statuses at the top") {
  FakeBroker broker;
  const std::vector<std::vector<std::string>> commands = {{},
                                                          {"stream"},
                                                          {"stream", "create"},
                                                          {"stream", "update"},
                                                          {"stream", "list"},
                                                          {"stream", "info"},
                                                          {"stream", "delete"},
                                                          {"cluster"},
                                                          {"cluster", "status"},
                                                          {"cluster", "add"},
                                                          {"cluster", "remove"},
                                                          {"cluster", "transfer"},
                                                          {"cluster", "certs"},
                                                          {"publish"},
                                                          {"subscribe"},
                                                          {"server", "info"},
                                                          {"bench", "publish"},
                                                          {"bench", "replay"}};
  for (std::vector<std::string> command : commands) {
    command.emplace_back("--help");
    const RunResult help = RunCli(broker, command);
    CHECK(help.exit.code == 0);
    CHECK(help.errors.empty());
    CHECK(Has(help.output, "Examples:\n  bascule "));
    std::istringstream lines(help.output);
    for (std::string line; std::getline(lines, line);) CHECK_MESSAGE(line.size() <= 80, line);
  }
  CHECK(Has(RunCli(broker, {"--help"}).output, "5 data damaged"));
  const RunResult nothing = RunCli(broker, {});
  CHECK(nothing.exit.code == 2);
  CHECK(Has(nothing.errors, "Usage: bascule"));
}

TEST_CASE("a server that is not there: status 4, and the next of the list is asked") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const std::string gone = "127.0.0.1:" + std::to_string(PickFreePort());
  const RunResult unreachable = RunCli(broker, {"--server", gone, "stream", "list"});
  CHECK(unreachable.exit.code == 4);
  CHECK(unreachable.errors ==
        "bascule: cannot reach " + gone +
            ": connection refused; is basculed running there? (--server HOST:PORT or "
            "BASCULE_SERVER)\n");
  const RunResult next =
      RunCli(broker, {"--server", gone + "," + broker.address(), "stream", "list"});
  CHECK(next.exit.code == 0);
  CHECK(Has(next.output, "orders"));
  CHECK(RunCli(broker, {"stream", "list", "--server", gone, "--server", broker.address()})
            .exit.code == 0);
}

TEST_CASE("TLS towards a server without it is an unreachable server with a hint") {
  FakeBroker broker;
  const RunResult result = RunCli(broker, {"--tls", "stream", "list"});
  CHECK(result.exit.code == 4);
  CHECK(Has(result.errors, "does the server speak TLS"));
  const RunResult file = RunCli(broker, {"--tls-ca", "/nonexistent.pem", "stream", "list"});
  CHECK(file.exit.code == 2);
  CHECK(Has(file.errors, "cannot read /nonexistent.pem"));
}

TEST_CASE("a broker that does not answer in time") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.silent = true;
  const RunResult unary = RunCli(broker, {"--timeout", "200ms", "publish", "orders", "x"});
  CHECK(unary.exit.code == 4);
  CHECK(
      Has(unary.errors, "no ack from orders within 200ms; the message may or may not be recorded"));
  const RunResult lines = RunCli(broker, {"publish", "orders", "--timeout", "200ms"}, "a\nb\n");
  CHECK(lines.exit.code == 4);
  CHECK(Has(lines.errors, "0 of 2 lines stored, the outcome of 2 is unknown"));
  broker.ignores_subscribe = true;
  const RunResult subscribe =
      RunCli(broker, {"--timeout", "200ms", "subscribe", "orders", "--follow"});
  CHECK(subscribe.exit.code == 4);
}

}  // namespace
}  // namespace bascule::testing
