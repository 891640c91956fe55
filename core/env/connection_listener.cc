#include "core/env/connection_listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/env/cond_var.h"
#include "core/env/connection_quota.h"
#include "core/env/listen_sockets.h"

namespace bascule {
namespace {

using SteadyClock = std::chrono::steady_clock;
using internal::AddressKey;
using internal::ListenOnText;
using internal::PeerName;
using internal::PortOf;
using internal::Socket;

constexpr size_t kThrowAwayBytes = 16 * limits::kMiB;  // at a time
// Taken from one socket before the others get their turn.
constexpr int kAcceptsAtOnce = 64;
// Whoever is sent away, by us or by gRPC, and comes again at once could keep the processors busy: past so
// many arrivals nothing is accepted for the rest of the period, and who comes waits in the kernel's queue.
constexpr int kArrivals = 20;
constexpr std::chrono::milliseconds kArrivalPeriod{50};
// Without a descriptor for so long nothing is accepted.
constexpr std::chrono::milliseconds kPause{20};
// Under pressure gone connections are looked for at most this often.
constexpr std::chrono::milliseconds kSweepAtLeast{50};
constexpr std::chrono::seconds kLogPeriod{10};
// What Stop waits for the hand-over before it ends the connections.
constexpr std::chrono::milliseconds kHandOverEnd{500};

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

// Tells a socket from every other one that this machine has had since it runs; 0: no socket.
uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

uint64_t ReceivedBytes(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

}  // namespace

struct ConnectionListener::State {
  State(ListenOptions the_options, std::vector<Socket> the_sockets)
      : options(std::move(the_options)),
        sockets(std::move(the_sockets)),
        stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        spare(OpenSpare()),
        quota(options.max_connections, options.max_per_address) {}

  void Run();
  void HandOver();
  bool ShutDown(int fd);
  void AcceptSome(int listener);
  void Admit(int fd, const std::string& address, std::string peer);
  bool RefuseBarred(int fd, const std::string& address);
  void NoteArrival();
  bool Resting() const;
  void Refuse(int fd, const std::string& address, ConnectionQuota::Verdict why);
  void Look();
  void End(int fd, const std::string& reason);
  void OutOfDescriptors(int listener);
  void Sweep();
  void CheckInvariants() const;
  bool MaySay();

  const ListenOptions options;
  std::vector<Socket> sockets;
  Socket stop;
  Socket spare;
  int bound_port = 0;
  std::function<void(int fd)> take;
  ConnectionWatch watch;
  std::thread thread;

  // What `take` is called with waits here. It has a thread of its own: gRPC goes on to serve a
  // connection on the thread that brought it, for as long as there is something to read.
  absl::Mutex mutex;
  CondVar changed;
  std::deque<int> admitted ABSL_GUARDED_BY(mutex);
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  bool handing_over ABSL_GUARDED_BY(mutex) = true;
  std::thread hand_over;

  // The accept thread's.
  struct Handed {
    uint64_t cookie;
    std::string address;
    std::string peer;
    uint64_t received;  // when it was last shown to the watch
  };
  std::unordered_map<std::string, SteadyClock::time_point> barred;  // until when
  SteadyClock::time_point next_look{};
  SteadyClock::time_point arrivals_since{};
  int arrivals = 0;  // since then
  ConnectionQuota quota;
  std::unordered_map<int, Handed> handed;  // by descriptor
  SteadyClock::time_point next_sweep{};
  SteadyClock::time_point last_sweep{};
  SteadyClock::time_point last_said{};

  std::atomic<uint64_t> open{0}, accepted{0}, refused_full{0}, refused_address{0}, failed{0};
  std::atomic<uint64_t> refused_barred{0}, ended{0};
};

void ConnectionListener::State::Run() {
  std::vector<pollfd> polled;
  for (const Socket& socket : sockets) polled.push_back({socket.fd(), POLLIN, 0});
  polled.push_back({stop.fd(), POLLIN, 0});
  while (true) {
    const bool watched = watch.judge && !handed.empty();
    const auto tick =
        watched ? std::min(watch.period, limits::kConnectionSweep) : limits::kConnectionSweep;
    if (Resting()) {
      (void)poll(&polled.back(), 1, static_cast<int>(kArrivalPeriod.count()));
    } else {
      (void)poll(polled.data(), polled.size(), static_cast<int>(tick.count()));
    }
    if (polled.back().revents != 0) return;
    for (const pollfd& each : polled)
      if (each.revents != 0 && !Resting()) AcceptSome(each.fd);
    if (watched && SteadyClock::now() >= next_look) Look();
    if (SteadyClock::now() >= next_sweep) Sweep();
  }
}

void ConnectionListener::State::HandOver() {
  while (true) {
    int fd = -1;
    {
      const absl::MutexLock lock(&mutex);
      while (!stopping && admitted.empty()) changed.Wait(mutex);
      if (stopping) break;
      fd = admitted.front();
      admitted.pop_front();
    }
    take(fd);
  }
  const absl::MutexLock lock(&mutex);
  for (const int fd : admitted) close(fd);
  admitted.clear();
  handing_over = false;
  changed.SignalAll();
}

void ConnectionListener::State::AcceptSome(int listener) {
  for (int i = 0; i < kAcceptsAtOnce && !Resting(); ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    const int fd =
        accept4(listener, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      Admit(fd, AddressKey(from), PeerName(from));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return OutOfDescriptors(listener);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;  // nobody waits
    }
  }
}

void ConnectionListener::State::Admit(int fd, const std::string& address, std::string peer) {
  NoteArrival();
  // Its number was another's, which therefore is gone.
  if (const auto old = handed.find(fd); old != handed.end()) {
    quota.Release(old->second.address);
    handed.erase(old);
  }
  if (!barred.empty() && RefuseBarred(fd, address)) return;
  ConnectionQuota::Verdict verdict = quota.Take(address);
  if (verdict != ConnectionQuota::Verdict::kAdmitted &&
      SteadyClock::now() - last_sweep >= kSweepAtLeast) {
    Sweep();
    verdict = quota.Take(address);
  }
  if (verdict != ConnectionQuota::Verdict::kAdmitted) return Refuse(fd, address, verdict);
  handed[fd] = {CookieOf(fd), address, std::move(peer), 0};
  open = quota.taken();
  accepted.fetch_add(1, std::memory_order_relaxed);
  {
    const absl::MutexLock lock(&mutex);
    admitted.push_back(fd);
  }
  changed.SignalAll();
}

void ConnectionListener::State::Refuse(int fd, const std::string& address,
                                       ConnectionQuota::Verdict why) {
  close(fd);
  const bool full = why == ConnectionQuota::Verdict::kFull;
  (full ? refused_full : refused_address).fetch_add(1, std::memory_order_relaxed);
  if (!MaySay()) return;
  LogWarning(
      options.name, ": a connection from ", address, " is closed: there are ",
      full ? options.max_connections : options.max_per_address,
      full ? " connections, which is the limit" : " from there, which is the limit for one address",
      " (", refused_full + refused_address, " closed so far); ", options.remedy);
}

void ConnectionListener::State::NoteArrival() {
  const auto now = SteadyClock::now();
  if (now - arrivals_since >= kArrivalPeriod) {
    arrivals_since = now;
    arrivals = 0;
  }
  ++arrivals;
}

bool ConnectionListener::State::Resting() const {
  return arrivals >= kArrivals && SteadyClock::now() - arrivals_since < kArrivalPeriod;
}

bool ConnectionListener::State::RefuseBarred(int fd, const std::string& address) {
  const auto found = barred.find(address);
  if (found == barred.end()) return false;
  if (SteadyClock::now() >= found->second) {
    barred.erase(found);
    return false;
  }
  close(fd);
  refused_barred.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void ConnectionListener::State::Look() {
  std::vector<BusyConnection> busy;
  for (auto& [fd, connection] : handed) {
    const uint64_t received = ReceivedBytes(fd);
    if (received < connection.received + watch.busy_bytes) continue;
    busy.push_back({connection.peer, connection.address, received});
    connection.received = received;
  }
  std::unordered_map<std::string, std::string> reasons;
  for (CondemnedConnection& each : watch.judge(busy))
    reasons.emplace(std::move(each.peer), std::move(each.reason));
  if (!reasons.empty()) {
    for (const auto& [fd, connection] : handed) {
      if (const auto why = reasons.find(connection.peer); why != reasons.end())
        End(fd, why->second);
    }
  }
  next_look = SteadyClock::now() + watch.period;
}

// By a descriptor of our own, so that what is looked at is what is shut down. What has arrived could
// be read even so, and would be acted upon: it is thrown away.
bool ConnectionListener::State::ShutDown(int fd) {
  const Socket own(dup(fd));
  if (own.fd() < 0 || CookieOf(own.fd()) != handed.at(fd).cookie) return false;
  if (shutdown(own.fd(), SHUT_RDWR) != 0) return false;
  while (recv(own.fd(), nullptr, kThrowAwayBytes, MSG_TRUNC | MSG_DONTWAIT) > 0) {
  }
  return true;
}

void ConnectionListener::State::End(int fd, const std::string& reason) {
  const Handed& connection = handed.at(fd);
  barred[connection.address] = SteadyClock::now() + watch.barred;
  if (!ShutDown(fd)) return;
  ended.fetch_add(1, std::memory_order_relaxed);
  if (!MaySay()) return;
  LogWarning(options.name, ": the connection from ", connection.peer, " is ended: ", reason,
             "; its address opens no others for ", watch.barred.count(), " ms (", ended.load(),
             " ended so far)");
}

void ConnectionListener::State::OutOfDescriptors(int listener) {
  const std::string why = strerror(errno);
  failed.fetch_add(1, std::memory_order_relaxed);
  // The spare one's place is taken by who waits, who then knows at once.
  spare.Close();
  if (const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); fd >= 0) close(fd);
  spare = Socket(OpenSpare());
  if (MaySay()) {
    LogError(options.name, ": connections cannot be accepted: ", why,
             "; raise the limit of open files (LimitNOFILE of the unit, ulimit -n)");
  }
  pollfd wake{stop.fd(), POLLIN, 0};
  (void)poll(&wake, 1, static_cast<int>(kPause.count()));
}

// Whoever took a socket closes it without telling. Looking is harmless: the number either still
// stands for the same socket, or for something else, or for nothing.
void ConnectionListener::State::Sweep() {
  last_sweep = SteadyClock::now();
  next_sweep = last_sweep + limits::kConnectionSweep;
  std::erase_if(handed, [&](const auto& entry) {
    if (CookieOf(entry.first) == entry.second.cookie) return false;
    quota.Release(entry.second.address);
    return true;
  });
  open = quota.taken();
  CheckInvariants();
}

// A place that is not given back is lost for good.
void ConnectionListener::State::CheckInvariants() const {
  quota.CheckInvariants();
  BASCULE_CHECK_EQ(quota.taken(), handed.size());
}

bool ConnectionListener::State::MaySay() {
  const auto now = SteadyClock::now();
  if (last_said != SteadyClock::time_point{} && now - last_said < kLogPeriod) return false;
  last_said = now;
  return true;
}

ConnectionListener::ConnectionListener(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<ConnectionListener>> ConnectionListener::Open(
    const ListenOptions& options) {
  auto sockets = ListenOnText(options.address);
  if (!sockets.ok()) {
    return absl::UnavailableError(Concat("cannot listen on ", options.address, ": ",
                                         FromAbsl(sockets.status().message()),
                                         " (the port is taken, or the address is not one of this "
                                         "machine)"));
  }
  auto state = std::make_unique<State>(options, *std::move(sockets));
  if (state->stop.fd() < 0 || state->spare.fd() < 0) {
    return absl::UnavailableError(Concat("cannot listen on ", options.address, ": ",
                                         "no descriptor is left: raise the limit of open files"));
  }
  state->bound_port = PortOf(state->sockets.front().fd());
  return std::unique_ptr<ConnectionListener>(new ConnectionListener(std::move(state)));
}

ConnectionListener::~ConnectionListener() { Stop(); }

int ConnectionListener::port() const { return state_->bound_port; }

void ConnectionListener::Start(std::function<void(int fd)> take, ConnectionWatch watch) {
  BASCULE_CHECK(!state_->thread.joinable());
  BASCULE_CHECK(take != nullptr);
  state_->take = std::move(take);
  state_->watch = std::move(watch);
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
  state_->hand_over = std::thread([state = state_.get()] { state->HandOver(); });
  pthread_setname_np(state_->thread.native_handle(),
                     (state_->options.name + "-accept").substr(0, 15).c_str());
  pthread_setname_np(state_->hand_over.native_handle(),
                     (state_->options.name + "-connect").substr(0, 15).c_str());
}

void ConnectionListener::Stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(state_->stop.fd(), &one, sizeof(one));
  if (state_->thread.joinable()) state_->thread.join();
  if (state_->hand_over.joinable()) {
    bool left = false;
    {
      const CondVar::Deadline deadline = CondVar::In(kHandOverEnd);
      const absl::MutexLock lock(&state_->mutex);
      state_->stopping = true;
      state_->changed.SignalAll();
      while (state_->handing_over && state_->changed.WaitUntil(state_->mutex, deadline)) {
      }
      left = !state_->handing_over;
    }
    // It serves a connection that does not let go of it.
    if (!left) {
      for (const auto& [fd, connection] : state_->handed) state_->ShutDown(fd);
    }
    state_->hand_over.join();
  }
  state_->sockets.clear();
}

ConnectionListener::Counts ConnectionListener::counts() const {
  Counts counts;
  counts.open = state_->open;
  counts.accepted = state_->accepted;
  counts.refused_full = state_->refused_full;
  counts.refused_address = state_->refused_address;
  counts.refused_barred = state_->refused_barred;
  counts.ended = state_->ended;
  counts.failed = state_->failed;
  return counts;
}

}  // namespace bascule
