// A nats-server of our own: started, restarted when it dies, gone when we go.
#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/base/logging.h"
#include "nats_bridge/embedded_nats.h"
#include "tests/integration/nats_world.h"
#include "tests/support/temp_dir.h"

namespace bascule {
namespace {

nats::EmbeddedNatsOptions In(const TempDir& directory) {
  nats::EmbeddedNatsOptions options;
  options.directory = directory.Path("nats");
  return options;
}

bool Alive(int pid) { return kill(pid, 0) == 0; }

TEST_CASE("nats embedded: starts on a free port, ends with Stop") {
  const TempDir files;
  nats::EmbeddedNatsOptions options = In(files);
  options.max_payload = 4 << 20;
  auto nats = nats::EmbeddedNats::Start(options, RealClock());
  REQUIRE_MESSAGE(nats.ok(), nats.status().ToString());
  const int pid = (*nats)->pid();
  {
    PlainClient client((*nats)->url());
    CHECK(natsConnection_GetMaxPayload(client.get()) == 4 << 20);
  }
  CHECK(Alive(pid));
  // Ctrl-C in the terminal is for this process, which ends it when its last acks have left.
  CHECK(getpgid(pid) != getpgrp());
  (*nats)->Stop();
  CHECK(!Alive(pid));
  CHECK((*nats)->pid() == -1);
}

// What is logged as an error while it lives.
class ErrorLines final : public LogSink {
 public:
  ErrorLines() { SetLogSink(this); }
  ~ErrorLines() override { SetLogSink(nullptr); }
  void Write(std::string line) override {
    const std::lock_guard lock(mutex_);
    if (line.find(" error ") != std::string::npos) lines_ += line;
  }
  bool Flush(std::chrono::milliseconds) override { return true; }
  Losses losses() const override { return {}; }
  std::string lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::string lines_;
};

TEST_CASE("nats embedded: what ends it is an error in our log, too") {
  const TempDir files;
  const std::string program = files.Path("server.sh");
  std::ofstream(program) << "#!/bin/sh\n"
                            "echo '[1] 2026/01/01 00:00:00.000000 [FTL] made up' >&2\n"
                            "exec nats-server \"$@\"\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  nats::EmbeddedNatsOptions options = In(files);
  options.binary = program;
  const ErrorLines errors;
  auto nats = nats::EmbeddedNats::Start(options, RealClock());
  REQUIRE_MESSAGE(nats.ok(), nats.status().ToString());
  CHECK(Eventually([&] { return errors.lines().find("made up") != std::string::npos; }));
  (*nats)->Stop();
}

TEST_CASE("nats embedded: two at once, and a bus on one of them") {
  const TempDir a, b;
  auto first = nats::EmbeddedNats::Start(In(a), RealClock());
  auto second = nats::EmbeddedNats::Start(In(b), RealClock());
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK((*first)->url() != (*second)->url());
  PlainClient one((*first)->url()), two((*second)->url());
}

TEST_CASE("nats embedded: started again on the same port when it dies") {
  const TempDir files;
  auto nats = nats::EmbeddedNats::Start(In(files), RealClock());
  REQUIRE(nats.ok());
  const std::string url = (*nats)->url();
  const int first = (*nats)->pid();
  kill(first, SIGKILL);
  REQUIRE(Eventually([&] { return (*nats)->pid() > 0 && (*nats)->pid() != first; }));
  CHECK((*nats)->url() == url);
  CHECK((*nats)->restarts() == 1);
  PlainClient client(url);
}

TEST_CASE("nats embedded: a user's own configuration and log file") {
  const TempDir files;
  nats::EmbeddedNatsOptions options = In(files);
  options.config_file = files.Path("own.conf");
  options.log_file = files.Path("nats.log");
  std::ofstream(options.config_file)
      << "listen: 127.0.0.1:-1\nmax_payload: 2MB\nauthorization: { token: abc }\n";
  auto nats = nats::EmbeddedNats::Start(options, RealClock());
  REQUIRE_MESSAGE(nats.ok(), nats.status().ToString());
  std::string url = (*nats)->url();
  url.insert(url.find("//") + 2, "abc@");
  PlainClient client(url);
  CHECK(natsConnection_GetMaxPayload(client.get()) == 2 << 20);
  std::ifstream log(options.log_file);
  std::string line;
  CHECK(std::getline(log, line));
}

TEST_CASE("nats embedded: clear errors") {
  const TempDir files;
  nats::EmbeddedNatsOptions options = In(files);
  options.binary = "no-such-nats-server";
  auto missing = nats::EmbeddedNats::Start(options, RealClock()).status();
  CHECK(missing.code() == absl::StatusCode::kNotFound);
  CHECK(missing.message().find("apt install nats-server") != absl::string_view::npos);
  options.binary = "nats-server";
  options.config_file = files.Path("bad.conf");
  std::ofstream(options.config_file) << "listen: [\n";
  auto bad = nats::EmbeddedNats::Start(options, RealClock()).status();
  CHECK(bad.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_MESSAGE(bad.message().find("bad.conf") != absl::string_view::npos, bad.ToString());
  // A port that somebody else has.
  auto other = nats::EmbeddedNats::Start(In(files), RealClock());
  REQUIRE(other.ok());
  const TempDir second;
  nats::EmbeddedNatsOptions taken = In(second);
  taken.port = std::stoi((*other)->url().substr((*other)->url().rfind(':') + 1));
  const auto in_use = nats::EmbeddedNats::Start(taken, RealClock()).status();
  CHECK(in_use.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(in_use.message().find("address already in use") != absl::string_view::npos);
}

}  // namespace
}  // namespace bascule
