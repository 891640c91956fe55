// The data directory of a broker of version 0.1, before there were clusters (fixtures/), under this
// one.
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

using main_job::Values;

void CheckOldStreams(MainBroker& broker) {
  const v1::Stream orders = broker.Describe("orders");
  CHECK(orders.id() == 3);
  CHECK(orders.subject() == "orders");
  CHECK(orders.partitions_size() == 2);
  CHECK(orders.settings().retention_max_age_ms() == 0);
  CHECK(orders.created() == 1795424124226193629);
  CHECK(broker.Describe("small").group() == "g");
  CHECK(broker.Describe("small").settings().retention_max_messages() == 1000);
  CHECK(Values(broker.ReadAll("orders", 0)) ==
        std::vector<std::string>{"order 1", "order 2", "order 3"});
  CHECK(Values(broker.ReadAll("orders", 1)) == std::vector<std::string>{"other"});
  CHECK(Values(broker.ReadAll("small")) == std::vector<std::string>{"tiny"});
}

TEST_CASE("cluster: a directory of before clusters is upgraded in place, and starts a cluster") {
  const char* source = std::getenv("BASCULE_SOURCE");
  REQUIRE(source != nullptr);
  TempDir files;
  const std::string data = files.Path("data");
  std::filesystem::copy(std::string(source) + "/tests/integration/fixtures/single-broker-0.1", data,
                        std::filesystem::copy_options::recursive);
  auto nats = StartNats();
  MainBroker old(nats->url(), {"--namespace", kNamespace}, data);
  for (int start = 0; start < 2; ++start) {
    CAPTURE(start);
    old.Start();
    CHECK(old.Info().server_id() == "old1");
    CheckOldStreams(old);
    CHECK(Has(old.Log(), "becomes that of a metadata group") == (start == 0));
    CHECK_FALSE(std::filesystem::exists(data + "/meta/log"));
    old.Stop();
  }
  // It becomes the first member of a cluster.
  const std::string peer = absl::StrCat("127.0.0.1:", PickFreePort());
  for (const char* arg : {"--cluster-insecure", "--cluster-listen"}) old.args().push_back(arg);
  old.args().push_back(peer);
  old.Start();
  CheckOldStreams(old);
  old.CreateStream("new", "new");
  CHECK(old.Describe("new").id() > 4);
  MainBroker second(nats->url(),
                    {"--server-id", "b2", "--namespace", kNamespace, "--cluster-listen",
                     absl::StrCat("127.0.0.1:", PickFreePort()), "--cluster-insecure"});
  second.Start();
  CHECK_MESSAGE(Eventually([&] {
                  const auto status = StatusOf(second);
                  return status && status->members_size() == 2 && status->degraded_size() == 0 &&
                         status->members(1).peer_address() == peer;
                }),
                old.Tail(), second.Tail());
  CHECK(TableOf(second) == TableOf(old));
  const grpc::Status made = CreateStream(second.api(), "newer", kPatience);
  CHECK_MESSAGE(made.ok(), made.error_message());
  CheckOldStreams(old);
}

}  // namespace
}  // namespace bascule::cluster_job
