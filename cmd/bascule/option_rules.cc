#include "cmd/bascule/option_rules.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/utf8.h"

namespace bascule::cli {
namespace {

absl::Status Wrong(const std::string& why) { return absl::InvalidArgumentError(why); }

absl::StatusOr<std::string> ParseHostPort(const std::string& text, int32_t port) {
  const size_t colon = text.rfind(':');
  const bool v6 = !text.empty() && text[0] == '[';
  const bool has_port = colon != text.npos && (!v6 || colon > text.rfind(']'));
  const std::string host = has_port ? text.substr(0, colon) : text;
  const bool port_ok = !has_port || absl::SimpleAtoi(text.substr(colon + 1), &port);
  const bool host_ok = v6 ? host.back() == ']' : host.find_first_of(":/") == host.npos;
  if (text.empty() || !port_ok || port < 1 || port > 65535 || !host_ok) {
    return Wrong(absl::StrCat("\"", text, "\" is no address; write host:port or [v6]:port"));
  }
  return absl::StrCat(host.empty() ? "localhost" : host, ":", port);
}

}  // namespace

absl::StatusOr<std::string> ParseAddress(const std::string& text) {
  return ParseHostPort(text, kDefaultPort);
}

absl::StatusOr<std::string> ParsePeerAddress(const std::string& text) {
  if (!text.empty() && text[0] == ':')
    return Wrong(absl::StrCat("\"", text, "\" has no host; write host:port"));
  return ParseHostPort(text, kDefaultPeerPort);
}

absl::StatusOr<AckPolicy> ParseAck(const std::string& text) {
  if (text == "all") return AckPolicy::kAll;
  if (text == "leader") return AckPolicy::kLeader;
  if (text == "none") return AckPolicy::kNone;
  return Wrong(absl::StrCat("\"", text, "\" is not all, leader or none"));
}

absl::StatusOr<OutputFormat> ParseFormat(const std::string& text) {
  if (text == "text") return OutputFormat::kText;
  if (text == "json") return OutputFormat::kJson;
  if (text == "raw") return OutputFormat::kRaw;
  return Wrong(absl::StrCat("\"", text, "\" is not text, json or raw"));
}

absl::StatusOr<int32_t> ParseReplicationFactor(const std::string& text) {
  if (text == "all") return -1;
  return IntegerParser<int32_t>(1)(text);
}

absl::StatusOr<std::chrono::milliseconds> ParseMillis(const std::string& text) {
  ASSIGN_OR_RETURN(const Duration span, ParsePeriod(text));
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(span);
  if (millis != span) return Wrong(absl::StrCat("\"", text, "\" is finer than a millisecond"));
  return millis;
}

absl::StatusOr<Duration> ParseTimeout(const std::string& text) {
  ASSIGN_OR_RETURN(const Duration span, ParsePeriod(text));
  if (span <= Duration(0)) return Wrong("must be more than 0");
  return span;
}

absl::StatusOr<int64_t> ParseMessageSize(const std::string& text) {
  ASSIGN_OR_RETURN(const int64_t size, ParseSize(text));
  if (size > static_cast<int64_t>(limits::kMaxMessageBytes)) {
    return Wrong(absl::StrCat(text, " is more than any broker stores (64 MiB)"));
  }
  return size;
}

absl::Status AddHeader(PublishOptions& options, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) {
    return Wrong(absl::StrCat("\"", text, "\" is no header; write name=value"));
  }
  const std::string name = text.substr(0, equals);
  if (name == "subject" || name == "reply") {
    return Wrong(absl::StrCat("the name \"", name, "\" is reserved for the server"));
  }
  if (!IsValidUtf8(name)) return Wrong("a header name must be UTF-8");
  if (!options.headers.emplace(name, text.substr(equals + 1)).second) {
    return Wrong(absl::StrCat("\"", name, "\" is given twice; a name carries one value"));
  }
  return absl::OkStatus();
}

absl::Status Settle(const StreamUpdateOptions& options) {
  if (options.changes != StreamOverrides()) return absl::OkStatus();
  return Wrong("say what to change, such as --retention-max-age 30d");
}

absl::Status Settle(PublishOptions& options) {
  if (options.subject.empty()) {
    return options.stream.empty() ? Wrong("STREAM or --subject is required") : absl::OkStatus();
  }
  if (options.value) return Wrong("--subject takes the place of STREAM: give one of the two");
  if (options.expected_offset >= 0)
    return Wrong("--expect-offset needs STREAM: a subject has no offsets");
  if (!options.stream.empty()) options.value = std::move(options.stream);
  options.stream.clear();
  return absl::OkStatus();
}

absl::Status Settle(SubscribeOptions& options, bool from_given) {
  using Kind = Place::Kind;
  if (options.follow && options.reverse) {
    return Wrong("--reverse goes back to the oldest message and cannot --follow");
  }
  if (options.follow && options.until) {
    return Wrong("--follow never ends by itself and cannot have --until");
  }
  if (!from_given && options.reverse) options.from.kind = Kind::kLatest;
  if (options.until &&
      (options.until->kind == Kind::kNew || options.until->kind == Kind::kEarliest)) {
    return Wrong("--until takes latest, an offset or a time");
  }
  const bool until_latest = options.until && options.until->kind == Kind::kLatest;
  if (options.reverse && (until_latest || options.from.kind == Kind::kNew)) {
    return Wrong(
        "--reverse reads from --from down to --until (by default latest, down to the oldest)");
  }
  const bool numbers = options.from.kind == Kind::kOffset || options.from.kind == Kind::kTime;
  if (numbers && options.until && options.until->kind == options.from.kind) {
    const int64_t ahead = options.until->value - options.from.value;
    if (options.reverse && ahead > 0)
      return Wrong("--until lies after --from, and --reverse goes back");
    if (!options.reverse && ahead < 0) return Wrong("--until lies before --from");
  }
  if (options.from.kind == Kind::kNew) {
    if (until_latest) return Wrong("--until latest lies before --from new");
    if (!options.until) options.follow = true;
  }
  if (!options.follow && !options.reverse && !options.until)
    options.until = Place{Kind::kLatest, 0};
  return absl::OkStatus();
}

}  // namespace bascule::cli
