// Brokers of one process that talk to each other on loopback ports of their own.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../../cmd/bascule/authority.h"
#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/env/thread_executor.h"
#include "replication/peer/grpc_peer_transport.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

namespace bascule::peer {

using std::chrono::seconds;

// Keeps what it is handed; calls are answered by `on_call`, at once or later. Any thread.
class NotingHandler final : public PeerHandler {
 public:
  using Answer = std::function<void(const std::string& request, Duration timeout, Respond respond)>;

  void OnPeerMessage(const PeerIdentity& from, std::string message) override {
    const std::lock_guard lock(mutex_);
    from_ = from;
    messages_.push_back(std::move(message));
  }
  void OnPeerCall(const PeerIdentity&, std::string request, Duration timeout,
                  Respond respond) override {
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      answer = on_call_;
      ++calls_;
    }
    if (answer) return answer(request, timeout, std::move(respond));
    respond(Concat("answer to ", request));
  }
  void OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                  Respond respond) override {
    const std::lock_guard lock(mutex_);
    from_ = from;
    headers_.push_back(std::move(header));
    bodies_.push_back(std::move(body));
    respond(Concat("took ", bodies_.back().size()));
  }

  void OnCall(Answer answer) {
    const std::lock_guard lock(mutex_);
    on_call_ = std::move(answer);
  }
  std::vector<std::string> messages() const { return Get(messages_); }
  std::vector<std::string> headers() const { return Get(headers_); }
  std::vector<std::string> bodies() const { return Get(bodies_); }
  PeerIdentity from() const { return Get(from_); }
  int calls() const { return Get(calls_); }

 private:
  template <typename T>
  T Get(const T& field) const {
    const std::lock_guard lock(mutex_);
    return field;
  }
  mutable std::mutex mutex_;
  std::vector<std::string> messages_, headers_, bodies_;
  PeerIdentity from_;
  Answer on_call_;
  int calls_ = 0;
};

class NotingEvents final : public PeerEvents {
 public:
  void OnPeerUp(const PeerIdentity& peer) override { Note(Concat("up ", peer.server_id), peer); }
  void OnPeerDown(const PeerIdentity& peer) override {
    Note(Concat("down ", peer.server_id), peer);
  }
  void OnIntroduction(const std::string& server_id, std::string request, Duration,
                      PeerHandler::Respond respond) override {
    Note(Concat("introduction of ", server_id), {});
    if (request == "refuse me") return respond(absl::AlreadyExistsError("you are here already"));
    if (request == "forget me") return;
    if (request == "hold me") {
      const std::lock_guard lock(mutex_);
      held_.push_back(std::move(respond));
      return;
    }
    respond(Concat("welcome ", server_id, ": ", request));
  }

  // Answers those who asked to be held.
  void Release() {
    std::vector<PeerHandler::Respond> held;
    {
      const std::lock_guard lock(mutex_);
      held.swap(held_);
    }
    for (auto& respond : held) respond("released");
  }
  size_t Count(const std::string& what) const {
    const std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const std::string& event : events_) count += event == what ? 1 : 0;
    return count;
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  PeerIdentity last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  void Note(std::string what, const PeerIdentity& peer) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(what));
    last_ = peer;
  }
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
  PeerIdentity last_;
  std::vector<PeerHandler::Respond> held_;
};

// Time that moves when told, for timers that no test wants to wait for. Any thread.
class SteppedTime final : public Clock, public Executor {
 public:
  MonotonicTime Monotonic() override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  Timestamp Wall() override { return RealClock().Wall(); }
  void Post(Task task) override { After(Duration(0), std::move(task)); }
  bool TryPost(Task task) override {
    Post(std::move(task));
    return true;
  }
  void After(Duration delay, Task task) override {
    const std::lock_guard lock(mutex_);
    tasks_.emplace(Add(now_, delay), std::move(task));
  }
  bool OnThisThread() const override { return true; }
  size_t waiting() {
    const std::lock_guard lock(mutex_);
    return tasks_.size();
  }
  // Runs what becomes due, here.
  void Advance(Duration by) {
    std::unique_lock lock(mutex_);
    const MonotonicTime end = Add(now_, by);
    while (!tasks_.empty() && tasks_.begin()->first <= end) {
      now_ = std::max(now_, tasks_.begin()->first);
      Task task = std::move(tasks_.begin()->second);
      tasks_.erase(tasks_.begin());
      lock.unlock();
      task();
      lock.lock();
    }
    now_ = end;
  }

 private:
  std::mutex mutex_;
  MonotonicTime now_{1};
  std::multimap<MonotonicTime, Task> tasks_;
};

// One broker's peer port, without TLS unless told.
class PeerBroker {
 public:
  explicit PeerBroker(uint64_t node, PeerOptions given = {}, SteppedTime* stepped = nullptr)
      : options(std::move(given)), time(stepped) {
    if (options.self.server_id.empty()) options.self.server_id = Concat("b", node);
    options.self.id = PeerId(node);
    if (options.self.incarnation == 0) options.self.incarnation = 100 + node;
    if (options.cluster_id.empty()) options.cluster_id = "c1";
    if (options.cluster_namespace.empty()) options.cluster_namespace = "ns";
    if (options.listen == PeerOptions().listen) options.listen = "127.0.0.1:0";
    options.insecure = options.tls.ca.empty();
  }
  ~PeerBroker() {
    transport.reset();
    executor.Stop();
  }

  absl::Status TryStart() {
    Clock& clock = time != nullptr ? static_cast<Clock&>(*time) : RealClock();
    Executor& timers = time != nullptr ? static_cast<Executor&>(*time) : executor;
    transport =
        std::make_unique<GrpcPeerTransport>(options, clock, RealFileSystem(), timers, events);
    transport->Handle(PeerService::kRaft, handler);
    return transport->Start();
  }
  PeerBroker& Start() {
    const absl::Status status = TryStart();
    REQUIRE_MESSAGE(status.ok(), status.ToString());
    return *this;
  }
  // As a process that ends and comes back on the same port, with another incarnation.
  void Restart() {
    options.listen = Concat("127.0.0.1:", transport->BoundPort());
    transport.reset();
    ++options.self.incarnation;
    Start();
  }

  void Know(const PeerBroker& other) {
    transport->AddPeer(other.options.self.id, other.options.self.server_id,
                       other.transport->address());
  }
  bool IsUp(const PeerBroker& other, size_t times = 1) {
    return Eventually([&] { return events.Count("up " + other.options.self.server_id) >= times; });
  }
  std::future<absl::StatusOr<std::string>> Call(const PeerBroker& to, std::string request,
                                                Duration timeout = seconds(10)) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    transport->Call(to.id(), PeerService::kRaft, std::move(request), timeout,
                    [promise](auto result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  std::future<absl::StatusOr<std::string>> SendBulk(const PeerBroker& to, std::string header,
                                                    std::string body,
                                                    Duration timeout = seconds(20)) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    transport->SendBulk(to.id(), PeerService::kRaft, std::move(header),
                        std::make_shared<const std::string>(std::move(body)), timeout,
                        [promise](auto result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  absl::StatusOr<std::string> Introduce(const std::string& address, std::string request,
                                        Duration timeout = seconds(10)) {
    std::promise<absl::StatusOr<std::string>> promise;
    transport->Introduce(address, std::move(request), timeout,
                         [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  PeerId id() const { return options.self.id; }
  uint64_t Counter(const std::string& name) const { return transport->ReadCounters().at(name); }
  bool Reaches(const std::string& name, uint64_t value) const {
    return Eventually([&] { return Counter(name) >= value; });
  }

  PeerOptions options;
  SteppedTime* const time;
  NotingHandler handler;
  NotingEvents events;
  ThreadExecutor executor{"timers", 1};
  std::unique_ptr<GrpcPeerTransport> transport;
};

// Both know each other and are connected.
inline void Introduce(PeerBroker& a, PeerBroker& b) {
  a.Know(b);
  b.Know(a);
  REQUIRE(a.IsUp(b));
  REQUIRE(b.IsUp(a));
}

// An authority and what it signs, in a directory.
class PeerCertificates {
 public:
  explicit PeerCertificates(Timestamp now = RealClock().Wall()) : now_(now) {
    auto made = cli::MakeAuthority(now_, 30);
    REQUIRE_MESSAGE(made.ok(), made.status().ToString());
    authority_ = *std::move(made);
    Write("ca.pem", authority_.cert);
  }
  const cli::PemPair& authority() const { return authority_; }
  std::string Path(const std::string& name) const { return dir_.Path(name); }
  std::string Text(const std::string& path) const {
    auto file = RealFileSystem().Open(path, OpenMode::kRead);
    REQUIRE(file.ok());
    return ReadWhole(**file, limits::kMiB).value();
  }
  // Valid from `ago` before now; over what was made before.
  void Spoil(const std::string& name) { Write(name, "spoilt"); }
  PeerTlsOptions For(const std::string& server_id, int days = 30, Duration ago = Duration(0)) {
    auto made = cli::MakeBrokerCertificate(authority_, server_id, {}, now_ - ago.count(), days);
    REQUIRE_MESSAGE(made.ok(), made.status().ToString());
    Write(server_id + ".pem", made->cert);
    Write(server_id + ".key", made->key);
    return {dir_.Path("ca.pem"), dir_.Path(server_id + ".pem"), dir_.Path(server_id + ".key"),
            dir_.Path(server_id + ".combined.pem")};
  }

  void Write(const std::string& name, const std::string& text) {
    const absl::Status status = WriteFileAtomically(RealFileSystem(), dir_.Path(name), text);
    REQUIRE_MESSAGE(status.ok(), status.ToString());
  }

 private:
  const Timestamp now_;
  TempDir dir_;
  cli::PemPair authority_;
};

}  // namespace bascule::peer
