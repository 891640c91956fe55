// Mistakes with locks that clang must complain about: tests/run.sh, step threads, reads this file
// as it reads the product and fails unless each complaint comes, at its line, and no other.
#include "absl/synchronization/mutex.h"
#include "core/env/cond_var.h"

namespace bascule {

class Counter {
 public:
  void Locked() {
    const absl::MutexLock lock(&mutex_);
    ++count_;
    AddLocked();
  }
  void WaitLocked() {
    const absl::MutexLock lock(&mutex_);
    while (count_ == 0) changed_.Wait(mutex_);
  }
  void Write() {
    count_ = 1;  // expected-error {{writing variable 'count_' requires holding mutex}}
  }
  int Read() const {
    return count_;  // expected-error {{reading variable 'count_' requires holding mutex}}
  }
  void Call() {
    AddLocked();  // expected-error {{calling function 'AddLocked' requires holding mutex}}
  }
  void Wait() {
    changed_.Wait(mutex_);  // expected-error {{calling function 'Wait' requires holding mutex}}
  }
  void OtherLock() {
    const absl::MutexLock lock(&other_);
    ++count_;  // expected-error {{writing variable 'count_' requires holding mutex}}
  }
  void Twice() {
    const absl::MutexLock lock(&mutex_);
    Excluding();  // expected-error {{cannot call function 'Excluding' while mutex}}
  }
  void WrongOrder() {
    const absl::MutexLock second(&other_);
    const absl::MutexLock first(&mutex_);  // expected-error {{must be acquired before}}
  }
  void Excluding() ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    ++count_;
  }

 private:
  void AddLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { ++count_; }

  mutable absl::Mutex mutex_;
  absl::Mutex other_ ABSL_ACQUIRED_AFTER(mutex_);
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bascule
