// The rules of the command line that go beyond one flag, and the forms of single values. Pure;
// every error is InvalidArgument with a text that fits behind the flag's name.
#pragma once

#include <chrono>
#include <limits>
#include <string>

#include "cmd/bascule/options.h"
#include "core/base/quantity.h"
#include "core/base/status.h"

namespace bascule::cli {

// "host", "host:port", ":port" (localhost), "[v6]:port" -> "host:port".
absl::StatusOr<std::string> ParseAddress(const std::string& text);
// The same with the peer port where none is given; the host must be named.
absl::StatusOr<std::string> ParsePeerAddress(const std::string& text);
absl::StatusOr<AckPolicy> ParseAck(const std::string& text);
absl::StatusOr<OutputFormat> ParseFormat(const std::string& text);

// -1 for "all".
absl::StatusOr<int32_t> ParseReplicationFactor(const std::string& text);
// A duration of whole milliseconds, as the API has them.
absl::StatusOr<std::chrono::milliseconds> ParseMillis(const std::string& text);
// A duration above 0.
absl::StatusOr<Duration> ParseTimeout(const std::string& text);
// A size that some broker may be set to store.
absl::StatusOr<int64_t> ParseMessageSize(const std::string& text);

// The largest number of T that is not negative here or there.
template <typename T>
inline constexpr int64_t kMostOf = sizeof(T) < sizeof(int64_t)
                                       ? int64_t{std::numeric_limits<int32_t>::max()}
                                       : std::numeric_limits<int64_t>::max();

// Parses numbers from `least` to `most`.
template <typename T>
class IntegerParser {
 public:
  explicit IntegerParser(int64_t least, int64_t most = kMostOf<T>) : least_(least), most_(most) {}
  absl::StatusOr<T> operator()(const std::string& text) const {
    ASSIGN_OR_RETURN(const int64_t value, ParseWhole(text, least_, most_));
    return static_cast<T>(value);
  }

 private:
  int64_t least_;
  int64_t most_;
};

// "name=value" into the headers; a name carries one value and is none of the server's own.
absl::Status AddHeader(PublishOptions& options, const std::string& text);

// Something is to change.
absl::Status Settle(const StreamUpdateOptions& options);

// With --subject the first word is the value, not a stream.
absl::Status Settle(PublishOptions& options);

// Fills in what --from and --until mean by default beside --follow and --reverse, and refuses what
// contradicts itself. `from_given`: --from was on the command line.
absl::Status Settle(SubscribeOptions& options, bool from_given);

}  // namespace bascule::cli
