// A ClusterAdmin that does what a test says.
#pragma once

#include <string>
#include <utility>

#include "core/ports/cluster_admin.h"

namespace bascule::api {

// Answers at once with `answer`, or `status` when that is OK.
class FakeCluster final : public ClusterAdmin {
 public:
  void Status(Duration timeout,
              absl::AnyInvocable<void(absl::StatusOr<ClusterStatus>)> done) override {
    last_timeout = timeout;
    answer.ok() ? done(status) : done(answer);
  }
  void AddMember(std::string peer_address, Duration timeout, Done done) override {
    Take("add " + peer_address, timeout, std::move(done));
  }
  void RemoveMember(std::string server_id, bool force, Duration timeout, Done done) override {
    Take("remove " + server_id + (force ? " by force" : ""), timeout, std::move(done));
  }
  void TransferLeadership(std::string server_id, Duration timeout, Done done) override {
    Take("transfer to " + server_id, timeout, std::move(done));
  }

  absl::Status answer;
  ClusterStatus status;
  std::string last_request;
  Duration last_timeout{};

 private:
  void Take(std::string request, Duration timeout, Done done) {
    last_request = std::move(request);
    last_timeout = timeout;
    done(answer);
  }
};

}  // namespace bascule::api
