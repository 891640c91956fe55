// The command line of Bascule: parses, connects nothing by itself, runs one command.
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

int main(int argc, char** argv) {
  using namespace bascule::cli;
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
  return static_cast<int>(code);
}
