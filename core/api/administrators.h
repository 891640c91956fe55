// Who may change the cluster: callers on this machine, and clients whose certificate the operator lists.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace bascule::api {

// admin.*
struct AdminOptions {
  // Trust callers of the loopback interface. Off where a proxy on this machine passes others on.
  bool loopback = true;
  // Names in client certificates: the common name, or a subject alternative name.
  std::vector<std::string> identities;
};

// A caller as gRPC tells of it.
struct Caller {
  std::string peer;                // "ipv4:10.0.0.1:33412", "ipv6:%5B::1%5D:33412", "unix:/path"
  bool proxied = false;            // the request says that it was passed on for somebody else
  std::vector<std::string> names;  // of its certificate, which was verified; none without one
};

Caller CallerOf(const grpc::CallbackServerContext& context);

// From this machine: a unix socket, 127.0.0.0/8, ::1, and the former written as IPv6.
bool IsLoopback(std::string_view peer);

// OK, or PermissionDenied: who asked, and what to do.
absl::Status CheckAdministrator(const Caller& caller, const AdminOptions& options);

}  // namespace bascule::api
