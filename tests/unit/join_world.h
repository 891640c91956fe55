// Brokers that look for their cluster, and members of clusters as strangers see them.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/meta/cluster/cluster_joiner.h"
#include "tests/support/fake_peer_transport.h"

namespace bascule {

inline constexpr Duration kSecond = std::chrono::seconds(1);

// A member of a cluster, as strangers see it.
struct FakeMember : PeerEvents {
  void OnPeerUp(const PeerIdentity&) override {}
  void OnPeerDown(const PeerIdentity&) override {}
  void OnIntroduction(const std::string&, std::string request, Duration,
                      PeerHandler::Respond respond) override {
    const auto decoded = metadata::DecodeIntroRequest(request);
    REQUIRE(decoded.ok());
    if (const auto* join = std::get_if<metadata::JoinRequest>(&*decoded)) {
      joins.push_back(*join);
      if (!refusal.ok()) return respond(refusal);
      answer.members.push_back({join->node, join->server_id, join->address, false});
    }
    respond(metadata::EncodeIntroAnswer(answer));
  }
  metadata::IntroAnswer answer;
  absl::Status refusal;
  std::vector<metadata::JoinRequest> joins;
};

// A broker that looks for its cluster.
struct Seeker : PeerEvents {
  void OnPeerUp(const PeerIdentity&) override {}
  void OnPeerDown(const PeerIdentity&) override {}
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond) override {
    joiner->OnIntroduction(server_id, std::move(request), timeout, std::move(respond));
  }
  std::unique_ptr<metadata::ClusterJoiner> joiner;
  std::optional<absl::StatusOr<metadata::JoinOutcome>> outcome;
};

struct JoinWorld {
  JoinWorld() : scheduler(clock, 7), network(scheduler), home(scheduler.NewExecutor("home")) {}
  ~JoinWorld() { scheduler.DropAll(); }

  metadata::ClusterJoinerOptions Options(uint64_t id) {
    metadata::ClusterJoinerOptions options;
    options.cluster_namespace = "ns";
    options.server_id = Concat("b", id);
    options.node = PeerId(id);
    options.address = Concat("b", id, ":9293");
    return options;
  }
  Seeker& Seek(metadata::ClusterJoinerOptions options) {
    Seeker& seeker = *seekers.emplace_back(std::make_unique<Seeker>());
    FakePeerTransport& transport =
        network.Add({options.node, options.server_id, options.address, 1, 1});
    transport.HandleEvents(seeker);
    seeker.joiner =
        std::make_unique<metadata::ClusterJoiner>(home, clock, transport, std::move(options));
    seeker.joiner->Start(
        [&seeker](absl::StatusOr<metadata::JoinOutcome> o) { seeker.outcome = std::move(o); });
    return seeker;
  }
  FakeMember& Cluster(uint64_t id) {
    FakeMember& member = *members.emplace_back(std::make_unique<FakeMember>());
    const std::string address = Concat("b", id, ":9293");
    network.Add({PeerId(id), Concat("b", id), address, 1, 1}).HandleEvents(member);
    member.answer.cluster_namespace = "ns";
    member.answer.cluster_id = "theirs";
    member.answer.leader_address = address;
    member.answer.members = {{PeerId(id), Concat("b", id), address, true}};
    return member;
  }

  SimClock clock;
  SimScheduler scheduler;
  FakePeerNetwork network;
  SimExecutor& home;
  std::vector<std::unique_ptr<Seeker>> seekers;
  std::vector<std::unique_ptr<FakeMember>> members;
};

}  // namespace bascule
