// The rules of the command line that go beyond one flag, and the forms of single values. Pure;
// every error is InvalidArgument with a text that fits behind the flag's name.
#pragma once

#include <string>

#include "cmd/bascule/options.h"
#include "core/base/status.h"

namespace bascule::cli {

// "host", "host:port", ":port" (localhost), "[v6]:port" -> "host:port".
absl::StatusOr<std::string> ParseAddress(const std::string& text);
absl::StatusOr<AckPolicy> ParseAck(const std::string& text);
absl::StatusOr<OutputFormat> ParseFormat(const std::string& text);
absl::StatusOr<bool> ParseSwitch(const std::string& text);  // "on" or "off"

// "name=value" into the headers; a name carries one value and is none of the server's own.
absl::Status AddHeader(PublishOptions& options, const std::string& text);

// With --subject the first word is the value, not a stream.
absl::Status Settle(PublishOptions& options);

// Fills in what --from and --until mean by default beside --follow and --reverse, and refuses what
// contradicts itself. `from_given`: --from was on the command line.
absl::Status Settle(SubscribeOptions& options, bool from_given);

}  // namespace bascule::cli
