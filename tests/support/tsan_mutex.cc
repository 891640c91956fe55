// Linked in under ThreadSanitizer only. Debian's abseil is not compiled for it, so its mutexes look
// like nothing at all, and all that they guard like races. Their calls land here first, and are
// told of; abseil's own follow. (core/env/cond_var.h waits by these calls, so it is seen too.)
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <string>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"

#define BASCULE_TEXT_OF(name) #name
#define BASCULE_TEXT(name) BASCULE_TEXT_OF(name)

namespace absl {
ABSL_NAMESPACE_BEGIN
namespace {

// "_ZN4absl<inline namespace>5Mutex<method>"
template <typename Method>
Method* TheirOwn(const char* method) {
  const std::string space = BASCULE_TEXT(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name =
      "_ZN4absl" + std::to_string(space.size()) + space + "5Mutex" + std::string(method);
  void* found = dlsym(RTLD_NEXT, name.c_str());
  BASCULE_CHECK(found != nullptr);
  return reinterpret_cast<Method*>(found);
}

}  // namespace

Mutex::~Mutex() {
  static auto* const own = TheirOwn<void(Mutex*)>("D1Ev");
  __tsan_mutex_destroy(this, 0);
  own(this);
}

void Mutex::Lock() {
  static auto* const own = TheirOwn<void(Mutex*)>("4LockEv");
  __tsan_mutex_pre_lock(this, 0);
  own(this);
  __tsan_mutex_post_lock(this, 0, 0);
}

bool Mutex::TryLock() {
  static auto* const own = TheirOwn<bool(Mutex*)>("7TryLockEv");
  __tsan_mutex_pre_lock(this, __tsan_mutex_try_lock);
  const bool locked = own(this);
  __tsan_mutex_post_lock(this, __tsan_mutex_try_lock | (locked ? 0U : __tsan_mutex_try_lock_failed),
                         0);
  return locked;
}

void Mutex::Unlock() {
  static auto* const own = TheirOwn<void(Mutex*)>("6UnlockEv");
  __tsan_mutex_pre_unlock(this, 0);
  own(this);
  __tsan_mutex_post_unlock(this, 0);
}

void Mutex::ReaderLock() {
  static auto* const own = TheirOwn<void(Mutex*)>("10ReaderLockEv");
  __tsan_mutex_pre_lock(this, __tsan_mutex_read_lock);
  own(this);
  __tsan_mutex_post_lock(this, __tsan_mutex_read_lock, 0);
}

void Mutex::ReaderUnlock() {
  static auto* const own = TheirOwn<void(Mutex*)>("12ReaderUnlockEv");
  __tsan_mutex_pre_unlock(this, __tsan_mutex_read_lock);
  own(this);
  __tsan_mutex_post_unlock(this, __tsan_mutex_read_lock);
}

ABSL_NAMESPACE_END
}  // namespace absl
