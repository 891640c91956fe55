// HTTP/2 frames by hand over one TCP connection, for what no gRPC client would send: streams that
// never end, resets by the thousand, windows that stay shut. It promises nothing but the bytes.
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bascule {

namespace http2 {
// RFC 9113, section 6.
enum Frame : uint8_t { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7 };
enum Flag : uint8_t { kNone = 0, kAck = 1, kEndStream = 1, kEndHeaders = 4 };
enum Setting : uint16_t { kInitialWindowSize = 4 };
}  // namespace http2

class Http2Client {
 public:
  using Settings = std::vector<std::pair<uint16_t, uint32_t>>;

  // To 127.0.0.1; see connected().
  explicit Http2Client(int port);
  ~Http2Client();
  Http2Client(Http2Client&& other) noexcept;
  Http2Client& operator=(Http2Client&&) = delete;

  bool connected() const { return fd_ >= 0; }
  // The preface and our settings. The server's are never acknowledged unless AckSettings is called.
  bool Greet(const Settings& settings = {});
  bool AckSettings();

  // What is sent is gathered and leaves at 64 KiB, or by Flush. False: the server has closed the
  // connection, or reads nothing for ten seconds.
  bool Send(http2::Frame type, uint8_t flags, uint32_t stream, std::string_view payload);
  // The headers of a gRPC call of `path` ("/proto.API/Publish").
  bool OpenCall(uint32_t stream, std::string_view path);
  // One gRPC message, the last of its direction when `last`.
  bool SendMessage(uint32_t stream, std::string_view message, bool last);
  bool Flush();
  // Takes what the server has sent, unread otherwise; false when it has closed the connection.
  bool Drain();
  // Whether the server closes the connection within this time; reads meanwhile.
  bool AwaitClosed(int milliseconds);

  // Frames received by Drain and AwaitClosed.
  size_t received(http2::Frame type) const { return received_[type]; }

 private:
  void Close();
  void Parse();

  int fd_ = -1;
  std::string out_;
  std::string in_;
  size_t received_[256] = {};
};

}  // namespace bascule
