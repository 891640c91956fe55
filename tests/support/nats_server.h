// A real nats-server for tests, on a port of its own.
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace bascule {

// Initializers on every field: tests name the few they want, and the compiler stays quiet about the
// rest.
struct NatsServerOptions {
  std::string host{"127.0.0.1"};  // an IPv4 address
  bool jetstream = false;
  std::string user{};  // with `password`
  std::string password{};
  std::string token{};
  std::string tls_cert_file{};
  std::string tls_key_file{};
  std::string tls_ca_file{};  // set: clients must show a certificate of this authority
  std::string config{};       // further lines of its configuration file
};

// The program is $NATS_SERVER, or nats-server in $PATH or /usr/sbin. One thread.
class NatsServer {
 public:
  // Returns when it accepts connections. NotFound names the missing program.
  static absl::StatusOr<std::unique_ptr<NatsServer>> Start(const NatsServerOptions& options = {});

  int port() const { return port_; }
  // nats://<host>:<port> (tls:// with TLS), without credentials.
  std::string url() const;

  // Ends gracefully, or at once; nothing when it is down.
  void Stop();
  void Kill();
  // Again on the same port, with its JetStream data. Must be down.
  absl::Status Restart();
  // What the next Restart goes by.
  NatsServerOptions& options() { return options_; }
  // Stops it in its tracks (SIGSTOP) and lets it go on: a server that hangs.
  void Freeze();
  void Thaw();
  // It is to end in a while, and asks its clients to go (lame duck mode).
  void EnterLameDuckMode();
  // What it has logged since its last start.
  std::string Log() const;

 private:
  NatsServer() = default;
  absl::Status Launch();
  bool Greets() const;

  TempDir files_;
  NatsServerOptions options_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace bascule
