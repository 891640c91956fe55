#include "tests/integration/cluster_network.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/child_process.h"

namespace bascule::cluster_job {
namespace {

// `ip` with these words.
absl::Status Ip(const std::string& command) {
  ChildOptions options;
  options.program = "ip";
  options.args = absl::StrSplit(command, ' ');
  auto run = RunProgram(options);
  if (!run.ok()) return absl::UnavailableError(run.status().message());
  if (run->exit.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("ip ", command, ": ", run->errors, run->output));
}

}  // namespace

// At most 15 characters, and not another test's.
std::string CutNetwork::Name(const std::string& kind, int number) const {
  return absl::StrCat("bt", getpid() % 100000, kind, number);
}

std::vector<std::string> CutNetwork::Launcher(int broker) const {
  return {"ip", "netns", "exec", Name("n", broker)};
}

std::string CutNetwork::PeerHost(int broker) const { return absl::StrCat("198.18.1.", broker + 1); }

std::string CutNetwork::ClientHost(int broker) const {
  return absl::StrCat("198.18.2.", broker + 1);
}

absl::StatusOr<std::unique_ptr<CutNetwork>> CutNetwork::Make(int brokers) {
  if (geteuid() != 0) return absl::UnavailableError("only root makes network namespaces");
  std::unique_ptr<CutNetwork> network(new CutNetwork(brokers));
  RETURN_IF_ERROR(network->Build());
  return network;
}

absl::Status CutNetwork::Build() {
  const std::string inside = absl::StrCat("-n ", Switch(), " ");
  RETURN_IF_ERROR(Ip("netns add " + Switch()));
  for (const std::string& bridge : {std::string("clients"), Side(0), Side(1), Side(2)}) {
    RETURN_IF_ERROR(Ip(absl::StrCat(inside, "link add ", bridge, " type bridge")));
    RETURN_IF_ERROR(Ip(absl::StrCat(inside, "link set ", bridge, " up")));
  }
  const std::string test = Name("t", 0);
  RETURN_IF_ERROR(
      Ip(absl::StrCat("link add ", test, " type veth peer name test netns ", Switch())));
  RETURN_IF_ERROR(Ip(absl::StrCat(inside, "link set test master clients up")));
  RETURN_IF_ERROR(Ip(absl::StrCat("addr add ", TestHost(), "/24 dev ", test)));
  RETURN_IF_ERROR(Ip(absl::StrCat("link set ", test, " up")));
  for (int i = 0; i < brokers_; ++i) {
    RETURN_IF_ERROR(Ip("netns add " + Name("n", i)));
    RETURN_IF_ERROR(Ip(absl::StrCat("-n ", Name("n", i), " link set lo up")));
    RETURN_IF_ERROR(Connect(i, "p", PeerHost(i), Side(0)));
    RETURN_IF_ERROR(Connect(i, "c", ClientHost(i), "clients"));
    RETURN_IF_ERROR(Ip(absl::StrCat("netns exec ", Name("n", i), " true")));
  }
  return absl::OkStatus();
}

absl::Status CutNetwork::Connect(int broker, const std::string& kind, const std::string& host,
                                 const std::string& bridge) {
  const std::string inside = absl::StrCat("-n ", Name("n", broker), " ");
  const std::string outside = absl::StrCat("-n ", Switch(), " ");
  const std::string port = absl::StrCat(kind, broker);
  RETURN_IF_ERROR(Ip(
      absl::StrCat(inside, "link add ", kind, " type veth peer name ", port, " netns ", Switch())));
  RETURN_IF_ERROR(Ip(absl::StrCat(outside, "link set ", port, " master ", bridge, " up")));
  RETURN_IF_ERROR(Ip(absl::StrCat(inside, "addr add ", host, "/24 dev ", kind)));
  return Ip(absl::StrCat(inside, "link set ", kind, " up"));
}

// The interfaces go with their namespaces.
CutNetwork::~CutNetwork() {
  Ip("link del " + Name("t", 0)).IgnoreError();
  for (int i = 0; i < brokers_; ++i) Ip("netns del " + Name("n", i)).IgnoreError();
  Ip("netns del " + Switch()).IgnoreError();
}

absl::Status CutNetwork::Cut(const std::vector<int>& side_of) {
  for (int i = 0; i < brokers_; ++i) {
    const std::string bridge = Side(side_of.at(static_cast<size_t>(i)));
    RETURN_IF_ERROR(Ip(absl::StrCat("-n ", Switch(), " link set p", i, " master ", bridge)));
  }
  return absl::OkStatus();
}

// An address of the link layer that nobody has: a route that refuses would tell the sender at once.
absl::Status CutNetwork::CutOneWay(int from, int to) {
  RETURN_IF_ERROR(Ip(absl::StrCat("-n ", Name("n", from), " neigh replace ", PeerHost(to),
                                  " lladdr 02:00:00:00:00:01 dev p nud permanent")));
  one_way_.emplace_back(from, to);
  return absl::OkStatus();
}

absl::Status CutNetwork::Heal() {
  for (const auto& [from, to] : std::exchange(one_way_, {}))
    RETURN_IF_ERROR(
        Ip(absl::StrCat("-n ", Name("n", from), " neigh del ", PeerHost(to), " dev p")));
  return Cut(std::vector<int>(static_cast<size_t>(brokers_), 0));
}

}  // namespace bascule::cluster_job
