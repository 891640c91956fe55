// A NATS server that does what a test says, line by line: for what no real one does on demand.
#pragma once

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/text.h"
#include "tests/support/side_thread.h"

namespace bascule {

inline constexpr char kScriptedInfo[] =
    R"(INFO {"server_id":"S","version":"2.9.0","proto":1,"headers":true,"max_payload":1048576})"
    "\r\n";

// One client's connection, on the script's thread. After the client or the test has ended it, reads give
// nothing and writes go nowhere.
class ScriptedPeer {
 public:
  ScriptedPeer(int fd, const std::atomic<bool>& stop) : fd_(fd), stop_(stop) {}
  ~ScriptedPeer() {
    if (tls_ != nullptr) SSL_free(tls_);
    close(fd_);
  }
  ScriptedPeer(const ScriptedPeer&) = delete;
  ScriptedPeer& operator=(const ScriptedPeer&) = delete;

  // The next line without its end; empty: there is none any more.
  std::string Line() {
    while (true) {
      if (const size_t end = pending_.find("\r\n"); end != std::string::npos) {
        std::string line = pending_.substr(0, end);
        pending_.erase(0, end + 2);
        return line;
      }
      if (!Fill()) return "";
    }
  }
  // Reads on until a line begins with `begin`; that line. Answers no PING.
  std::string Await(std::string_view begin) {
    while (true) {
      std::string line = Line();
      if (line.empty() || absl::StartsWith(line, ToAbsl(begin))) return line;
    }
  }
  // Everything up to `end`, without it.
  std::string Until(std::string_view end) {
    while (pending_.find(end) == std::string::npos) {
      if (!Fill()) return "";
    }
    std::string bytes = pending_.substr(0, pending_.find(end));
    pending_.erase(0, bytes.size() + end.size());
    return bytes;
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty() && !stop_) {
      if (tls_ == nullptr && !Ready(POLLOUT)) continue;
      const ssize_t n = tls_ != nullptr
                            ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                            : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n <= 0) {
        if (tls_ == nullptr && (errno == EAGAIN || errno == EINTR)) continue;
        return;
      }
      sent_ += static_cast<size_t>(n);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // INFO, CONNECT, PING, PONG: what it said in CONNECT.
  std::string LetIn(std::string_view info = kScriptedInfo) {
    Send(info);
    std::string connect = Await("CONNECT");
    Await("PING");
    Send("PONG\r\n");
    return connect;
  }
  // Answers each PING until the client goes; notes every line in `lines`.
  void Serve(const std::function<void(const std::string&)>& on_line = nullptr) {
    while (true) {
      const std::string line = Line();
      if (line.empty()) return;
      if (on_line != nullptr) on_line(line);
      if (line == "PING") Send("PONG\r\n");
    }
  }
  // Blocks until the client has begun TLS and it is there.
  bool StartTls(const std::string& cert_file, const std::string& key_file) {
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_chain_file(context, cert_file.c_str());
    SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM);
    tls_ = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(tls_, fd_);
    return SSL_accept(tls_) == 1;
  }
  // Of what was sent, what the client's system has not taken.
  size_t Unsent() const {
    int bytes = 0;
    ioctl(fd_, TIOCOUTQ, &bytes);
    return static_cast<size_t>(bytes);
  }
  size_t sent() const { return sent_; }
  const std::atomic<bool>& stopping() const { return stop_; }

 private:
  bool Ready(short events) const {
    pollfd waited{fd_, events, 0};
    return poll(&waited, 1, 20) > 0;
  }
  bool Fill() {
    char bytes[4096];
    while (!stop_) {
      if ((tls_ == nullptr || SSL_pending(tls_) == 0) && !Ready(POLLIN)) continue;
      const ssize_t n = tls_ != nullptr ? SSL_read(tls_, bytes, sizeof(bytes))
                                        : recv(fd_, bytes, sizeof(bytes), 0);
      if (n <= 0) return false;
      pending_.append(bytes, static_cast<size_t>(n));
      return true;
    }
    return false;
  }

  const int fd_;
  const std::atomic<bool>& stop_;
  SSL* tls_ = nullptr;
  std::string pending_;
  size_t sent_ = 0;
};

class ScriptedServer {
 public:
  // `script` runs for one connection after the other; `connection` counts them from 0.
  using Script = std::function<void(ScriptedPeer& peer, int connection)>;
  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(listen(listener_, 16) == 0);
    REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::make_unique<SideThread>([this](const std::atomic<bool>& stop) { Run(stop); });
  }
  ~ScriptedServer() { Stop(); }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  // Nobody can connect any more, and who is connected is cut off.
  void Stop() {
    thread_->Stop();
    if (listener_ >= 0) close(std::exchange(listener_, -1));
  }
  int port() const { return port_; }
  std::string url() const { return Concat("nats://127.0.0.1:", port_); }
  std::string address() const { return Concat("127.0.0.1:", port_); }
  int connections() const { return connections_; }

 private:
  void Run(const std::atomic<bool>& stop) {
    while (!stop) {
      pollfd waited{listener_, POLLIN, 0};
      if (poll(&waited, 1, 20) <= 0) continue;
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ScriptedPeer peer(fd, stop);
      script_(peer, connections_++);
    }
  }

  const Script script_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::unique_ptr<SideThread> thread_;
};

}  // namespace bascule
