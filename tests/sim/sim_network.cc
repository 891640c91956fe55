#include "tests/sim/sim_network.h"

#include "core/base/text.h"
#include "tests/sim/sim_endpoint.h"
#include "tests/sim/sim_lines.h"
#include "tests/support/sim_rng.h"

namespace bascule {

struct SimNetwork::Pending {
  EndpointPtr from;
  PeerTransport::Done done;  // null once it was called
};

class SimTransport final : public PeerPort {
 public:
  SimTransport(SimNetwork& network, SimNetwork::EndpointPtr endpoint)
      : network_(network), endpoint_(std::move(endpoint)) {}
  ~SimTransport() override { Stop(); }

  void SetCluster(std::string cluster_id) override { endpoint_->cluster = std::move(cluster_id); }
  std::vector<std::string> Degraded() const override { return {}; }
  std::map<std::string, uint64_t> ReadCounters() const override { return {}; }
  void Stop() override {
    if (endpoint_->up) network_.Disconnect(endpoint_);
  }

  void Handle(PeerService service, PeerHandler& handler) override {
    endpoint_->handlers[service] = &handler;
  }
  void AddPeer(PeerId id, std::string /*server_id*/, std::string /*address*/) override {
    if (endpoint_->peers.insert(id).second) network_.Announce(*endpoint_, id);
  }
  void RemovePeer(PeerId id) override {
    endpoint_->peers.erase(id);
    network_.lines_->Remove(*endpoint_, id);
  }
  void CarryReplicas(ReplicaTraffic& traffic) override { endpoint_->traffic = &traffic; }
  void WakeReplicas(PeerId to, ReplicaLane lane) override {
    network_.lines_->Wake(endpoint_, to, lane);
  }

  void Send(PeerId to, PeerService service, std::string message) override {
    if (!endpoint_->peers.contains(to)) return;
    network_.Pass(endpoint_->self.id, to, true, SimNetwork::Between::kPeers,
                  [from = endpoint_->self, service, message](SimNetwork::Endpoint& there) {
                    PeerHandler* handler = there.HandlerOf(service);
                    if (handler != nullptr) handler->OnPeerMessage(from, message);
                  });
  }
  void Call(PeerId to, PeerService service, std::string request, Duration timeout,
            Done done) override {
    if (!endpoint_->peers.contains(to)) return done(absl::UnavailableError("no such peer"));
    network_.Ask(endpoint_, to, SimNetwork::Between::kPeers, timeout, std::move(done),
                 [from = endpoint_->self, service, request, timeout](SimNetwork::Endpoint& there,
                                                                     PeerHandler::Respond respond) {
                   PeerHandler* handler = there.HandlerOf(service);
                   if (handler != nullptr)
                     handler->OnPeerCall(from, request, timeout, std::move(respond));
                 });
  }
  void SendBulk(PeerId to, PeerService service, std::string header,
                std::shared_ptr<const std::string> body, Duration timeout, Done done) override {
    if (!endpoint_->peers.contains(to)) return done(absl::UnavailableError("no such peer"));
    network_.Ask(endpoint_, to, SimNetwork::Between::kPeers, timeout, std::move(done),
                 [from = endpoint_->self, service, header, body](SimNetwork::Endpoint& there,
                                                                 PeerHandler::Respond respond) {
                   PeerHandler* handler = there.HandlerOf(service);
                   if (handler != nullptr)
                     handler->OnPeerBulk(from, header, *body, std::move(respond));
                 });
  }
  void Redirect(PeerId, std::string) override {}  // everybody is found by its node id
  // Certificates say who it is.
  void IntroduceTo(std::string server_id, std::string address, std::string request,
                   Duration timeout, Done done) override {
    IntroduceAt(address, server_id, std::move(request), timeout, std::move(done));
  }
  void Introduce(std::string address, std::string request, Duration timeout, Done done) override {
    IntroduceAt(address, "", std::move(request), timeout, std::move(done));
  }

 private:
  void IntroduceAt(const std::string& address, const std::string& server_id, std::string request,
                   Duration timeout, Done done) {
    for (const auto& [id, other] : network_.endpoints_) {
      const bool right = server_id.empty() || other->self.server_id == server_id;
      if (other->self.address != address || !right) continue;
      return network_.Ask(endpoint_, id, SimNetwork::Between::kStrangers, timeout, std::move(done),
                          [server_id = endpoint_->self.server_id, request, timeout](
                              SimNetwork::Endpoint& there, PeerHandler::Respond respond) {
                            if (there.events == nullptr) return;
                            there.events->OnIntroduction(server_id, request, timeout,
                                                         std::move(respond));
                          });
    }
    done(absl::UnavailableError(Concat("nobody answers at ", address)));
  }

  SimNetwork& network_;
  const SimNetwork::EndpointPtr endpoint_;
};

SimNetwork::SimNetwork(SimScheduler& scheduler)
    : scheduler_(scheduler),
      wire_(scheduler.NewExecutor("network")),
      lines_(std::make_unique<SimLines>(*this)) {}

// What is under way refers to endpoints that are gone.
SimNetwork::~SimNetwork() { wire_.Close(); }

std::unique_ptr<PeerPort> SimNetwork::Connect(PeerIdentity self, PeerEvents* events) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->self = std::move(self);
  endpoint->events = events;
  endpoints_[endpoint->self.id] = endpoint;
  return std::make_unique<SimTransport>(*this, std::move(endpoint));
}

void SimNetwork::Disconnect(const EndpointPtr& endpoint) {
  endpoint->up = false;
  endpoint->handlers.clear();
  lines_->End(endpoint);
  const auto known = endpoints_.find(endpoint->self.id);
  if (known == endpoints_.end() || known->second != endpoint) return;
  endpoints_.erase(known);
  for (const auto& [id, other] : endpoints_) {
    if (!other->peers.contains(endpoint->self.id) || other->events == nullptr) continue;
    wire_.After(DrawDelay(), [gone = endpoint->self, other = other] {
      if (other->up) other->events->OnPeerDown(gone);
    });
  }
}

void SimNetwork::Announce(Endpoint& from, PeerId to) {
  Endpoint* const there = Find(to);
  if (there == nullptr || !there->peers.contains(from.self.id)) return;
  for (const auto& [one, other] : {std::pair(&from, there), std::pair(there, &from)}) {
    if (one->events == nullptr) continue;
    wire_.After(DrawDelay(), [this, id = one->self.id, peer = other->self] {
      Endpoint* const endpoint = Find(id);
      if (endpoint != nullptr && endpoint->events != nullptr) endpoint->events->OnPeerUp(peer);
    });
  }
}

void SimNetwork::Cut(PeerId from, PeerId to) {
  cuts_.insert({from, to});
  lines_->Cut();
}

void SimNetwork::Break(PeerId from, PeerId to, Duration back) {
  Endpoint* const one = Find(from);
  Endpoint* const other = Find(to);
  if (one == nullptr || other == nullptr || one->events == nullptr) return;
  one->events->OnPeerDown(other->self);
  wire_.After(back, [this, from, to] {
    Endpoint* const endpoint = Find(from);
    Endpoint* const there = Find(to);
    if (endpoint != nullptr && endpoint->events != nullptr && there != nullptr)
      endpoint->events->OnPeerUp(there->self);
  });
}

void SimNetwork::Isolate(PeerId id) {
  for (const auto& [other, unused] : endpoints_) {
    Cut(id, other);
    Cut(other, id);
  }
}

void SimNetwork::Partition(const std::set<PeerId>& side) {
  for (const auto& [a, unused] : endpoints_) {
    for (const auto& [b, also_unused] : endpoints_) {
      if (side.contains(a) != side.contains(b)) Cut(a, b);
    }
  }
}

SimNetwork::Endpoint* SimNetwork::Find(PeerId id) {
  const auto found = endpoints_.find(id);
  return found == endpoints_.end() ? nullptr : found->second.get();
}

Duration SimNetwork::DrawDelay() {
  Rng& rng = scheduler_.rng();
  const auto up_to = [&rng](Duration most) {
    return Duration(static_cast<int64_t>(rng.Below(static_cast<uint64_t>(most.count()) + 1)));
  };
  return up_to(faults.delay) + (Chance(rng, faults.reorder) ? up_to(faults.late) : Duration(0));
}

bool SimNetwork::Hears(const Endpoint& there, PeerId from) {
  const Endpoint* const sender = Find(from);
  const bool other_cluster = sender != nullptr && !sender->cluster.empty() &&
                             !there.cluster.empty() && sender->cluster != there.cluster;
  return there.peers.contains(from) && !other_cluster;
}

void SimNetwork::Pass(PeerId from, PeerId to, bool copies, Between between, const Arrive& arrive) {
  Rng& rng = scheduler_.rng();
  const int times = copies && Chance(rng, faults.duplication) ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    if (cuts_.contains({from, to}) || Chance(rng, faults.loss)) continue;
    wire_.After(DrawDelay(), [this, from, to, between, arrive] {
      Endpoint* const there = Find(to);
      if (there == nullptr || cuts_.contains({from, to})) return;
      if (between == Between::kPeers && !Hears(*there, from)) return;
      arrive(*there);
    });
  }
}

// Refused at once when nobody is there; otherwise the answer, or unknown when the other side drops
// the question, or time is up.
void SimNetwork::Ask(const EndpointPtr& from, PeerId to, Between between, Duration timeout,
                     PeerTransport::Done done,
                     std::function<void(Endpoint&, PeerHandler::Respond)> ask) {
  auto pending = std::make_shared<Pending>(Pending{from, std::move(done)});
  if (Find(to) == nullptr) {
    return wire_.Post(
        [this, pending] { Finish(pending, absl::UnavailableError("the peer is not there")); });
  }
  wire_.After(timeout, [this, pending] {
    Finish(pending, absl::DeadlineExceededError("no answer of the peer in time"));
  });
  // Whoever drops the last copy of it without an answer says so.
  auto dropped = std::shared_ptr<void>(nullptr, [this, pending](void*) {
    wire_.Post([this, pending] {
      Finish(pending, absl::UnknownError("the connection to the peer broke"));
    });
  });
  const PeerId asker = from->self.id;
  Pass(asker, to, false, between,
       [this, asker, to, between, pending, dropped, ask = std::move(ask)](Endpoint& there) {
         ask(there,
             [this, asker, to, between, pending, dropped](absl::StatusOr<std::string> answer) {
               Pass(to, asker, false, between,
                    [this, pending, dropped, answer](Endpoint&) { Finish(pending, answer); });
             });
       });
}

void SimNetwork::Finish(const std::shared_ptr<Pending>& pending,
                        absl::StatusOr<std::string> answer) {
  if (!pending->done) return;
  PeerTransport::Done done = std::exchange(pending->done, nullptr);
  if (pending->from->up) done(std::move(answer));
}

}  // namespace bascule
