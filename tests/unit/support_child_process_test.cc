#include "tests/support/child_process.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "core/env/file_system.h"
#include "tests/support/eventually.h"
#include "tests/support/nats_server.h"

namespace bascule {
namespace {

ChildOptions Shell(const std::string& script) { return {.program = "sh", .args = {"-c", script}}; }

TEST_CASE("child process: arguments, variables, input and output arrive") {
  ChildOptions options = Shell("cat; echo \"$GREETING\"; echo oops >&2; exit 3");
  options.env = {{"GREETING", "hello world"}};
  options.input = "typed\n";
  const auto result = RunProgram(options);
  REQUIRE(result.ok());
  CHECK(result->exit.code == 3);
  CHECK(result->output == "typed\nhello world\n");
  CHECK(result->errors == "oops\n");
}

TEST_CASE("child process: a missing program is NotFound and named") {
  const auto child = ChildProcess::Start({.program = "no-such-program"});
  CHECK(child.status().code() == absl::StatusCode::kNotFound);
  CHECK(std::string(child.status().message()).find("no-such-program") != std::string::npos);
}

TEST_CASE("child process: signals, and the group dies with the object") {
  auto child = ChildProcess::Start(
      Shell("trap 'exit 7' TERM; sleep 1000 & echo $!; while :; do wait; done"));
  REQUIRE(child.ok());
  REQUIRE(Eventually([&] { return !(*child)->Output().empty(); }));
  const pid_t grandchild = static_cast<pid_t>(std::stoi((*child)->Output()));
  CHECK_FALSE((*child)->WaitExit(std::chrono::milliseconds(0)).has_value());
  CHECK((*child)->Terminate().code == 7);
  CHECK(kill(grandchild, 0) == 0);
  child->reset();
  // Until init has reaped it, a killed process still has its id; its state tells.
  CHECK(Eventually([&] {
    auto stat =
        RealFileSystem().Open("/proc/" + std::to_string(grandchild) + "/stat", OpenMode::kRead);
    if (!stat.ok()) return true;
    std::string text(512, '\0');
    const auto size = (*stat)->ReadAt(FilePosition(0), text.data(), text.size());
    return !size.ok() || text.find(") Z") != std::string::npos;
  }));
}

TEST_CASE("child process: one that ignores SIGTERM is killed after the grace") {
  auto child = ChildProcess::Start(Shell("trap '' TERM; echo ready; while :; do sleep 1000; done"));
  REQUIRE(child.ok());
  REQUIRE(Eventually([&] { return (*child)->Output() == "ready\n"; }));
  CHECK((*child)->Terminate(std::chrono::milliseconds(50)).signal == SIGKILL);
  CHECK_FALSE((*child)->Running());
}

TEST_CASE("child process: free ports differ") {
  const int a = PickFreePort();
  const int b = PickFreePort();
  CHECK(a > 0);
  CHECK(a != b);
}

TEST_CASE("nats server: starts, dies, comes back on the same port") {
  auto server = NatsServer::Start(
      {.jetstream = true, .user = "u", .password = "p", .config = "max_payload: 2MB"});
  INFO(server.status().ToString());
  REQUIRE(server.ok());
  const int port = (*server)->port();
  CHECK((*server)->url() == "nats://127.0.0.1:" + std::to_string(port));
  (*server)->Kill();
  CHECK((*server)->Restart().ok());
  CHECK((*server)->port() == port);
  (*server)->Stop();
  CHECK((*server)->Restart().ok());
}

TEST_CASE("nats server: a bad configuration is told with its log") {
  const auto server = NatsServer::Start({.config = "no_such_option: {"});
  CHECK(server.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(server.status().message()).find("Parse error") != std::string::npos);
}

}  // namespace
}  // namespace bascule
