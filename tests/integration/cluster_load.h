// Clients that create and delete streams through all brokers of a cluster while a test does
// something to it, and the account of what they were promised.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {

using TestClock = std::chrono::steady_clock;

struct LoadOptions {
  int clients = 4;
  // Of one attempt; what fails is tried again at the next broker, as clients do.
  std::chrono::milliseconds deadline{500};
  // A broker that stood still may carry an attempt out long after its client gave it up: of the
  // streams with such an attempt nothing is known.
  bool late_attempts = false;
};

// One thread each, from construction to Stop. Other calls from any thread.
class StreamLoad {
 public:
  StreamLoad(Cluster& cluster, LoadOptions options = {});
  ~StreamLoad();

  // Every client ends what it has begun; what cannot be ended within a while stays unknown.
  void Stop();
  // When a create that was asked after `since` was answered; nothing within `limit`.
  std::optional<std::chrono::milliseconds> AcceptedAfter(
      TestClock::time_point since, std::chrono::milliseconds limit = kPatience);
  // The longest time in which no client was answered, and that one create took with all its
  // attempts, since the last call of these two.
  double LongestPause();
  double LongestCreate();
  // After Stop: every broker shows every stream whose creation was acknowledged and its deletion
  // not asked, none that was deleted, none twice, and all the same. Each has a leader.
  void CheckKept(Cluster& cluster);
  // "n created, n deleted, n attempts failed"
  std::string Summary();

 private:
  enum class Fate { kUnknown, kThere, kGone };
  struct Client {
    int number = 0;
    std::vector<std::unique_ptr<proto::API::Stub>> brokers;
    size_t next = 0;
    std::vector<std::string> own;  // created, to be deleted
  };

  void Run(Client& client);
  // Until it is answered for good; false: it was not.
  template <typename Attempt>
  bool Insist(Client& client, const std::string& name, grpc::StatusCode also, Attempt attempt);
  void Create(Client& client, const std::string& name);
  void Delete(Client& client, const std::string& name);
  void Note(const std::string& name, Fate fate);
  bool Pause();  // false: it is time to end

  const LoadOptions options_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  TestClock::time_point give_up_;
  std::map<std::string, Fate> fates_;
  std::set<std::string> doubtful_;    // with an attempt that may still be carried out
  TestClock::time_point last_asked_;  // of the accepted create that was asked last
  TestClock::time_point last_answered_;
  std::vector<std::pair<TestClock::time_point, TestClock::time_point>>
      accepted_;  // asked, answered
  double longest_pause_ = 0;
  double longest_create_ = 0;
  int created_ = 0;
  int deleted_ = 0;
  int failed_ = 0;
};

}  // namespace bascule::cluster_job
