// The network between simulated brokers: PeerPort on the virtual time line. Messages are lost,
// late, doubled and overtaken as a seed says; cuts go one way or both; a call whose answer does not
// come ends as unknown. Lines of replicas are in sim_lines.h.
//
//   SimNetwork network(scheduler);
//   network.faults.loss = 0.05;
//   std::unique_ptr<PeerPort> b1 =
//       network.Connect({PeerId(1), "b1", "b1:9293", 42, 1}, events);
//   network.Cut(PeerId(1), PeerId(2));      1 is not heard by 2
//
// Handlers are called from an executor of the network's own, as from foreign threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "replication/peer_port.h"
#include "tests/support/sim_executor.h"

namespace bascule {

class SimLines;

struct SimNetworkFaults {
  double loss = 0;  // probabilities, for each message, request and answer
  double duplication = 0;
  double reorder = 0;
  double line_breaks = 0;                          // for each frame of a line of replicas
  Duration delay = std::chrono::milliseconds(2);   // up to
  Duration late = std::chrono::milliseconds(200);  // what is overtaken comes later by up to this
};

class SimNetwork {
 public:
  explicit SimNetwork(SimScheduler& scheduler);
  ~SimNetwork();

  // A process. Its end is the transport's: calls of it are dropped without a word, calls to it end
  // as unknown. `events` may be null.
  std::unique_ptr<PeerPort> Connect(PeerIdentity self, PeerEvents* events = nullptr);
  void Cut(PeerId from, PeerId to);
  // The connection that `from` dialled to `to` breaks, and is made again after `back`.
  void Break(PeerId from, PeerId to, Duration back);
  void Isolate(PeerId id);
  // Members of `side` hear only each other, and so do the rest.
  void Partition(const std::set<PeerId>& side);
  void Heal() { cuts_.clear(); }
  SimNetworkFaults faults;
  // Told of each message: who, to whom, what.
  std::function<void(PeerId, PeerId, std::string_view)> watch;

 private:
  friend class SimTransport;
  friend class SimLines;
  struct Endpoint;
  struct Pending;
  using EndpointPtr = std::shared_ptr<Endpoint>;
  using Arrive = std::function<void(Endpoint&)>;

  void Disconnect(const EndpointPtr& endpoint);
  enum class Between { kPeers, kStrangers };
  // Runs `arrive` at `to` unless something comes between; `copies`: it may come twice. Peers hear only
  // those whom they were told of, of their own cluster.
  void Pass(PeerId from, PeerId to, bool copies, Between between, const Arrive& arrive);
  bool Hears(const Endpoint& there, PeerId from);
  // As Pass, with an answer. `ask` is run at `to` with what answers.
  void Ask(const EndpointPtr& from, PeerId to, Between between, Duration timeout,
           PeerTransport::Done done, std::function<void(Endpoint&, PeerHandler::Respond)> ask);
  void Finish(const std::shared_ptr<Pending>& pending, absl::StatusOr<std::string> answer);
  Duration DrawDelay();
  Endpoint* Find(PeerId id);
  void Announce(Endpoint& from, PeerId to);

  SimScheduler& scheduler_;
  SimExecutor& wire_;
  std::map<PeerId, EndpointPtr> endpoints_;
  std::set<std::pair<PeerId, PeerId>> cuts_;
  const std::unique_ptr<SimLines> lines_;
};

}  // namespace bascule
