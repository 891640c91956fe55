// The command line of Bascule: parses, connects nothing by itself, runs one command.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <variant>

#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/interrupt.h"
#include "cmd/bascule/options.h"
#include "core/env/clock.h"
#include "core/env/lock_order.h"

namespace {

// Nobody reads standard output any more, as behind `| head`.
bool ReaderGone() {
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace bascule::cli;
  bascule::SetLockOrderChecks();
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);
  // `bascule subscribe | head`: the failed write ends the command, not the signal.
  std::signal(SIGPIPE, SIG_IGN);
  // gRPC's own log lines would stand between ours; whoever looks for them sets the variable.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  bascule::Clock& clock = bascule::RealClock();
  const ParsedCommandLine parsed = ParseCommandLine(argc, argv, clock.Wall(), std::cout, std::cerr);
  if (!parsed.invocation) return static_cast<int>(parsed.code);

  Interrupt interrupt(clock);
  Console console{std::cout,
                  std::cerr,
                  STDIN_FILENO,
                  isatty(STDOUT_FILENO) == 1,
                  isatty(STDERR_FILENO) == 1,
                  isatty(STDIN_FILENO) == 1};
  Client client(parsed.invocation->connection, clock, console);
  Session session{client, console, interrupt, parsed.invocation->json};
  const ExitCode code = std::visit([&](const auto& options) { return Run(session, options); },
                                   parsed.invocation->command);
  console.out.flush();
  if (code != ExitCode::kOk || console.out || ReaderGone()) return static_cast<int>(code);
  return static_cast<int>(
      Report(console, {ExitCode::kRefused, "cannot write standard output", "is the disk full?"}));
}
