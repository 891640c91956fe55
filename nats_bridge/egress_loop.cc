#include "nats_bridge/egress_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::nats {
namespace {

constexpr uint64_t kWakeKey = 0;  // socket generations begin at 1

// Of the publishing thread: a batch is open / its first publish asked for a write.
thread_local bool batch_open = false;
thread_local bool batch_wants_write = false;

}  // namespace

EgressLoop::~EgressLoop() {
  stopping_.store(true);
  if (thread_.joinable()) {
    Wake();
    thread_.join();
  }
  if (wake_fd_ >= 0) close(wake_fd_);
  if (epoll_fd_ >= 0) close(epoll_fd_);
}

absl::Status EgressLoop::Start() {
  BASCULE_CHECK(epoll_fd_ < 0 && !thread_.joinable());
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeKey;
  if (epoll_fd_ < 0 || wake_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0) {
    return absl::InternalError(
        Concat("nats: no event loop for the egress connection: ", strerror(errno)));
  }
  try {
    thread_ = std::thread([this] { Run(); });  // joined by the destructor
    pthread_setname_np(thread_.native_handle(), "nats-egress");
  } catch (const std::system_error& e) {
    return absl::InternalError(Concat("nats: no thread for the egress connection: ", e.what()));
  }
  return absl::OkStatus();
}

natsStatus EgressLoop::Install(natsOptions* options) {
  BASCULE_CHECK(thread_.joinable());
  const natsStatus s =
      natsOptions_SetEventLoop(options, this, &OnAttach, &OnReadWanted, &OnWriteWanted, &OnDetach);
  // Otherwise nats.c leaves each write to its flusher thread, which first sleeps a millisecond.
  // Under an event loop "as soon as possible" costs no write: it calls OnWriteWanted, once until
  // the buffer is empty again.
  return s == NATS_OK ? natsOptions_SetSendAsap(options, true) : s;
}

// The four callbacks run under nats.c's connection lock (OnDetach without), so they only note and
// wake.

natsStatus EgressLoop::OnAttach(void** user, void* loop, natsConnection* nc, natsSock socket) {
  auto* self = static_cast<EgressLoop*>(loop);
  *user = self;
  const absl::MutexLock lock(&self->mutex_);
  self->nc_ = nc;
  self->socket_ = socket;
  self->write_armed_ = false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = ++self->generation_;
  return epoll_ctl(self->epoll_fd_, EPOLL_CTL_ADD, socket, &event) == 0 ? NATS_OK : NATS_ERR;
}

natsStatus EgressLoop::OnReadWanted(void* user, bool add) {
  auto* self = static_cast<EgressLoop*>(user);
  if (add) return NATS_OK;  // reading begins with OnAttach
  const absl::MutexLock lock(&self->mutex_);
  if (self->socket_ >= 0) epoll_ctl(self->epoll_fd_, EPOLL_CTL_DEL, self->socket_, nullptr);
  self->socket_ = -1;
  ++self->generation_;
  return NATS_OK;
}

natsStatus EgressLoop::OnWriteWanted(void* user, bool add) {
  auto* self = static_cast<EgressLoop*>(user);
  self->write_wanted_.store(add, std::memory_order_release);
  if (!add) {
    self->emptied_.store(true, std::memory_order_release);
    return NATS_OK;
  }
  if (batch_open) {
    batch_wants_write = true;
  } else {
    self->Wake();
  }
  return NATS_OK;
}

natsStatus EgressLoop::OnDetach(void* user) {
  auto* self = static_cast<EgressLoop*>(user);
  const absl::MutexLock lock(&self->mutex_);
  if (self->socket_ >= 0) epoll_ctl(self->epoll_fd_, EPOLL_CTL_DEL, self->socket_, nullptr);
  self->socket_ = -1;
  self->nc_ = nullptr;
  ++self->generation_;
  return NATS_OK;
}

void EgressLoop::Wake() {
  const uint64_t one = 1;
  const ssize_t n = write(wake_fd_, &one, sizeof(one));
  BASCULE_CHECK(n == sizeof(one) ||
                errno == EAGAIN);  // EAGAIN: the counter is full, so it is awake anyway
}

void EgressLoop::Run() {
  epoll_event events[4];
  while (!stopping_.load()) {
    const int n = epoll_wait(epoll_fd_, events, 4, -1);
    uint32_t socket_events = 0;
    bool socket_event = false;
    for (int i = 0; i < n; ++i) {
      if (events[i].data.u64 == kWakeKey) {
        uint64_t count = 0;
        [[maybe_unused]] const ssize_t drained = read(wake_fd_, &count, sizeof(count));
        continue;
      }
      const absl::MutexLock lock(&mutex_);
      if (events[i].data.u64 != generation_ || socket_ < 0) continue;
      socket_events = events[i].events;
      socket_event = true;
    }
    Serve(socket_events, socket_event);
    {
      const absl::MutexLock lock(&mutex_);
      ++turns_;
    }
    turned_.SignalAll();
  }
  nats_ReleaseThreadMemory();
}

void EgressLoop::Serve(uint32_t events, bool socket_event) {
  natsConnection* nc = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    nc = nc_;  // stays valid for this turn: its owner calls Quiesce before it destroys a detached
               // one
  }
  if (nc == nullptr) return;
  if (socket_event && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
    natsConnection_ProcessReadEvent(nc);
  const absl::MutexLock lock(&writing_);
  Write(nc);
}

// What the server said is read first, and that is the loop's: a connection that it ended over a line would
// break in the write, and why it did so would be lost.
void EgressLoop::WriteOrWake(natsConnection* nc) {
  if (nc == nullptr || input_waits() || !writing_.TryLock()) return Wake();
  Write(nc);
  writing_.Unlock();
}

void EgressLoop::Write(natsConnection* nc) {
  if (!write_wanted_.load(std::memory_order_acquire)) return;
  emptied_.store(false, std::memory_order_release);
  natsConnection_ProcessWriteEvent(nc);
  // Something left: the socket is full and epoll says when it takes more. What is appended after
  // all was written comes with a wake-up of its own.
  ArmForWriting(!emptied_.load(std::memory_order_acquire));
}

void EgressLoop::ArmForWriting(bool wanted) {
  const absl::MutexLock lock(&mutex_);
  if (wanted == write_armed_ || socket_ < 0) return;
  epoll_event event{};
  event.events = EPOLLIN | (wanted ? static_cast<uint32_t>(EPOLLOUT) : 0U);
  event.data.u64 = generation_;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, socket_, &event) == 0) write_armed_ = wanted;
}

void EgressLoop::Quiesce() {
  BASCULE_CHECK(std::this_thread::get_id() != thread_.get_id());
  const absl::MutexLock lock(&mutex_);
  const uint64_t before = turns_;
  Wake();
  // The turn that is running may have begun before the detach: wait for the end of the one after
  // it.
  while (turns_ < before + 2) {
    Wake();
    turned_.Wait(mutex_);
  }
}

bool EgressLoop::input_waits() const {
  const absl::MutexLock lock(&mutex_);
  int bytes = 0;
  return socket_ >= 0 && ioctl(socket_, FIONREAD, &bytes) == 0 && bytes > 0;
}

bool EgressLoop::waits_for_room() const {
  const absl::MutexLock lock(&mutex_);
  return write_armed_;
}

EgressBatch::EgressBatch(EgressLoop& loop, natsConnection* nc) : loop_(loop), nc_(nc) {
  BASCULE_CHECK(!batch_open);
  batch_open = true;
  batch_wants_write = false;
}

EgressBatch::~EgressBatch() {
  BASCULE_CHECK(batch_open);
  batch_open = false;
  if (batch_wants_write) loop_.WriteOrWake(nc_);
}

}  // namespace bascule::nats
