// Takes requests of this broker and of others and has them carried out by whom they are for: what becomes a
// command by StreamRequests, questions about a stream here, what is a matter of the cluster by its own target.
// On the metadata thread, but for what PeerHandler says.
#pragma once

#include <memory>
#include <string>

#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "replication/meta/requests/applied_metadata.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/peer_transport.h"

namespace bascule::metadata {

class RequestService final : public PeerHandler, public RequestTarget {
 public:
  RequestService(Executor& home, AppliedMetadata& state, RequestTarget& commands)
      : home_(home), state_(state), commands_(commands) {}
  // Carries out what is no matter of streams (ClusterControl).
  void SetClusterRequests(RequestTarget& target) { cluster_ = &target; }

  void Execute(const meta::Request& request, Duration timeout, RequestDone done) override;

  // --- PeerHandler of PeerService::kMetadata: any thread ---
  void OnPeerMessage(const PeerIdentity& from, std::string message) override;
  void OnPeerCall(const PeerIdentity& from, std::string request, Duration timeout,
                  Respond respond) override;
  void OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                  Respond respond) override;

 private:
  void AnswerSettled(const meta::Request& request, Duration timeout, RequestDone done);

  Executor& home_;
  AppliedMetadata& state_;
  RequestTarget& commands_;
  RequestTarget* cluster_ = nullptr;
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
