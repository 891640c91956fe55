// What scripts see when something fails half-way: the exit status, what was printed until then, and
// one line that says why.
#include <doctest/doctest.h>

#include "tests/integration/cli_fake_broker.h"

namespace bascule::testing {
namespace {

// `bascule ARGS` with its standard streams as the shell's `redirections` say.
RunResult RunRedirected(const FakeBroker& broker, const std::string& args,
                        const std::string& redirections) {
  ChildOptions options = Cli(broker, {});
  options.args = {"-c", "exec " + options.program + " " + args + " " + redirections};
  options.program = "bash";
  return RunProgram(options).value();
}

FakeBroker& WithMessages(FakeBroker& broker, int count) {
  broker.Add("orders", "orders.>");
  for (int i = 0; i < count; ++i) broker.Append("orders", "m" + std::to_string(i));
  return broker;
}

TEST_CASE("every answer of a server has its exit status") {
  FakeBroker broker;
  WithMessages(broker, 1);
  const std::pair<grpc::StatusCode, int> cases[] = {{grpc::StatusCode::CANCELLED, 1},
                                                    {grpc::StatusCode::UNKNOWN, 1},
                                                    {grpc::StatusCode::INVALID_ARGUMENT, 1},
                                                    {grpc::StatusCode::DEADLINE_EXCEEDED, 4},
                                                    {grpc::StatusCode::NOT_FOUND, 3},
                                                    {grpc::StatusCode::ALREADY_EXISTS, 1},
                                                    {grpc::StatusCode::PERMISSION_DENIED, 1},
                                                    {grpc::StatusCode::RESOURCE_EXHAUSTED, 1},
                                                    {grpc::StatusCode::FAILED_PRECONDITION, 1},
                                                    {grpc::StatusCode::UNIMPLEMENTED, 1},
                                                    {grpc::StatusCode::INTERNAL, 1},
                                                    {grpc::StatusCode::UNAVAILABLE, 1},
                                                    {grpc::StatusCode::DATA_LOSS, 5},
                                                    {grpc::StatusCode::UNAUTHENTICATED, 1}};
  for (const auto& [code, status] : cases) {
    CAPTURE(static_cast<int>(code));
    broker.list_answer = {code, "because"};
    for (const auto& args :
         {std::vector<std::string>{"stream", "list"}, {"publish", "orders", "x"}}) {
      CAPTURE(args[0]);
      const RunResult result = RunCli(broker, args);
      CHECK(result.exit.code == status);
      CHECK(result.output.empty());
      CHECK(result.errors.starts_with("bascule: "));
    }
  }
}

TEST_CASE("what a server cannot do now it says itself; a connection that ends is another thing") {
  FakeBroker broker;
  WithMessages(broker, 1);
  const std::string full =
      "the metadata leader took nothing for 4.7 s; nothing was changed: the disk is nearly full";
  const std::string leaderless =
      "no metadata leader for 5.0 s: a majority of the voting brokers must be reachable; nothing "
      "was changed";
  const std::string quoted = "the peer at b2:9293: Socket closed";
  struct Case {
    grpc::Status answer;
    int code;
    std::string says;
  };
  const Case cases[] = {
      {{grpc::StatusCode::UNAVAILABLE, full}, 1, "cannot create stream k: " + full + "\n"},
      {{grpc::StatusCode::UNAVAILABLE, quoted}, 1, "cannot create stream k: " + quoted + "\n"},
      {{grpc::StatusCode::UNAVAILABLE, leaderless},
       7,
       "cannot create stream k: " + leaderless + "; bascule cluster status"},
      {{grpc::StatusCode::INTERNAL, "no known metadata leader"}, 7, "no known metadata leader"},
      {{grpc::StatusCode::UNAVAILABLE, "Socket closed"}, 4, "was lost (Socket closed)"},
      {{grpc::StatusCode::UNAVAILABLE, "the server is stopping"}, 4, "was lost (the server is"}};
  for (const Case& one : cases) {
    CAPTURE(one.says);
    broker.create_answer = one.answer;
    const RunResult result = RunCli(broker, {"stream", "create", "k", "-s", "k"});
    CHECK(result.exit.code == one.code);
    CHECK(result.output.empty());
    CHECK(Has(result.errors, one.says));
    CHECK(Has(result.errors, "was lost") == (one.code == 4));
  }
}

TEST_CASE("a partition that cannot be read is no lost connection") {
  FakeBroker broker;
  WithMessages(broker, 1);
  const std::string why = "streams/8/0/log.bounds: neither of its two slots is sound";
  broker.refuse_subscribe = {grpc::StatusCode::UNAVAILABLE, why};
  for (const char* how : {"--until=latest", "--follow"}) {
    const RunResult result = RunCli(broker, {"subscribe", "orders", how});
    CHECK(result.exit.code == 1);
    CHECK(Has(result.errors, "cannot read orders/0: " + why + "; bascule stream info orders"));
  }
  broker.refuse_after = 1;
  broker.end_after = 1;
  broker.end_with = {grpc::StatusCode::UNAVAILABLE, why};
  const RunResult result =
      RunCli(broker, {"subscribe", "orders", "--follow", "--reconnect", "1ms"});
  CHECK(result.exit.code == 1);
  CHECK(Has(result.errors, broker.address() + " serves it no more (" + why + "); trying again"));
  CHECK_FALSE(Has(result.errors, "was lost"));
}

TEST_CASE("what a leader says is not taken for the loss of the broker that named it") {
  const std::string why = "the partition cannot be read now";
  for (const bool both_away : {false, true}) {
    CAPTURE(both_away);
    FakeBroker leader;
    FakeBroker named;
    WithMessages(leader, 1);
    WithMessages(named, 1);
    const auto add = [&](const char* id, int port) {
      proto::Broker& broker = named.brokers.emplace_back();
      broker.set_id(id);
      broker.set_host("127.0.0.1");
      broker.set_port(port);
    };
    add("b0", named.port());
    add("b1", leader.port());
    leader.refuse_subscribe = {grpc::StatusCode::UNAVAILABLE, both_away ? "Socket closed" : why};
    leader.on_subscribe = [&] { named.Stop(); };
    const RunResult result = RunCli(named, {"subscribe", "orders", "--until=latest"});
    CHECK(result.exit.code == (both_away ? 4 : 1));
    CHECK_MESSAGE(
        Has(result.errors, both_away ? "the connection to " + leader.address() + " was lost"
                                     : "cannot read orders/0: " + why + "; bascule stream"),
        result.errors);
  }
}

TEST_CASE("only a server that is away is passed over; any other error is the answer") {
  FakeBroker first;
  FakeBroker second;
  WithMessages(first, 1);
  WithMessages(second, 1);
  const std::string both = first.address() + "," + second.address();
  for (const auto code : {grpc::StatusCode::INTERNAL, grpc::StatusCode::PERMISSION_DENIED,
                          grpc::StatusCode::DATA_LOSS, grpc::StatusCode::UNKNOWN}) {
    first.list_answer = {code, "because"};
    const RunResult result = RunCli(first, {"--server", both, "stream", "list"});
    CHECK(result.exit.code == (code == grpc::StatusCode::DATA_LOSS ? 5 : 1));
    CHECK(Has(result.errors, "because"));
    CHECK(second.lists == 0);
  }
  first.list_answer = {grpc::StatusCode::UNAVAILABLE, "going down"};
  const RunResult result = RunCli(first, {"--server", both, "stream", "list"});
  CHECK(result.exit.code == 0);
  CHECK(Has(result.output, "orders"));
  CHECK(Has(result.errors, "asking the next server"));
  CHECK(second.lists == 1);
}

TEST_CASE("damage in the middle of a log: what came before it is printed, status 5") {
  FakeBroker broker;
  WithMessages(broker, 5);
  broker.end_after = 3;
  broker.end_with = {grpc::StatusCode::DATA_LOSS, "offsets 3 to 4 are damaged in 000.log"};
  for (const char* how : {"--until=latest", "--follow"}) {
    const RunResult result = RunCli(broker, {"subscribe", "orders", "--format", "raw", how});
    CHECK(result.exit.code == 5);
    CHECK(result.output == "m0\nm1\nm2\n");
    CHECK(Has(result.errors, "offsets 3 to 4 are damaged in 000.log"));
    CHECK(Has(result.errors, "bascule log verify"));
  }
}

TEST_CASE("a subscription that ends before its end is no success") {
  FakeBroker broker;
  WithMessages(broker, 5);
  broker.end_after = 3;
  const RunResult result = RunCli(broker, {"subscribe", "orders", "--format", "raw"});
  CHECK(result.exit.code == 4);
  CHECK(result.output == "m0\nm1\nm2\n");
  CHECK(Has(result.errors, "the server ended it before its end"));
  broker.end_with = {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many subscribers"};
  CHECK(RunCli(broker, {"subscribe", "orders"}).exit.code == 1);
  broker.end_with = {grpc::StatusCode::NOT_FOUND, "commit log was deleted"};
  CHECK(RunCli(broker, {"subscribe", "orders", "--follow"}).exit.code == 3);
}

TEST_CASE("a call that ends without the last acks is no success, whatever its status") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const std::string lines = "a\nb\nc\n";
  broker.hang_up_after = 2;
  const RunResult ended = RunCli(broker, {"publish", "orders"}, lines);
  CHECK(ended.exit.code == 4);
  CHECK(ended.output == "0\n1\n");
  CHECK(Has(ended.errors, "2 of 3 lines stored, the outcome of 1 is unknown"));
  CHECK(Has(ended.errors, "the server ended the call before the last acks"));
  broker.hang_up = {grpc::StatusCode::DATA_LOSS, "the log is damaged"};
  CHECK(RunCli(broker, {"publish", "orders"}, lines).exit.code == 5);
  broker.hang_up = {grpc::StatusCode::INTERNAL, "out of order"};
  const RunResult failed = RunCli(broker, {"publish", "orders"}, lines);
  CHECK(failed.exit.code == 1);
  CHECK(Has(failed.errors, "out of order"));
}

TEST_CASE("an ack that says no is no success") {
  FakeBroker broker;
  broker.Add("orders", "orders.in");
  broker.ack_error = proto::Ack::TOO_LARGE;
  const RunResult one = RunCli(broker, {"publish", "--subject", "orders.in", "x"});
  CHECK(one.exit.code == 1);
  CHECK(one.output.empty());
  CHECK(Has(one.errors, "message exceeds max replication size"));
  const RunResult lines = RunCli(broker, {"publish", "--subject", "orders.in"}, "a\nb\n");
  CHECK(lines.exit.code == 1);
  CHECK(Has(lines.errors, "that was line 1"));
}

TEST_CASE("an input that cannot be read and an output that cannot be written are status 1") {
  FakeBroker broker;
  broker.Add("orders", "orders.in");
  for (const char* target : {"publish orders", "publish --subject orders.in"}) {
    const RunResult unread = RunRedirected(broker, target, "< /");
    CHECK(unread.exit.code == 1);
    CHECK(Has(unread.errors, "cannot read standard input: Is a directory"));
  }
  broker.Append("orders", "m0");
  for (const char* command : {"subscribe orders", "stream list", "--json stream info orders"}) {
    CAPTURE(command);
    const RunResult unwritten = RunRedirected(broker, command, "> /dev/full");
    CHECK(unwritten.exit.code == 1);
    CHECK(Has(unwritten.errors, "cannot write standard output"));
  }
  const RunResult file = RunCli(broker, {"subscribe", "orders", "-o", "/dev/full"});
  CHECK(file.exit.code == 1);
  CHECK(Has(file.errors, "cannot write /dev/full"));
}

}  // namespace
}  // namespace bascule::testing
