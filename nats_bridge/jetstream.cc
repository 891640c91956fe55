#include "nats_bridge/jetstream.h"

#include <charconv>

#include "absl/strings/match.h"
#include "core/base/text.h"

namespace bascule::nats {
namespace {

void AppendJsonString(std::string& out, std::string_view text) {
  out.push_back('"');
  size_t written = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, written, i - written);
    written = i + 1;
    if (c < 0x20) {
      absl::StrAppend(&out, "\\u", absl::Hex(c, absl::kZeroPad4));
    } else {
      out.push_back('\\');
      out.push_back(text[i]);
    }
  }
  out.append(text, written);
  out.push_back('"');
}

JetStreamError ErrorFor(const Ack& ack) {
  switch (ack.error) {
    case AckError::kIncorrectOffset:
      return {400, 10071, Concat("wrong last sequence: ", ack.last.value() + 1)};
    case AckError::kTooLarge:
      return {400, 10054, "message size exceeds maximum allowed"};
    case AckError::kWrongStream:
      return {400, 10060, "expected stream does not match"};
    case AckError::kUnavailable:
      return {503, 10077, "stream cannot take messages now"};
    case AckError::kOutcomeUnknown:
      return {503, 10077, "the partition's leader has changed: the message may be stored or not"};
    case AckError::kEncryption:
      return {503, 10077, "encryption failed on partition"};
    default:
      return {503, 10077, "message could not be stored"};
  }
}

JetStreamError NotSupported(std::string_view header) {
  return {400, 10003, Concat("bad request: header ", header, " is not supported here")};
}

}  // namespace

void AppendPubAck(std::string& out, std::string_view stream, uint64_t sequence) {
  out.append("{\"stream\":");
  AppendJsonString(out, stream);
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), sequence).ptr;
  out.append(",\"seq\":");
  out.append(digits, end);
  out.push_back('}');
}

void AppendPubAckError(std::string& out, std::string_view stream, const JetStreamError& error) {
  absl::StrAppend(&out,
                  "{\"type\":\"io.nats.jetstream.api.v1.pub_ack_response\",\"error\":{\"code\":",
                  error.code, ",\"err_code\":", error.err_code, ",\"description\":");
  AppendJsonString(out, error.description);
  out.append("},\"stream\":");
  AppendJsonString(out, stream);
  out.append(",\"seq\":0}");
}

void AppendPubAckFor(std::string& out, const Ack& ack) {
  if (ack.error == AckError::kOk) {
    AppendPubAck(out, ack.stream, static_cast<uint64_t>(ack.offset.value()) + 1);
  } else {
    AppendPubAckError(out, ack.stream, ErrorFor(ack));
  }
}

std::optional<JetStreamError> ReadExpectations(const wire::HeaderList* headers,
                                               JetStreamExpectations& out) {
  if (headers == nullptr) return std::nullopt;
  for (const auto& [name, value] : *headers) {
    if (!absl::StartsWithIgnoreCase(ToAbsl(name), "Nats-")) continue;
    if (absl::EqualsIgnoreCase(ToAbsl(name), "Nats-Expected-Stream")) {
      out.stream = value;
    } else if (absl::EqualsIgnoreCase(ToAbsl(name), "Nats-Expected-Last-Sequence")) {
      const auto parsed =
          std::from_chars(value.data(), value.data() + value.size(), out.expected_offset);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() ||
          out.expected_offset < 0) {
        return JetStreamError{400, 10003,
                              "bad request: Nats-Expected-Last-Sequence is not a sequence number"};
      }
    } else if (absl::StartsWithIgnoreCase(ToAbsl(name), "Nats-Expected-") ||
               absl::EqualsIgnoreCase(ToAbsl(name), "Nats-Msg-Id") ||
               absl::EqualsIgnoreCase(ToAbsl(name), "Nats-Rollup") ||
               absl::EqualsIgnoreCase(ToAbsl(name), "Nats-TTL")) {
      // Each would make the stored message mean something else than its publisher asked for.
      return NotSupported(name);
    }
  }
  return std::nullopt;
}

}  // namespace bascule::nats
