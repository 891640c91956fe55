// Log lines and a reader that stops: writers never wait, what is dropped is said where it is
// missing, and everything is bounded.
#include "core/env/log_writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "core/base/bounded_output.h"
#include "core/base/check.h"
#include "tests/support/eventually.h"
#include "tests/support/side_thread.h"
#include "tests/support/temp_dir.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

// A pipe of one page.
struct Pipe {
  Pipe() {
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    fcntl(fds[1], F_SETPIPE_SZ, 4096);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    CloseReader();
    close(fds[1]);
  }
  void CloseReader() {
    if (fds[0] >= 0) close(fds[0]);
    fds[0] = -1;
  }
  // What is there now.
  std::string Read() {
    std::string out;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = read(fds[0], buffer, sizeof(buffer))) > 0) out.append(buffer, got);
    return out;
  }
  void Fill() {
    const std::string page(4096, '.');
    CHECK(WriteWithin(fds[1], page, milliseconds(1000)));
  }
  int fds[2] = {-1, -1};
};

size_t Count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// The sum of all "N log lines were dropped here": a writer that is slow to begin has two gaps.
uint64_t SaidDropped(const std::string& text) {
  const std::string words = " log lines were dropped here";
  uint64_t sum = 0;
  for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
    const size_t before = text.find_last_not_of("0123456789", at - 1);
    sum += std::stoull(text.substr(before + 1, at - before - 1));
  }
  return sum;
}

TEST_CASE("log writer: lines arrive whole and in order") {
  Pipe pipe;
  LogWriter writer(pipe.fds[1]);
  std::string expected, got;
  for (int i = 0; i < 1000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    expected += line;
    writer.Write(line);
  }
  CHECK(Eventually([&] { return (got += pipe.Read()).size() >= expected.size(); }));
  CHECK(got == expected);
  CHECK(writer.Flush(milliseconds(5000)));
  CHECK(writer.losses().dropped == 0);
  CHECK_FALSE(writer.losses().stuck);
}

TEST_CASE("log writer: nobody reads, twice: nobody waits, and each gap is said in its place") {
  Pipe pipe;
  constexpr size_t kMax = 10'000;
  const std::string line(99, 'x');
  LogWriter writer(pipe.fds[1], kMax, milliseconds(50));
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    pipe.Fill();  // or what it takes in between makes room, and a second gap
    const uint64_t before = writer.losses().dropped;
    for (int i = 0; i < 1000; ++i) writer.Write(line + "\n");
    const uint64_t dropped = writer.losses().dropped - before;
    CHECK(dropped > 800);  // what the pipe took has made room
    CHECK_FALSE(writer.Flush(milliseconds(20)));
    CHECK(Eventually([&] { return writer.losses().stuck; }));
    std::string got;
    CHECK(Eventually([&] { return SaidDropped(got += pipe.Read()) == dropped; }));
    CHECK(Count(got, line) == 1000 - dropped);
    CHECK(got.rfind(" log lines were dropped here") > got.rfind(line));
    writer.Write("after\n");
    CHECK(Eventually([&] { return Count(got += pipe.Read(), "after\n") == 1; }));
    CHECK(writer.Flush(milliseconds(5000)));
    CHECK_FALSE(writer.losses().stuck);
    CHECK(SaidDropped(got) == dropped);
  }
}

TEST_CASE("log writer: it ends beside a reader that never comes back") {
  Pipe pipe;
  pipe.Fill();
  const auto begin = std::chrono::steady_clock::now();
  {
    LogWriter writer(pipe.fds[1]);
    writer.Write("never read\n");
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("log writer: a closed reader loses lines, which are counted") {
  signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.CloseReader();
  LogWriter writer(pipe.fds[1]);
  writer.Write("one\n");
  CHECK(writer.Flush(milliseconds(5000)));
  writer.Write("two\n");
  CHECK(writer.Flush(milliseconds(5000)));
  CHECK(writer.losses().dropped == 2);
  CHECK_FALSE(writer.losses().stuck);
}

TEST_CASE("bounded output: a socket that nobody reads, and the descriptor stays blocking") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  const std::string much(4 << 20, 'x');
  CHECK_FALSE(WriteWithin(pair[0], much, milliseconds(20)));
  CHECK((fcntl(pair[0], F_GETFL) & O_NONBLOCK) == 0);
  close(pair[0]);
  close(pair[1]);
}

TEST_CASE(
    "bounded output: a reader that takes a little now and then does not lengthen the time limit") {
  using SteadyClock = std::chrono::steady_clock;
  Pipe pipe;
  constexpr milliseconds kLimit(200);
  constexpr milliseconds kPace(10);
  const std::string text(100 * 4096, 'x');  // at a page each time: five times the limit
  SideThread reader([&](const std::atomic<bool>& stop) {
    while (!stop) {
      const SteadyClock::time_point next = SteadyClock::now() + kPace;
      Eventually([&] { return stop || SteadyClock::now() >= next; });
      char page[4096];
      [[maybe_unused]] const ssize_t n = read(pipe.fds[0], page, sizeof(page));
    }
  });
  CHECK_FALSE(WriteWithin(pipe.fds[1], text, kLimit));
}

TEST_CASE("log lines: control characters do not make lines of their own") {
  const std::string line = FormatLogLine(LogLevel::kInfo, "a\nb\x1b[0m\tc\r");
  CHECK(Count(line, "\n") == 1);
  CHECK(line.ends_with("a\\nb\\x1b[0m\\tc\\r\n"));
}

// A failed check in a process whose stderr is `fd`; how it ended.
int FailCheck(int fd) {
  const pid_t child = fork();
  if (child == 0) {
    dup2(fd, STDERR_FILENO);
    signal(SIGABRT, SIG_DFL);
    const bool truth = false;
    BASCULE_CHECK(truth);
    _exit(0);
  }
  int status = 0;
  const bool ended = Eventually([&] { return waitpid(child, &status, WNOHANG) == child; });
  if (!ended) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_CASE("check: its text is written, and a stuck reader does not keep the process") {
  Pipe pipe;
  CHECK(FailCheck(pipe.fds[1]) == SIGABRT);
  CHECK(Count(pipe.Read(), "assertion failed: truth\n") == 1);
  pipe.Fill();
  CHECK(FailCheck(pipe.fds[1]) == SIGABRT);
}

TEST_CASE(
    "log writer: what was lost while nobody could read is said when somebody can, all of it") {
  signal(SIGPIPE, SIG_IGN);
  const TempDir directory;
  const std::string path = directory.Path("lines");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const int own = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  constexpr size_t kMax = 10'000;
  const std::string line(99, 'x');
  LogWriter writer(own, kMax, milliseconds(50));
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    const std::string page(65'536, '.');
    CHECK(WriteWithin(own, page, milliseconds(1000)));  // the writer waits in the middle of a batch
    const uint64_t before = writer.losses().dropped;
    for (int i = 0; i < 1000; ++i) writer.Write(line + "\n");
    CHECK(writer.losses().dropped > before);
    close(reader);  // now its write fails, and so does the notice
    CHECK(writer.Flush(milliseconds(5000)));
    const uint64_t lost = writer.losses().dropped - before;
    CHECK(lost >= 1000);
    reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writer.Write("healed\n");
    std::string got;
    char buffer[4096];
    CHECK(Eventually([&] {
      for (ssize_t n = 0; (n = read(reader, buffer, sizeof(buffer))) > 0;) got.append(buffer, n);
      return SaidDropped(got) >= lost;
    }));
    CHECK(SaidDropped(got) == lost);
  }
  close(reader);
  close(own);
}

}  // namespace
}  // namespace bascule
