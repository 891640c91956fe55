// A broker under small limits of open files: what does not fit is refused in time, with the reason,
// and what fits goes on being served.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/env/file_system.h"

#include "tests/integration/honest_publisher.h"
#include "tests/support/http2_client.h"

namespace bascule::main_job {
namespace {

void LimitFiles(MainBroker& broker, const std::string& limits) {
  broker.PutAt(broker.address(), {"sh", "-c", limits + "; exec \"$0\" \"$@\""});
}

int PortOf(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

grpc::Status TryCreate(MainBroker& broker, const std::string& name, int partitions) {
  v1::CreateStreamRequest request;
  request.set_name(name);
  request.set_subject(name);
  request.set_partitions(partitions);
  v1::CreateStreamResponse response;
  grpc::ClientContext context;
  Bound(context, std::chrono::seconds(60));
  return broker.own().CreateStream(&context, request, &response);
}

TEST_CASE("main: a soft limit of files is raised, and a restart with many partitions works") {
  const auto nats = StartNats();
  MainBroker broker(nats->url());
  LimitFiles(broker, "ulimit -Sn 1024");
  broker.Start();
  REQUIRE(TryCreate(broker, "many", 1000).ok());
  CHECK(broker.Publish("many", "one", 999) == 0);
  broker.Stop();
  broker.Start();
  CHECK(broker.Publish("many", "two", 999) > 0);
  broker.Stop();
}

TEST_CASE("main: partitions past the hard limit are refused with the remedy, now and at start") {
  const auto nats = StartNats();
  MainBroker broker(nats->url());
  LimitFiles(broker, "ulimit -n 512");
  broker.Start();
  BROKER_REQUIRE(broker, TryCreate(broker, "some", 150).ok());
  for (int round = 0; round < 2; ++round) {
    const grpc::Status refused = TryCreate(broker, "more", 100);
    CHECK(refused.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK_MESSAGE(Has(refused.error_message(), "with 512 open files it can hold 192"),
                  refused.error_message());
    CHECK(Has(refused.error_message(), "LimitNOFILE"));
  }
  BROKER_REQUIRE(broker, TryCreate(broker, "rest", 42).ok());
  CHECK(broker.Publish("rest", "x", 41) == 0);
  broker.Stop();
  broker.Start();
  CHECK(broker.Publish("some", "y", 149) >= 0);
  broker.Stop();
  LimitFiles(broker, "ulimit -n 384");
  CHECK(broker.StartRefused().code == 1);
  BROKER_CHECK(broker, Has(broker.Log(), "this broker would hold 192 partitions"));
  // The remedy that it names.
  const std::string log = broker.Log();
  const size_t at = log.find("to at least ");
  REQUIRE(at != std::string::npos);
  const int enough = std::stoi(log.substr(at + 12));
  LimitFiles(broker, "ulimit -n " + std::to_string(enough));
  broker.Start();
  CHECK(broker.Publish("some", "z", 149) > 0);
  broker.Stop();
}

size_t OpenFiles(const MainBroker& broker) {
  size_t n = 0;
  const std::string path = "/proc/" + std::to_string(broker.pid()) + "/fd";
  const auto entries = RealFileSystem().List(path);
  if (entries.ok()) n = entries->size();
  return n;
}

TEST_CASE("main: more connections than files, and the port accepts again when they are gone") {
  const auto nats = StartNats();
  MainBroker broker(nats->url());
  LimitFiles(broker, "ulimit -n 400");
  broker.Start();
  broker.CreateStream("honest", "honest");
  const HonestResult before = PublishUndisturbed(broker, "honest", "before");
  HonestPublisher publisher(broker, "honest", "beside");
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    {
      std::vector<Http2Client> idle;
      idle.reserve(600);
      for (int i = 0; i < 600; ++i) idle.emplace_back(PortOf(broker.address()));
      CHECK(idle.back().AwaitClosed(5000));
      CHECK(OpenFiles(broker) < 400);
    }
    // A new client, on a connection of its own.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    const auto channel =
        grpc::CreateCustomChannel(broker.address(), grpc::InsecureChannelCredentials(), arguments);
    BROKER_CHECK(broker, channel->WaitForConnected(std::chrono::system_clock::now() + kPatience));
  }
  const int done = publisher.done();
  CHECK(Eventually([&] { return publisher.done() >= done + 1500; }));
  const HonestResult beside = publisher.Stop();
  const HonestResult after = PublishUndisturbed(broker, "honest", "after");
  CheckUnhurried("600 idle connections", before, beside, after);
  CheckKept(broker, "honest", {&before, &beside, &after});
  const auto info = broker.Info();
  CHECK(info.counters().at("api_connections_refused_full") +
            info.counters().at("api_connections_refused_address") >=
        1000);
  CHECK(info.counters().at("api_connections_failed") == 0);
  BROKER_CHECK(broker, Has(broker.Log(), "see api.connections.max"));
  broker.Stop();
}

TEST_CASE("main: a limit of files that serves nobody is refused at start") {
  const auto nats = StartNats();
  MainBroker broker(nats->url());
  LimitFiles(broker, "ulimit -n 128");
  CHECK(broker.StartRefused().code == 1);
  BROKER_CHECK(broker, Has(broker.Log(), "the process may open 128 files"));
  LimitFiles(broker, "true");
  broker.args() = {"--set", "api.connections.max=900000"};
  LimitFiles(broker, "ulimit -n 4096");
  CHECK(broker.StartRefused().code == 1);
  BROKER_CHECK(broker, Has(broker.Log(), "lower api.connections.max"));
}

}  // namespace
}  // namespace bascule::main_job
