// The socket to a NATS server: dialled, encrypted, read and written without waiting. One thread at a time.
#pragma once

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/openssl_handles.h"
#include "core/base/status.h"
#include "nats_bridge/nats_options.h"
#include "nats_bridge/server_url.h"

namespace bascule::nats {

using TlsContextPtr = openssl::Owned<SSL_CTX, &SSL_CTX_free>;
using TlsPtr = openssl::Owned<SSL, &SSL_free>;

// What a client needs to encrypt: the authorities that it trusts (the system's, unless one is named), and its
// certificate. Files are read now. InvalidArgument or NotFound naming the option and the file.
absl::StatusOr<TlsContextPtr> MakeTlsContext(const NatsTlsOptions& options);

// Errors are Unavailable, and end it: the text says what happened. SIGPIPE must be ignored or blocked on its
// thread: OpenSSL writes without saying otherwise.
class ServerSocket {
 public:
  ServerSocket() = default;
  ~ServerSocket();
  ServerSocket(const ServerSocket&) = delete;
  ServerSocket& operator=(const ServerSocket&) = delete;

  // Begins to connect; Continue goes on. A host that is a name is looked up here, and that waits for the
  // system's resolver.
  absl::Status Dial(const ServerUrl& url);
  // Begins to encrypt what is connected, with a server whose certificate must be good for `name`; Continue
  // goes on. `context` may go afterwards.
  absl::Status StartTls(SSL_CTX& context, const std::string& name);
  // Whether what was begun is done; to be called again when fd() is ready for what is wanted. Of several
  // addresses of a host the next one is tried, on another fd.
  absl::StatusOr<bool> Continue();

  // How many bytes came, at most `size`; 0: none for now. Not before Continue said that it is done.
  absl::StatusOr<size_t> Read(char* into, size_t size);
  // How many of `bytes` were taken; 0: none for now.
  absl::StatusOr<size_t> Write(std::string_view bytes);

  int fd() const { return fd_; }                     // -1: none
  bool wants_write() const { return wants_write_; }  // whatever else is to be written
  bool encrypted() const { return tls_ != nullptr; }
  // Bytes that are read already, and of which fd() says nothing.
  bool holds_bytes() const { return tls_ != nullptr && SSL_pending(tls_.get()) > 0; }

 private:
  struct Target {
    sockaddr_storage address;
    socklen_t length;
  };

  absl::Status DialNext(absl::Status last);
  absl::StatusOr<bool> FinishConnect();
  absl::StatusOr<bool> FinishTls();
  absl::StatusOr<size_t> TlsOutcome(int result);
  void Close();

  std::vector<Target> targets_;  // still to be tried
  std::string shown_;            // host:port
  int fd_ = -1;
  bool connecting_ = false;
  bool wants_write_ = false;
  TlsPtr tls_;
  bool handshaking_ = false;
};

}  // namespace bascule::nats
