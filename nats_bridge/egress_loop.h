// Reading and writing the socket of the egress connection (nats.c's event-loop mode). Who publishes writes at
// once what it has appended, without waiting: no other thread has to wake up for it. What the socket does not
// take, and what is appended while somebody else writes, leaves by the loop's thread, in one write.
//
//   publisher                     nats.c                       egress thread
//   EgressBatch batch(loop) ----> Publish: append to buffer
//                                 OnWriteWanted(add) --------> (held back while the batch is open)
//   ~EgressBatch: ProcessWriteEvent, send() of all of it
//     somebody else writes, or the socket is full -----------> epoll wakes: ProcessWriteEvent
#pragma once

#include <nats/nats.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "core/env/cond_var.h"

namespace bascule::nats {

// Serves one natsConnection at a time. Calls: any thread, except where said.
class EgressLoop {
 public:
  EgressLoop() = default;
  ~EgressLoop();  // ends the thread; the connection must be closed before
  EgressLoop(const EgressLoop&) = delete;
  EgressLoop& operator=(const EgressLoop&) = delete;

  // Before anything else. Internal: the system refused epoll, eventfd or a thread.
  absl::Status Start();
  // Makes a connection that is created with `options` use this loop.
  natsStatus Install(natsOptions* options);
  // Returns once the thread is in no call into a connection that was detached before. Not from the
  // loop's thread.
  void Quiesce();
  // Whether it is woken up as soon as, and for as long as, the socket takes more.
  bool waits_for_room() const;

 private:
  friend class EgressBatch;
  static natsStatus OnAttach(void** user, void* loop, natsConnection* nc, natsSock socket);
  static natsStatus OnReadWanted(void* user, bool add);
  static natsStatus OnWriteWanted(void* user, bool add);
  static natsStatus OnDetach(void* user);

  void Run();
  void Serve(uint32_t events, bool socket_event);
  // Writes what waits for the socket of `nc`, as far as it takes it; says when there is more room.
  void Write(natsConnection* nc) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  void WriteOrWake(natsConnection* nc);
  bool input_waits() const;
  void ArmForWriting(bool wanted);
  void Wake();

  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> write_wanted_{false};
  std::atomic<bool> emptied_{false};  // the last ProcessWriteEvent left nothing behind

  // Taken before `mutex_` and nats.c's own; publishers only try.
  absl::Mutex writing_;  // whoever writes the socket
  mutable absl::Mutex mutex_;
  CondVar turned_;
  natsConnection* nc_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int socket_ ABSL_GUARDED_BY(mutex_) = -1;
  bool write_armed_ ABSL_GUARDED_BY(mutex_) = false;
  // Of the socket, so that an event of a closed one is not believed.
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t turns_ ABSL_GUARDED_BY(mutex_) = 0;  // rounds of the thread
};

// While one lives, publishes of this thread are only appended; they leave at its end. Not nested.
class EgressBatch {
 public:
  // `nc`: what is published on, which lives until the batch has ended; null: nothing will be.
  EgressBatch(EgressLoop& loop, natsConnection* nc);
  ~EgressBatch();
  EgressBatch(const EgressBatch&) = delete;
  EgressBatch& operator=(const EgressBatch&) = delete;

 private:
  EgressLoop& loop_;
  natsConnection* const nc_;
};

}  // namespace bascule::nats
