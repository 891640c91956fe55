// The two systems under comparison behind one interface: what differs between them is how a stream
// is created and how it is read back. Publishing is the same on both (publisher.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace bascule::bench {

struct TargetAddress {
  std::string side;  // "ours" or "peer"
  std::string nats_url;
  std::string grpc;  // host:port, ours only
};

struct StreamChoice {
  std::string name;
  std::string subject;
  std::string durability = "fsync";  // "fsync" or "os", ours only
  int64_t retention_bytes = 0;       // 0 = keep all
  int replicas = 1;
};

// One thread at a time.
class Target {
 public:
  // A payload in log order; a bad status ends the replay and is its result. Called on one thread at
  // a time.
  using Visitor = std::function<absl::Status(std::string_view payload)>;

  virtual ~Target() = default;

  // Waits until the system takes requests.
  virtual absl::Status WaitReady(std::chrono::seconds limit) = 0;
  virtual absl::Status CreateStream(const StreamChoice& choice) = 0;
  // Reads the first `count` messages of the stream from its beginning. Fails when they are not
  // there within `limit`.
  virtual absl::Status Replay(const std::string& name, uint64_t count, std::chrono::seconds limit,
                              const Visitor& visit) = 0;
  // As Replay, without looking at the messages: Ours skips decoding too. Tells what the client's
  // work costs.
  virtual absl::Status ReplayRaw(const std::string& name, uint64_t count,
                                 std::chrono::seconds limit) = 0;
  // Messages that the stream says it holds.
  virtual absl::StatusOr<uint64_t> Stored(const std::string& name) = 0;
};

absl::StatusOr<std::unique_ptr<Target>> MakeFeed(const TargetAddress& address);
std::unique_ptr<Target> MakeBasculeTarget(const std::string& grpc);
absl::StatusOr<std::unique_ptr<Target>> MakeJetStreamTarget(const std::string& nats_url);

}  // namespace bascule::bench
