#include "tests/integration/cluster_load.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPace{10};  // between two requests of one client
constexpr std::chrono::seconds kEndingPatience{15};
constexpr size_t kOwnStreams = 3;  // that a client keeps before it deletes one
constexpr int kKeepEvery = 4;      // streams that are never deleted
constexpr size_t kRemembered = 4096;

double Milliseconds(TestClock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

StreamLoad::StreamLoad(Cluster& cluster, LoadOptions options)
    : options_(options), last_answered_(TestClock::now()) {
  for (int i = 0; i < options_.clients; ++i) {
    Client& client = *clients_.emplace_back(std::make_unique<Client>());
    client.number = i;
    client.next = static_cast<size_t>(i);
    for (int b = 0; b < cluster.size(); ++b)
      client.brokers.push_back(proto::API::NewStub(Connect(cluster.at(b).address())));
  }
  for (const auto& client : clients_)
    threads_.emplace_back([this, one = client.get()] { Run(*one); });
}

StreamLoad::~StreamLoad() { Stop(); }

void StreamLoad::Stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) give_up_ = TestClock::now() + kEndingPatience;
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool StreamLoad::Pause() {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, kPace, [this] { return stopping_; });
}

void StreamLoad::Run(Client& client) {
  for (int n = 0; Pause(); ++n) {
    const std::string name = absl::StrCat("c", client.number, "-", n);
    Create(client, name);
    if (n % kKeepEvery != 0) client.own.push_back(name);
    if (client.own.size() <= kOwnStreams || !Pause()) continue;
    Delete(client, client.own.front());
    client.own.erase(client.own.begin());
  }
}

template <typename Attempt>
bool StreamLoad::Insist(Client& client, const std::string& name, grpc::StatusCode also,
                        Attempt attempt) {
  bool again = false;
  for (;;) {
    proto::API::Stub& broker = *client.brokers[client.next++ % client.brokers.size()];
    const grpc::StatusCode code = attempt(broker).error_code();
    // What an earlier attempt did already comes as a refusal of this one.
    if (code == grpc::StatusCode::OK || (again && code == also)) return true;
    again = true;
    std::unique_lock lock(mutex_);
    ++failed_;
    if (options_.late_attempts && code != grpc::StatusCode::UNAVAILABLE) doubtful_.insert(name);
    if (stopping_ && TestClock::now() > give_up_) return false;
    lock.unlock();
    if (!Pause()) std::this_thread::yield();
  }
}

void StreamLoad::Create(Client& client, const std::string& name) {
  Note(name, Fate::kUnknown);
  const TestClock::time_point begun = TestClock::now();
  TestClock::time_point asked;
  const bool done =
      Insist(client, name, grpc::StatusCode::ALREADY_EXISTS, [&](proto::API::Stub& broker) {
        asked = TestClock::now();
        return CreateStream(broker, name, options_.deadline);
      });
  if (!done) return;
  Note(name, Fate::kThere);
  const TestClock::time_point now = TestClock::now();
  const std::lock_guard lock(mutex_);
  ++created_;
  longest_pause_ = std::max(longest_pause_, Milliseconds(now - last_answered_));
  longest_create_ = std::max(longest_create_, Milliseconds(now - begun));
  last_answered_ = now;
  accepted_.emplace_back(asked, now);
  if (accepted_.size() > kRemembered)
    accepted_.erase(accepted_.begin(), accepted_.begin() + kRemembered / 2);
  changed_.notify_all();
}

void StreamLoad::Delete(Client& client, const std::string& name) {
  Note(name, Fate::kUnknown);
  const bool done = Insist(
      client, name, grpc::StatusCode::NOT_FOUND,
      [&](proto::API::Stub& broker) { return DeleteStream(broker, name, options_.deadline); });
  if (!done) return;
  Note(name, Fate::kGone);
  const std::lock_guard lock(mutex_);
  ++deleted_;
}

void StreamLoad::Note(const std::string& name, Fate fate) {
  const std::lock_guard lock(mutex_);
  fates_[name] = fate;
}

std::optional<milliseconds> StreamLoad::AcceptedAfter(TestClock::time_point since,
                                                      milliseconds limit) {
  std::unique_lock lock(mutex_);
  TestClock::time_point answered;
  const bool accepted = changed_.wait_for(lock, limit, [&] {
    const auto it = std::find_if(accepted_.begin(), accepted_.end(),
                                 [&](const auto& one) { return one.first >= since; });
    if (it == accepted_.end()) return false;
    answered = it->second;
    return true;
  });
  if (!accepted) return std::nullopt;
  return std::chrono::duration_cast<milliseconds>(answered - since);
}

double StreamLoad::LongestPause() {
  const std::lock_guard lock(mutex_);
  return std::exchange(longest_pause_, 0);
}

double StreamLoad::LongestCreate() {
  const std::lock_guard lock(mutex_);
  return std::exchange(longest_create_, 0);
}

std::string StreamLoad::Summary() {
  const std::lock_guard lock(mutex_);
  return absl::StrCat(created_, " created, ", deleted_, " deleted, ", failed_, " attempts failed, ",
                      doubtful_.size(), " streams with late attempts");
}

void StreamLoad::CheckKept(Cluster& cluster) {
  const bool led = Eventually([&] {
    const std::string table = TableOf(cluster.at(0));
    return table != "?" && !Has(table, " - ");
  });
  CLUSTER_CHECK(cluster, led);
  const std::string table = cluster.AwaitSameTables();
  std::map<std::string, int> names;
  std::set<std::string> ids;
  for (const auto line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    ++names[words.at(0)];
    CHECK_MESSAGE(ids.insert(words.at(1)).second, "one id twice: ", words.at(0));
  }
  const std::lock_guard lock(mutex_);
  int there = 0, gone = 0, unknown = 0;
  for (const auto& [name, fate] : fates_) {
    const int count = names.contains(name) ? names.at(name) : 0;
    CHECK_MESSAGE(count <= 1, name, " is there ", count, " times");
    const bool known = fate != Fate::kUnknown && !doubtful_.contains(name);
    ++(!known ? unknown : fate == Fate::kThere ? there : gone);
    if (!known) continue;
    if (fate == Fate::kThere) {
      CHECK_MESSAGE(count == 1, "the acknowledged stream ", name, " is lost\n", cluster.Tail());
    } else {
      CHECK_MESSAGE(count == 0, "the deleted stream ", name, " is there\n", cluster.Tail());
    }
  }
  for (const auto& [name, count] : names)
    CHECK_MESSAGE(fates_.contains(name), "nobody asked for ", name);
  CHECK(there > 0);
  CHECK(gone > 0);
  MESSAGE("all brokers agree: ", there, " acknowledged streams are there, ", gone,
          " deleted ones are not, ", unknown, " unknown");
}

}  // namespace bascule::cluster_job
