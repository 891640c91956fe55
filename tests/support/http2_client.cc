#include "tests/support/http2_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace bascule {
namespace {

constexpr size_t kGather = 64 * 1024;
constexpr int kStallMs = 10'000;
constexpr size_t kFrameHeader = 9;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// HPACK (RFC 7541, section 6.2.2): literal, not indexed, no Huffman code; short texts only.
void AppendText(std::string& out, std::string_view text) {
  out.push_back(static_cast<char>(text.size() & 0x7f));
  out += text;
}

void AppendHeader(std::string& out, std::string_view name, std::string_view value) {
  out.push_back(0);
  AppendText(out, name);
  AppendText(out, value);
}

}  // namespace

Http2Client::Http2Client(int port) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
  const int one = 1;
  if (fd_ >= 0) setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

Http2Client::~Http2Client() { Close(); }

Http2Client::Http2Client(Http2Client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), out_(std::move(other.out_)), in_(std::move(other.in_)) {}

void Http2Client::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

bool Http2Client::Greet(const Settings& settings) {
  out_ += kPreface;
  std::string payload;
  for (const auto& [id, value] : settings) {
    AppendNumber(payload, id, 2);
    AppendNumber(payload, value, 4);
  }
  return Send(http2::kSettings, http2::kNone, 0, payload) && Flush();
}

bool Http2Client::AckSettings() { return Send(http2::kSettings, http2::kAck, 0, "") && Flush(); }

bool Http2Client::Send(http2::Frame type, uint8_t flags, uint32_t stream,
                       std::string_view payload) {
  AppendNumber(out_, payload.size(), 3);
  AppendNumber(out_, type, 1);
  AppendNumber(out_, flags, 1);
  AppendNumber(out_, stream, 4);
  out_ += payload;
  return out_.size() < kGather || Flush();
}

bool Http2Client::OpenCall(uint32_t stream, std::string_view path) {
  std::string block;
  AppendHeader(block, ":method", "POST");
  AppendHeader(block, ":scheme", "http");
  AppendHeader(block, ":path", path);
  AppendHeader(block, ":authority", "127.0.0.1");
  AppendHeader(block, "content-type", "application/grpc");
  AppendHeader(block, "te", "trailers");
  return Send(http2::kHeaders, http2::kEndHeaders, stream, block);
}

bool Http2Client::SendMessage(uint32_t stream, std::string_view message, bool last) {
  std::string framed(1, '\0');
  AppendNumber(framed, message.size(), 4);
  framed += message;
  return Send(http2::kData, last ? http2::kEndStream : http2::kNone, stream, framed);
}

bool Http2Client::Flush() {
  std::string_view rest = out_;
  while (!rest.empty() && fd_ >= 0) {
    pollfd ready{fd_, POLLOUT, 0};
    if (poll(&ready, 1, kStallMs) <= 0) break;
    const ssize_t sent = send(fd_, rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      break;
    }
  }
  const bool all = rest.empty() && fd_ >= 0;
  out_.clear();
  return all;
}

bool Http2Client::Drain() {
  char buffer[64 * 1024];
  while (fd_ >= 0) {
    const ssize_t got = recv(fd_, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got > 0) {
      in_.append(buffer, static_cast<size_t>(got));
      Parse();
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else {
      return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
  }
  return false;
}

bool Http2Client::AwaitClosed(int milliseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (Drain()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd ready{fd_, POLLIN, 0};
    poll(&ready, 1, static_cast<int>(left.count()));
  }
  return true;
}

void Http2Client::Parse() {
  size_t at = 0;
  while (in_.size() - at >= kFrameHeader) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(in_[at + i]); };
    const size_t size = size_t{byte(0)} << 16 | size_t{byte(1)} << 8 | byte(2);
    if (in_.size() - at < kFrameHeader + size) break;
    ++received_[byte(3)];
    at += kFrameHeader + size;
  }
  in_.erase(0, at);
}

}  // namespace bascule
