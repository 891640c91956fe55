// One function for each command. It talks to `client`, writes to the client's console and returns
// the exit status; what went wrong has been said by then.
#pragma once

#include "cmd/bascule/exit_codes.h"
#include "cmd/bascule/options.h"

namespace bascule::cli {

class Client;
class Interrupt;
struct Console;

// What every command gets. `json`: --json was given.
struct Session {
  Client& client;
  Console& console;
  Interrupt& interrupt;
  bool json = false;
};

ExitCode Run(Session& session, const StreamCreateOptions& options);
ExitCode Run(Session& session, const StreamUpdateOptions& options);
ExitCode Run(Session& session, const StreamListOptions& options);
ExitCode Run(Session& session, const StreamInfoOptions& options);
ExitCode Run(Session& session, const StreamGapsOptions& options);
ExitCode Run(Session& session, const StreamDeleteOptions& options);
ExitCode Run(Session& session, const PublishOptions& options);
ExitCode Run(Session& session, const SubscribeOptions& options);
ExitCode Run(Session& session, const ServerInfoOptions& options);
ExitCode Run(Session& session, const ClusterStatusOptions& options);
ExitCode Run(Session& session, const ClusterAddOptions& options);
ExitCode Run(Session& session, const ClusterRemoveOptions& options);
ExitCode Run(Session& session, const ClusterTransferOptions& options);
ExitCode Run(Session& session, const ClusterCertsOptions& options);
ExitCode Run(Session& session, const BenchPublishOptions& options);
ExitCode Run(Session& session, const BenchReplayOptions& options);
ExitCode Run(Session& session, const LogOptions& options);

}  // namespace bascule::cli
