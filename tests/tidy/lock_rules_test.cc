#include "tests/tidy/lock_rules.h"

#include <doctest/doctest.h>

namespace bascule::tidy {
namespace {

template <typename Rule>
size_t LockComplaints(Rule rule, std::string path, std::string text) {
  return rule(Source(std::move(path), std::move(text))).size();
}

TEST_CASE("locks that carry no annotations are found in the product, and nowhere else") {
  for (const char* line :
       {"std::mutex mutex_;", "const std::lock_guard lock(mutex_);", "std::shared_mutex m;",
        "std::unique_lock lock(m);", "std::condition_variable work;", "std::scoped_lock l(a, b);",
        "absl::CondVar work_;", "mutex_.AwaitWithTimeout(done, wait);", "mutex_.LockWhen(done);"}) {
    CHECK_MESSAGE(LockComplaints(CheckLocks, "core/env/a.cc", line) == 1, line);
    CHECK_MESSAGE(LockComplaints(CheckLocks, "tests/unit/a_test.cc", line) == 0, line);
  }
  CHECK(LockComplaints(CheckLocks, "core/env/a.cc",
                       "absl::Mutex m;\nCondVar c;\nconst absl::MutexLock lock(&m);\n"
                       "// std::mutex would do\n") == 0);
}

TEST_CASE("a comment in the place of an annotation is found") {
  CHECK(LockComplaints(CheckLocks, "core/env/a.h", "  int a_ = 0;  // guarded by mutex_\n") == 1);
  CHECK(LockComplaints(CheckLocks, "core/env/a.h", "  // Guarded by the owner's lock.\n") == 1);
  CHECK(LockComplaints(CheckLocks, "core/env/a.h", "  int a_ ABSL_GUARDED_BY(mutex_) = 0;\n") == 0);
}

TEST_CASE("a mutex that guards nothing is found") {
  const std::string member = "  mutable absl::Mutex mutex_;\n";
  CHECK(LockComplaints(CheckGuards, "core/a.h", member + "  int a_ = 0;\n") == 1);
  CHECK(LockComplaints(CheckGuards, "core/a.h",
                       member + "  int a_ ABSL_GUARDED_BY(other_) = 0;\n") == 1);
  CHECK(LockComplaints(CheckGuards, "core/a.h",
                       member + "  int a_ ABSL_GUARDED_BY(mutex_) = 0;\n") == 0);
  CHECK(LockComplaints(CheckGuards, "tests/unit/a_test.cc", member) == 0);
}

TEST_CASE("the next class's annotations do not count for a mutex of the same name") {
  CHECK(LockComplaints(CheckGuards, "core/a.h",
                       "  absl::Mutex mutex_;\n  int a_;\n};\n"
                       "  absl::Mutex mutex_;\n  int b_ ABSL_GUARDED_BY(mutex_);\n") == 1);
}

TEST_CASE("a mutex with a comment on its line, a reference and a parameter pass") {
  CHECK(LockComplaints(CheckGuards, "core/a.h", "  absl::Mutex order_;  // orders the calls\n") ==
        0);
  CHECK(LockComplaints(CheckGuards, "core/a.h", "bool Wait(absl::Mutex& mutex);\n") == 0);
  CHECK(LockComplaints(CheckGuards, "core/a.h",
                       "  absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(a_->mutex);\n  int b_;\n") == 1);
}

}  // namespace
}  // namespace bascule::tidy
