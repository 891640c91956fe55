// Brokers that speak with each other in memory: delays, loss and cuts are drawn from the
// scheduler's seed. Header only; for tests that link the layers of replication.
//
//   FakePeerNetwork network(scheduler);
//   FakePeerTransport& b1 = network.Add({PeerId(1), "b1", "b1:9293", 42, 1});
//   b1.Handle(PeerService::kMetadata, handler);
//   network.Cut(PeerId(1), PeerId(2));
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "core/base/text.h"
#include "replication/peer_transport.h"
#include "tests/support/sim_executor.h"

namespace bascule {

class FakePeerNetwork;

class FakePeerTransport final : public PeerTransport {
 public:
  FakePeerTransport(FakePeerNetwork& network, PeerIdentity self)
      : network_(network), self_(std::move(self)) {}
  void Handle(PeerService service, PeerHandler& handler) override { handlers_[service] = &handler; }
  bool handles(PeerService service) const { return handlers_.contains(service); }
  void HandleEvents(PeerEvents& events) { events_ = &events; }
  void AddPeer(PeerId, std::string, std::string) override {}
  void RemovePeer(PeerId) override {}
  void Redirect(PeerId id, std::string address) override { redirected[id] = std::move(address); }
  void Send(PeerId to, PeerService service, std::string message) override;
  void Call(PeerId to, PeerService service, std::string request, Duration timeout,
            Done done) override;
  void SendBulk(PeerId to, PeerService service, std::string header,
                std::shared_ptr<const std::string> body, Duration timeout, Done done) override;
  void Introduce(std::string address, std::string request, Duration timeout, Done done) override;
  void IntroduceTo(std::string server_id, std::string address, std::string request,
                   Duration timeout, Done done) override;

  std::map<PeerId, std::string> redirected;

 private:
  friend class FakePeerNetwork;
  FakePeerNetwork& network_;
  const PeerIdentity self_;
  std::map<PeerService, PeerHandler*> handlers_;
  PeerEvents* events_ = nullptr;
};

class FakePeerNetwork {
 public:
  explicit FakePeerNetwork(SimScheduler& scheduler)
      : scheduler_(scheduler), wire_(scheduler.NewExecutor("network")) {}

  // A process; the one before with this node id is gone.
  FakePeerTransport& Add(const PeerIdentity& self) {
    down.erase(self.id);
    return *(nodes_[self.id] = std::make_unique<FakePeerTransport>(*this, self));
  }
  // The process is gone: calls to it are refused at once.
  void Remove(PeerId id) {
    down.insert(id);
    nodes_.erase(id);
  }
  // Nothing passes between the two, and nobody notices but by the time.
  void Cut(PeerId a, PeerId b) { cuts_.insert(std::minmax(a, b)); }
  void Heal(PeerId a, PeerId b) { cuts_.erase(std::minmax(a, b)); }
  void Isolate(PeerId id) { isolated.insert(id); }

  double loss = 0;
  Duration max_delay = std::chrono::milliseconds(1);
  std::set<PeerId> down;
  std::set<PeerId> isolated;
  bool tls = true;     // who a broker is, is checked
  std::string silent;  // addresses that begin so swallow what is sent there
  uint64_t introductions = 0;
  uint64_t under_way = 0, most_introductions = 0;  // of these
  uint64_t calls = 0;
  uint64_t messages = 0;

  // --- of the transports ---
  FakePeerTransport* Find(PeerId id) {
    const auto it = nodes_.find(id);
    return it == nodes_.end() ? nullptr : it->second.get();
  }
  FakePeerTransport* At(const std::string& address) {
    for (auto& [id, node] : nodes_) {
      if (node->self_.address == address) return node.get();
    }
    return nullptr;
  }
  bool Passes(PeerId from, PeerId to) {
    if (isolated.contains(from) || isolated.contains(to) || cuts_.contains(std::minmax(from, to)))
      return false;
    return !Chance(scheduler_.rng(), loss);
  }
  void Later(Task task) {
    const auto most = static_cast<uint64_t>(max_delay.count());
    wire_.After(Duration(Between(scheduler_.rng(), 0, most)), std::move(task));
  }
  void After(Duration delay, Task task) { wire_.After(delay, std::move(task)); }

  // Gives the first of the answer and the timeout, as the transport does.
  using Deliver = absl::AnyInvocable<void(FakePeerTransport&, PeerHandler::Respond)>;
  void Ask(PeerId from, PeerId to, Duration timeout, PeerTransport::Done done, Deliver deliver) {
    ++calls;
    auto answer = std::make_shared<PeerTransport::Done>(std::move(done));
    auto give = [answer](absl::StatusOr<std::string> response) {
      if (auto once = std::exchange(*answer, nullptr)) once(std::move(response));
    };
    After(timeout, [give] { give(absl::DeadlineExceededError("no answer in time")); });
    if (down.contains(to)) return Later([give] { give(absl::UnavailableError("not connected")); });
    if (!Passes(from, to)) return;
    Later([this, from, to, give, deliver = std::move(deliver)]() mutable {
      FakePeerTransport* there = Find(to);
      if (there == nullptr) return give(absl::UnknownError("the connection broke"));
      deliver(*there, [this, from, to, give](absl::StatusOr<std::string> response) {
        if (!Passes(to, from)) return;
        Later([give, response = std::move(response)] { give(response); });
      });
    });
  }

 private:
  SimScheduler& scheduler_;
  SimExecutor& wire_;
  std::map<PeerId, std::unique_ptr<FakePeerTransport>> nodes_;
  std::set<std::pair<PeerId, PeerId>> cuts_;
};

inline void FakePeerTransport::Send(PeerId to, PeerService service, std::string message) {
  ++network_.messages;
  if (!network_.Passes(self_.id, to)) return;
  network_.Later([&network = network_, from = self_, to, service, message = std::move(message)] {
    FakePeerTransport* there = network.Find(to);
    if (there == nullptr || !there->handlers_.contains(service)) return;
    there->handlers_[service]->OnPeerMessage(from, message);
  });
}

inline void FakePeerTransport::Call(PeerId to, PeerService service, std::string request,
                                    Duration timeout, Done done) {
  network_.Ask(self_.id, to, timeout, std::move(done),
               [from = self_, service, timeout, request = std::move(request)](
                   FakePeerTransport& there, PeerHandler::Respond respond) {
                 if (!there.handlers_.contains(service))
                   return respond(absl::UnimplementedError("no handler"));
                 there.handlers_[service]->OnPeerCall(from, request, timeout, std::move(respond));
               });
}

inline void FakePeerTransport::SendBulk(PeerId to, PeerService service, std::string header,
                                        std::shared_ptr<const std::string> body, Duration timeout,
                                        Done done) {
  network_.Ask(self_.id, to, timeout, std::move(done),
               [from = self_, service, header = std::move(header), body](
                   FakePeerTransport& there, PeerHandler::Respond respond) {
                 if (!there.handlers_.contains(service))
                   return respond(absl::UnimplementedError("no handler"));
                 there.handlers_[service]->OnPeerBulk(from, header, *body, std::move(respond));
               });
}

inline void FakePeerTransport::Introduce(std::string address, std::string request, Duration timeout,
                                         Done given) {
  ++network_.introductions;
  network_.most_introductions = std::max(network_.most_introductions, ++network_.under_way);
  Done done = [&network = network_, given = std::move(given)](auto answer) mutable {
    --network.under_way;
    given(std::move(answer));
  };
  if (!network_.silent.empty() && address.starts_with(network_.silent)) {
    return network_.After(timeout, [done = std::move(done)]() mutable {
      done(absl::DeadlineExceededError("no answer in time"));
    });
  }
  FakePeerTransport* there = network_.At(address);
  if (there == nullptr || there->events_ == nullptr) {
    return network_.Later([done = std::move(done), address = std::move(address)]() mutable {
      done(absl::UnavailableError(Concat("cannot connect to ", address)));
    });
  }
  network_.Ask(self_.id, there->self_.id, timeout, std::move(done),
               [from = self_, timeout, request = std::move(request)](FakePeerTransport& node,
                                                                     PeerHandler::Respond respond) {
                 node.events_->OnIntroduction(from.server_id, request, timeout, std::move(respond));
               });
}

inline void FakePeerTransport::IntroduceTo(std::string server_id, std::string address,
                                           std::string request, Duration timeout, Done done) {
  FakePeerTransport* there = network_.At(address);
  if (network_.tls && there != nullptr && there->self_.server_id != server_id) {
    ++network_.introductions;
    return network_.Later([done = std::move(done)]() mutable {
      done(absl::UnavailableError("another broker answers there"));
    });
  }
  Introduce(std::move(address), std::move(request), timeout, std::move(done));
}

}  // namespace bascule
