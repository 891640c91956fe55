// The preload layer itself: what was synced stays, what was not goes, whatever happened in between.
#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unsynced_format.h"
#include "tests/support/unsynced_recovery.h"

namespace bascule {
namespace {

namespace fs = std::filesystem;

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void Write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A folder to lose, its journal, and a program under the layer.
class Victim {
 public:
  Victim() {
    fs::create_directory(root());
    fs::create_directory(journal());
  }

  std::string root() const { return base_.Path("root"); }
  std::string journal() const { return base_.Path("journal"); }
  const std::string& output() const { return output_; }
  // The next sync of a file called "fails..." fails.
  void FailNextSync() { Write(base_.Path("fail"), ""); }
  std::string Path(const std::string& name) const { return root() + "/" + name; }

  // Runs the commands of unsynced_writer.c ("%" stands for the root), which end in SIGKILL, and
  // undoes what was not synced.
  UnsyncedLoss Run(const std::string& commands, const std::string& forget = "") {
    const std::string bin = std::getenv("BASCULE_BIN");
    ChildOptions child;
    child.program = bin + "/unsynced_writer";
    child.env = {{"LD_PRELOAD", bin + "/libunsynced_loss.so"},
                 {UNSYNCED_ROOT, root()},
                 {UNSYNCED_JOURNAL, journal()},
                 {UNSYNCED_FORGET, forget},
                 {UNSYNCED_FAIL, "/fails"},
                 {UNSYNCED_FAIL_WHEN, base_.Path("fail")}};
    std::istringstream in(commands);
    for (std::string word; in >> word;) {
      child.args.push_back(word.starts_with('%') ? root() + word.substr(1) : word);
    }
    absl::StatusOr<RunResult> run = RunProgram(child);
    REQUIRE_MESSAGE(run.ok(), run.status().ToString());
    CHECK_MESSAGE(run->exit.signal == SIGKILL, run->errors);
    output_ = run->output;
    return RecoverUnsynced(root(), journal());
  }

 private:
  TempDir base_;
  std::string output_;
};

TEST_CASE("writes after the last sync are lost, those before stay") {
  Victim victim;
  Write(victim.Path("a"), "0123456789");
  UnsyncedLoss loss = victim.Run(
      "write %/a 0 AB sync %/a write %/a 1 xyz write %/a 8 LONGER write %/a 0 -- truncate %/a 3");
  CHECK(Read(victim.Path("a")) == "AB23456789");
  CHECK(loss.changes == 4);
}

TEST_CASE("a file cut, emptied or extended without a sync gets its bytes back") {
  Victim victim;
  Write(victim.Path("a"), "0123456789");
  Write(victim.Path("b"), "bbbb");
  Write(victim.Path("c"), "c");
  victim.Run("truncate %/a 2 write %/a 5 zz empty %/b write %/b 0 new truncate %/c 5000000");
  CHECK(Read(victim.Path("a")) == "0123456789");
  CHECK(Read(victim.Path("b")) == "bbbb");
  CHECK(Read(victim.Path("c")) == "c");
}

TEST_CASE("a synced file stays only with its directory's entry") {
  Victim victim;
  victim.Run("write %/lost 0 x sync %/lost");
  CHECK_FALSE(fs::exists(victim.Path("lost")));
  victim.Run("write %/kept 0 x sync %/kept sync %");
  CHECK(Read(victim.Path("kept")) == "x");
  victim.Run("write %/empty 0 x sync %");
  CHECK(Read(victim.Path("empty")).empty());
  CHECK(fs::exists(victim.Path("empty")));
}

TEST_CASE("a replaced file comes back unless the directory was synced") {
  Victim victim;
  Write(victim.Path("a"), "old");
  UnsyncedLoss loss = victim.Run("write %/a.tmp 0 new sync %/a.tmp rename %/a.tmp %/a");
  CHECK(Read(victim.Path("a")) == "old");
  CHECK_FALSE(fs::exists(victim.Path("a.tmp")));
  CHECK(loss.entries == 2);
  victim.Run("write %/a.tmp 0 new sync %/a.tmp rename %/a.tmp %/a sync %");
  CHECK(Read(victim.Path("a")) == "new");
  victim.Run("write %/a.tmp 0 newer rename %/a.tmp %/a sync %");
  CHECK(Read(victim.Path("a")).empty());  // the entry is there, its bytes never were
}

TEST_CASE("removed files and directories come back, made ones go") {
  Victim victim;
  fs::create_directory(victim.Path("d"));
  Write(victim.Path("d/f"), "text");
  victim.Run("unlink %/d/f rmdir %/d mkdir %/new write %/new/x 0 x sync %/new/x sync %/new");
  CHECK(Read(victim.Path("d/f")) == "text");
  CHECK_FALSE(fs::exists(victim.Path("new")));
  victim.Run("unlink %/d/f sync %/d rmdir %/d sync % mkdir %/new sync %");
  CHECK_FALSE(fs::exists(victim.Path("d")));
  CHECK(fs::exists(victim.Path("new")));
}

TEST_CASE("a forgotten sync shows") {
  Victim victim;
  Write(victim.Path("a"), "old");
  Write(victim.Path("b"), "old");
  victim.Run("write %/a 0 new sync %/a write %/b 0 new sync %/b", "/b");
  CHECK(Read(victim.Path("a")) == "new");
  CHECK(Read(victim.Path("b")) == "old");
}

TEST_CASE(
    "what a failed sync had stays lost, though later syncs succeed, until it is written again") {
  Victim victim;
  Write(victim.Path("fails"), "0123456789");
  victim.FailNextSync();
  UnsyncedLoss loss = victim.Run(
      "write %/fails 0 AB write %/fails 8 LONGER sync? %/fails "
      "write %/fails 14 after sync %/fails");
  CHECK(Read(victim.Path("fails")) == std::string("0123456789\0\0\0\0after", 19));
  CHECK(loss.dropped == 8);
  victim.FailNextSync();
  victim.Run("write %/fails 0 AB sync? %/fails write %/fails 1 xy sync %/fails");
  CHECK(Read(victim.Path("fails")).substr(0, 4) == "0xy3");
  // Written again, but not synced.
  victim.FailNextSync();
  victim.Run("write %/fails 0 AB sync? %/fails write %/fails 0 AB");
  CHECK(Read(victim.Path("fails")).substr(0, 4) == "0xy3");
  // Cut off behind it.
  victim.FailNextSync();
  victim.Run("write %/fails 5 AB sync? %/fails truncate %/fails 5 write %/fails 5 cd sync %/fails");
  CHECK(Read(victim.Path("fails")) == "0xy34cd");
}

TEST_CASE("with many writers beside a sync, what was written before it stays") {
  constexpr size_t kThreads = 4;
  constexpr size_t kBlock = 64;
  Victim victim;
  Write(victim.Path("a"), "");
  UnsyncedLoss loss = victim.Run("race %/a");
  size_t synced = 0;
  std::istringstream out(victim.output());
  for (size_t n = 0; out >> n;) synced = n;
  REQUIRE(synced > 0);
  std::string text = Read(victim.Path("a"));
  REQUIRE(text.size() >= synced * kThreads * kBlock);
  size_t wrong = 0;
  for (size_t i = 0; i < synced * kThreads * kBlock; ++i) {
    wrong += text[i] == static_cast<char>('a' + i / kBlock % kThreads) ? 0 : 1;
  }
  CHECK(wrong == 0);
  MESSAGE("synced " << synced << " rounds, lost " << loss.changes << " writes");
}

}  // namespace
}  // namespace bascule
