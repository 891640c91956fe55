#include "nats_bridge/server_operation.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "core/base/text.h"

namespace bascule::nats {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
// Of the longest name, and the blank behind it.
constexpr size_t kNameBytes = 5;
constexpr size_t kShownBytes = 40;
// subject, sid, reply, bytes of headers, bytes
constexpr size_t kMostWords = 5;

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

absl::Status NotNats(std::string_view bytes, std::string_view why) {
  const std::string shown = absl::CEscape(ToAbsl(bytes.substr(0, kShownBytes)));
  return absl::InvalidArgumentError(
      Concat("the server sent \"", shown, bytes.size() > kShownBytes ? "...\"" : "\"", ": ", why));
}

// The decimal number that is the whole of `word`; false: it is none, or more than `most`.
bool ReadNumber(std::string_view word, uint64_t most, uint64_t& out) {
  if (word.empty()) return false;
  uint64_t number = 0;
  for (const char c : word) {
    if (c < '0' || c > '9') return false;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (number > (most - std::min(most, digit)) / 10) return false;
    number = number * 10 + digit;
  }
  out = number;
  return number <= most;
}

// Words of `line`, as far as there is room; one more than that counts as kMostWords + 1.
size_t Split(std::string_view line, std::array<std::string_view, kMostWords>& words) {
  size_t count = 0;
  size_t at = 0;
  while (true) {
    while (at < line.size() && IsBlank(line[at])) ++at;
    if (at == line.size()) return count;
    size_t end = at;
    while (end < line.size() && !IsBlank(line[end])) ++end;
    if (count == kMostWords) return kMostWords + 1;
    words[count++] = line.substr(at, end - at);
    at = end;
  }
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view WithoutQuotes(std::string_view text) {
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'')
    return text.substr(1, text.size() - 2);
  return text;
}

enum class Name : uint8_t { kMsg, kHmsg, kPing, kPong, kInfo, kOk, kErr, kNone };

struct NamedOperation {
  std::string_view name;
  Name operation;
};

constexpr NamedOperation kNames[] = {
    {"MSG", Name::kMsg},   {"HMSG", Name::kHmsg}, {"PING", Name::kPing}, {"PONG", Name::kPong},
    {"INFO", Name::kInfo}, {"+OK", Name::kOk},    {"-ERR", Name::kErr}};

// Of a line, or of the beginning of one: whether it can become any of them.
Name NameOf(std::string_view line, size_t& length) {
  length = 0;
  while (length < line.size() && length < kNameBytes && !IsBlank(line[length]) &&
         line[length] != '\r' && line[length] != '\n')
    ++length;
  for (const NamedOperation& named : kNames) {
    if (absl::EqualsIgnoreCase(ToAbsl(line.substr(0, length)), ToAbsl(named.name)))
      return named.operation;
  }
  return Name::kNone;
}

bool MayBecomeName(std::string_view begun) {
  return std::any_of(std::begin(kNames), std::end(kNames), [begun](const NamedOperation& named) {
    return absl::StartsWithIgnoreCase(ToAbsl(named.name), ToAbsl(begun));
  });
}

// `line` is what stands behind the name; the message's bytes follow at `body`.
absl::StatusOr<TakenOperation> TakeMessage(std::string_view bytes, std::string_view line,
                                           size_t body, bool has_headers,
                                           const OperationBounds& bounds, ServerOperation& out) {
  std::array<std::string_view, kMostWords> words;
  const size_t count = Split(line, words);
  const size_t least = has_headers ? 4 : 3;
  if (count != least && count != least + 1)
    return NotNats(bytes, "a message's line with more or fewer words than it has");
  uint64_t total = 0;
  uint64_t header_bytes = 0;
  uint64_t sid = 0;
  if (!ReadNumber(words[1], UINT64_MAX, sid))
    return NotNats(bytes, "a message for no subscription");
  if (!ReadNumber(words[count - 1], bounds.message, total)) {
    return NotNats(bytes, Concat("a message whose size is no number, or more than ", bounds.message,
                                 " bytes"));
  }
  if (has_headers && !ReadNumber(words[count - 2], total, header_bytes))
    return NotNats(bytes, "headers that are larger than their message");
  const size_t whole = body + static_cast<size_t>(total) + kLineEnd.size();
  if (bytes.size() < whole) return TakenOperation{0, whole};
  if (bytes.substr(whole - kLineEnd.size(), kLineEnd.size()) != kLineEnd)
    return NotNats(bytes, "a message that does not end where its line says");
  out.kind = OperationKind::kMessage;
  out.sid = sid;
  out.subject = words[0];
  out.reply = count > least ? words[2] : std::string_view();
  out.headers = bytes.substr(body, static_cast<size_t>(header_bytes));
  out.payload = bytes.substr(body + static_cast<size_t>(header_bytes),
                             static_cast<size_t>(total - header_bytes));
  out.text = {};
  return TakenOperation{whole, 0};
}

}  // namespace

absl::StatusOr<TakenOperation> TakeOperation(std::string_view bytes, const OperationBounds& bounds,
                                             ServerOperation& out) {
  size_t name_length = 0;
  const Name name = NameOf(bytes, name_length);
  if (name == Name::kNone) {
    if (name_length == bytes.size() && MayBecomeName(bytes))
      return TakenOperation{0, bytes.size() + 1};
    return NotNats(bytes, "that is no operation of NATS (is nats.servers its port for clients?)");
  }
  const size_t most = name == Name::kInfo ? bounds.info : bounds.line;
  const std::string_view searched = bytes.substr(0, most + kLineEnd.size());
  const auto* end = static_cast<const char*>(std::memchr(searched.data(), '\n', searched.size()));
  if (end == nullptr) {
    if (searched.size() < bytes.size() || searched.size() == most + kLineEnd.size())
      return NotNats(bytes, Concat("a line of more than ", most, " bytes"));
    return TakenOperation{0, bytes.size() + 1};
  }
  const size_t body = static_cast<size_t>(end - bytes.data()) + 1;
  if (body < kLineEnd.size() || bytes[body - 2] != '\r')
    return NotNats(bytes, "a line that ends without a carriage return");
  if (std::memchr(bytes.data(), '\r', body - kLineEnd.size()) != nullptr)
    return NotNats(bytes, "a line with a carriage return inside");
  const std::string_view line =
      bytes.substr(name_length, body - kLineEnd.size() - std::min(name_length, body - 2));
  if (name == Name::kMsg || name == Name::kHmsg)
    return TakeMessage(bytes, line, body, name == Name::kHmsg, bounds, out);
  out = ServerOperation();
  switch (name) {
    case Name::kPing:
      out.kind = OperationKind::kPing;
      break;
    case Name::kPong:
      out.kind = OperationKind::kPong;
      break;
    case Name::kInfo:
      out.kind = OperationKind::kInfo;
      out.text = Trim(line);
      break;
    case Name::kErr:
      out.kind = OperationKind::kError;
      out.text = WithoutQuotes(Trim(line));
      break;
    default:
      out.kind = OperationKind::kOk;
  }
  return TakenOperation{body, 0};
}

}  // namespace bascule::nats
