// Each fault of replica_mutants/ must be noticed within its number of seeds, each in a process of its own, which a
// failed check of the product may end. BASCULE_TEST_REPLICA_MUTANT names one; BASCULE_TEST_SEED=1000 begins there.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

#include "core/base/text.h"
#include "tests/sim/isr_mutated.h"
#include "tests/sim/replica_world.h"

namespace bascule {
namespace {

constexpr unsigned kMostSecondsOfSeed = 20;  // one that never ends is noticed too
constexpr size_t kShownBytes = 160;

struct Notice {
  uint64_t seeds = 0;  // that it took; 0: none noticed it
  std::string how;
};

// In the child: what it writes is what the parent is told.
[[noreturn]] void RunSeeds(uint64_t first, int seeds) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGALRM}) (void)std::signal(signal, SIG_DFL);
  for (int i = 0; i < seeds; ++i) {
    std::cout << "\nseed " << first + static_cast<uint64_t>(i) << std::endl;
    alarm(kMostSecondsOfSeed);
    ReplicaWorld world(first + static_cast<uint64_t>(i));
    if (world.Run()) continue;
    std::cout << world.violation() << std::endl;
    _exit(1);
  }
  _exit(0);
}

Notice Notices(const isr::Mutant& mutant) {
  const char* text = std::getenv("BASCULE_TEST_SEED");
  const uint64_t first = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::cout.flush();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    (void)dup2(ends[1], STDOUT_FILENO);
    (void)dup2(ends[1], STDERR_FILENO);
    isr::ChooseMutant(mutant.name);
    RunSeeds(first, mutant.seeds);
  }
  (void)close(ends[1]);
  std::string told;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;)
    told.append(buffer, static_cast<size_t>(n));
  (void)close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const size_t last = told.rfind("\nseed ");
  REQUIRE(last != std::string::npos);
  Notice notice;
  notice.seeds = std::strtoull(told.c_str() + last + 6, nullptr, 10) - first + 1;
  notice.how = told.substr(told.find('\n', last + 1) + 1);
  if (WIFSIGNALED(status)) notice.how = Concat("signal ", WTERMSIG(status), ": ", notice.how);
  for (char& c : notice.how) {
    if (c == '\n') c = ' ';
  }
  notice.how.resize(std::min(notice.how.size(), kShownBytes));
  return notice;
}

}  // namespace

TEST_CASE("replica mutants: each fault in what puts the replication rules to work is noticed") {
  const char* only = std::getenv("BASCULE_TEST_REPLICA_MUTANT");
  int run = 0;
  for (const isr::Mutant& mutant : isr::kMutants) {
    if (only != nullptr && mutant.name != only) continue;
    ++run;
    const Notice notice = Notices(mutant);
    CHECK_MESSAGE(notice.seeds != 0,
                  Concat(mutant.name, " survives ", mutant.seeds, " seeds: ", mutant.what));
    if (notice.seeds == 0) continue;
    std::cout << "replica mutant " << mutant.name << ": seed " << notice.seeds << " of "
              << mutant.seeds << ", " << notice.how << std::endl;
  }
  CHECK(run > 0);
}

}  // namespace bascule
