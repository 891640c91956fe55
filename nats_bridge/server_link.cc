#include "nats_bridge/server_link.h"

#include <utility>

#include "core/base/check.h"

namespace bascule::nats {
namespace {

// Of what was sent already that is kept at the front of the output, at most, before the rest moves up.
constexpr size_t kSentKept = 64 * limits::kKiB;

}  // namespace

ServerLink::ServerLink(LinkOptions options, SessionListener& listener)
    : options_(std::move(options)), session_(options_.session, listener) {}

absl::StatusOr<std::unique_ptr<ServerLink>> ServerLink::Dial(LinkOptions options,
                                                             SessionListener& listener) {
  std::unique_ptr<ServerLink> link(new ServerLink(std::move(options), listener));
  RETURN_IF_ERROR(link->socket_.Dial(link->options_.server.url));
  return link;
}

absl::Status ServerLink::BeginTls() {
  BASCULE_CHECK(state_ == State::kOpen && !socket_.encrypted());
  ASSIGN_OR_RETURN(const TlsContextPtr context, MakeTlsContext(options_.tls));
  RETURN_IF_ERROR(socket_.StartTls(*context, options_.server.tls_name));
  state_ = State::kHandshaking;
  ++steps_;
  return absl::OkStatus();
}

absl::Status ServerLink::Proceed() {
  if (state_ == State::kConnecting) {
    ASSIGN_OR_RETURN(const bool connected, socket_.Continue());
    if (!connected) return absl::OkStatus();
    state_ = State::kOpen;
    ++steps_;
    if (options_.tls_first) RETURN_IF_ERROR(BeginTls());
  }
  if (state_ == State::kOpen && session_.stage() == SessionStage::kEncrypting)
    RETURN_IF_ERROR(BeginTls());
  if (state_ == State::kHandshaking) {
    ASSIGN_OR_RETURN(const bool encrypted, socket_.Continue());
    if (!encrypted) return absl::OkStatus();
    state_ = State::kOpen;
    ++steps_;
    RETURN_IF_ERROR(session_.Encrypted());
  }
  return Flush();
}

absl::Status ServerLink::Flush() {
  std::string& output = session_.output();
  while (sent_ < output.size()) {
    ASSIGN_OR_RETURN(const size_t sent, socket_.Write(std::string_view(output).substr(sent_)));
    if (sent == 0) break;
    sent_ += sent;
  }
  if (sent_ == output.size()) {
    output.clear();
    sent_ = 0;
    if (output.capacity() > 4 * kSentKept) std::string().swap(output);
  } else if (sent_ > kSentKept) {
    output.erase(0, std::exchange(sent_, 0));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ServerLink::Receive() {
  BASCULE_CHECK(may_receive());
  const std::span<char> room = buffer_.Room(wanted_);
  ASSIGN_OR_RETURN(const size_t bytes, socket_.Read(room.data(), room.size()));
  if (bytes == 0) return false;
  received_ += bytes;
  buffer_.Received(bytes);
  ASSIGN_OR_RETURN(const TakenOperation taken, session_.Take(buffer_.pending()));
  buffer_.Take(taken.bytes);
  wanted_ = taken.wanted;
  if (session_.stage() == SessionStage::kEncrypting) return false;  // Proceed goes on
  return bytes == room.size() || socket_.holds_bytes();
}

}  // namespace bascule::nats
