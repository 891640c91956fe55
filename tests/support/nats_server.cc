#include "tests/support/nats_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/env/file_system.h"
#include "tests/support/eventually.h"

namespace bascule {
namespace {

constexpr int kAttempts = 5;

std::string Program() {
  const char* chosen = getenv("NATS_SERVER");
  return chosen != nullptr && *chosen != '\0' ? chosen : "nats-server";
}

std::string ConfigText(const NatsServerOptions& options, int port, const TempDir& files) {
  std::string text = absl::StrCat("listen: \"", options.host, ":", port, "\"\n");
  if (options.jetstream) {
    absl::StrAppend(&text, "jetstream { store_dir: \"", files.Path("jetstream"), "\" }\n");
  }
  if (!options.user.empty()) {
    absl::StrAppend(&text, "authorization { user: \"", options.user, "\", password: \"",
                    options.password, "\" }\n");
  }
  if (!options.token.empty())
    absl::StrAppend(&text, "authorization { token: \"", options.token, "\" }\n");
  if (!options.tls_cert_file.empty()) {
    absl::StrAppend(&text, "tls { cert_file: \"", options.tls_cert_file, "\", key_file: \"",
                    options.tls_key_file, "\"");
    if (!options.tls_ca_file.empty()) {
      absl::StrAppend(&text, ", ca_file: \"", options.tls_ca_file, "\", verify: true");
    }
    absl::StrAppend(&text, " }\n");
  }
  absl::StrAppend(&text, options.config, "\n");
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatsServer>> NatsServer::Start(const NatsServerOptions& options) {
  std::unique_ptr<NatsServer> server(new NatsServer());
  server->options_ = options;
  absl::Status status;
  // Between the choice of a port and its use another program may take it.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    server->port_ = PickFreePort();
    status = server->Launch();
    if (status.ok()) return server;
    if (!absl::IsUnavailable(status)) break;
  }
  return status;
}

std::string NatsServer::url() const {
  return absl::StrCat(options_.tls_cert_file.empty() ? "nats" : "tls", "://", options_.host, ":",
                      port_);
}

absl::Status NatsServer::Launch() {
  const std::string config = files_.Path("nats.conf");
  RETURN_IF_ERROR(
      WriteFileAtomically(RealFileSystem(), config, ConfigText(options_, port_, files_)));
  ASSIGN_OR_RETURN(process_, ChildProcess::Start({Program(), {"-c", config}, {}, "", ""}));
  const bool ready = Eventually([&] { return Greets() || !process_->Running(); });
  if (ready && process_->Running()) return absl::OkStatus();
  const std::string log = Log();
  process_.reset();
  const std::string text = absl::StrCat("nats-server did not come up on port ", port_, ": ", log);
  if (log.find("address already in use") != std::string::npos) return absl::UnavailableError(text);
  return absl::FailedPreconditionError(text);
}

// A server that accepts says INFO first, whatever security it asks for afterwards.
bool NatsServer::Greets() const {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0) return false;
  const timeval limit{1, 0};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port_));
  BASCULE_CHECK_EQ(inet_pton(AF_INET, options_.host.c_str(), &address.sin_addr), 1);
  char greeting[5] = {};
  const bool greets =
      connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      recv(connection, greeting, sizeof(greeting), MSG_WAITALL) == sizeof(greeting) &&
      std::string_view(greeting, sizeof(greeting)) == "INFO ";
  close(connection);
  return greets;
}

void NatsServer::Stop() {
  if (process_ != nullptr) process_->Terminate();
}

void NatsServer::Kill() {
  if (process_ != nullptr) process_->Kill();
}

absl::Status NatsServer::Restart() {
  BASCULE_CHECK(process_ == nullptr || !process_->Running());
  return Launch();
}

void NatsServer::Freeze() { process_->Signal(SIGSTOP); }

void NatsServer::Thaw() { process_->Signal(SIGCONT); }

void NatsServer::EnterLameDuckMode() { process_->Signal(SIGUSR2); }

std::string NatsServer::Log() const { return process_ == nullptr ? "" : process_->Errors(); }

}  // namespace bascule
