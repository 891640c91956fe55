#include "nats_bridge/server_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "nats_bridge/login.h"

namespace bascule::nats {
namespace {

// OpenSSL's own words for what went wrong last on this thread, which it then forgets.
std::string TlsErrorText() {
  const unsigned long code = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  std::string text = reason != nullptr ? reason : "unknown reason";
  ERR_clear_error();
  return text;
}

absl::Status FileRefused(std::string_view option, const std::string& path) {
  return absl::InvalidArgumentError(
      Concat("nats: ", option, " '", path, "' cannot be used: ", TlsErrorText()));
}

absl::Status Lost(std::string_view what, int error) {
  return absl::UnavailableError(Concat(what, ": ", strerror(error)));
}

constexpr char kClosedByServer[] = "the server closed the connection";

absl::Status LoadFiles(SSL_CTX* context, const NatsTlsOptions& options) {
  if (options.ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) != 1)
      return absl::InternalError("nats: OpenSSL has no certificates of the system's authorities");
  } else {
    RETURN_IF_ERROR(ReadCredential(options.ca_file, "TLS CA file").status());
    if (SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1)
      return FileRefused("TLS CA file", options.ca_file);
  }
  if (options.cert_file.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(ReadCredential(options.cert_file, "TLS certificate").status());
  RETURN_IF_ERROR(ReadCredential(options.key_file, "TLS key").status());
  if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return FileRefused("TLS certificate",
                       Concat(options.cert_file, "' with key '", options.key_file));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsContextPtr> MakeTlsContext(const NatsTlsOptions& options) {
  RETURN_IF_ERROR(CheckTlsFiles(options));
  TlsContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return absl::InternalError("nats: OpenSSL makes no TLS context");
  SSL_CTX_set_default_passwd_cb(context.get(), &openssl::NoPassphrase);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1)
    return absl::InternalError("nats: OpenSSL knows no TLS 1.2");
  RETURN_IF_ERROR(LoadFiles(context.get(), options));
  return context;
}

ServerSocket::~ServerSocket() { Close(); }

void ServerSocket::Close() {
  tls_.reset();
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

absl::Status ServerSocket::Dial(const ServerUrl& url) {
  BASCULE_CHECK(fd_ < 0 && targets_.empty());
  shown_ = HostPort(url);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = Concat(url.port);
  if (const int error = getaddrinfo(url.host.c_str(), port.c_str(), &hints, &found); error != 0)
    return absl::UnavailableError(Concat("no address of ", url.host, ": ", gai_strerror(error)));
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Target target{};
    target.length = std::min<socklen_t>(one->ai_addrlen, sizeof(target.address));
    std::memcpy(&target.address, one->ai_addr, target.length);
    targets_.push_back(target);
  }
  freeaddrinfo(found);
  std::reverse(targets_.begin(), targets_.end());  // they are taken off the back
  return DialNext(absl::UnavailableError(Concat("no address of ", url.host)));
}

absl::Status ServerSocket::DialNext(absl::Status last) {
  while (!targets_.empty()) {
    const Target target = targets_.back();
    targets_.pop_back();
    Close();
    fd_ = socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
      last = Lost("no socket", errno);
      continue;
    }
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
    if (connect(fd_, address, target.length) == 0 || errno == EINPROGRESS) {
      connecting_ = true;
      wants_write_ = true;
      return absl::OkStatus();
    }
    last = Lost(Concat("cannot connect to ", shown_), errno);
  }
  return last;
}

absl::StatusOr<bool> ServerSocket::Continue() {
  if (connecting_) return FinishConnect();
  if (handshaking_) return FinishTls();
  return true;
}

absl::StatusOr<bool> ServerSocket::FinishConnect() {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error == 0) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    if (getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;  // not yet
    connecting_ = false;
    wants_write_ = false;
    targets_.clear();
    return true;
  }
  RETURN_IF_ERROR(DialNext(Lost(Concat("cannot connect to ", shown_), error)));
  return false;
}

absl::Status ServerSocket::StartTls(SSL_CTX& context, const std::string& name) {
  BASCULE_CHECK(fd_ >= 0 && !connecting_ && tls_ == nullptr);
  ERR_clear_error();
  tls_.reset(SSL_new(&context));
  if (tls_ == nullptr || SSL_set_fd(tls_.get(), fd_) != 1)
    return absl::UnavailableError(Concat("TLS: ", TlsErrorText()));
  const bool named =
      IsIpAddress(name)
          ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), name.c_str()) == 1
          : SSL_set1_host(tls_.get(), name.c_str()) == 1 &&
                SSL_set_tlsext_host_name(tls_.get(), name.c_str()) == 1;
  if (!named) return absl::UnavailableError(Concat("TLS: '", name, "' can be no server's name"));
  SSL_set_connect_state(tls_.get());
  handshaking_ = true;
  return absl::OkStatus();
}

absl::StatusOr<bool> ServerSocket::FinishTls() {
  ERR_clear_error();
  const int result = SSL_do_handshake(tls_.get());
  if (result == 1) {
    handshaking_ = false;
    wants_write_ = false;
    return true;
  }
  const int error = SSL_get_error(tls_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    wants_write_ = error == SSL_ERROR_WANT_WRITE;
    return false;
  }
  if (const long verdict =
          SSL_get_verify_result(tls_.get());  // NOLINT(google-runtime-int): OpenSSL's
      verdict != X509_V_OK) {
    ERR_clear_error();
    return absl::UnavailableError(Concat("the server's TLS certificate is not believed: ",
                                         X509_verify_cert_error_string(verdict)));
  }
  return absl::UnavailableError(Concat("no TLS with the server: ", TlsErrorText()));
}

absl::StatusOr<size_t> ServerSocket::TlsOutcome(int result) {
  if (result > 0) {
    wants_write_ = false;
    return static_cast<size_t>(result);
  }
  const int error = SSL_get_error(tls_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    wants_write_ = error == SSL_ERROR_WANT_WRITE;
    return size_t{0};
  }
  if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && errno == 0))
    return absl::UnavailableError(kClosedByServer);
  if (error == SSL_ERROR_SYSCALL) return Lost("the connection broke", errno);
  return absl::UnavailableError(Concat("TLS broke: ", TlsErrorText()));
}

absl::StatusOr<size_t> ServerSocket::Read(char* into, size_t size) {
  BASCULE_CHECK(fd_ >= 0 && !connecting_ && !handshaking_ && size > 0);
  if (tls_ != nullptr) {
    ERR_clear_error();
    errno = 0;
    return TlsOutcome(
        SSL_read(tls_.get(), into, static_cast<int>(std::min<size_t>(size, INT_MAX))));
  }
  const ssize_t n = recv(fd_, into, size, 0);
  if (n > 0) return static_cast<size_t>(n);
  if (n == 0) return absl::UnavailableError(kClosedByServer);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
  return Lost("the connection broke", errno);
}

absl::StatusOr<size_t> ServerSocket::Write(std::string_view bytes) {
  BASCULE_CHECK(fd_ >= 0 && !connecting_ && !handshaking_);
  if (bytes.empty()) return size_t{0};
  if (tls_ != nullptr) {
    ERR_clear_error();
    errno = 0;
    return TlsOutcome(SSL_write(tls_.get(), bytes.data(),
                                static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX))));
  }
  const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n >= 0) return static_cast<size_t>(n);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
  return Lost("the connection broke", errno);
}

}  // namespace bascule::nats
