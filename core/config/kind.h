// Types of settings: how a value of each is read, printed and named. A parse error completes the
// sentence `"<key>" ...`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/base/logging.h"
#include "core/base/status.h"
#include "core/config/config.h"
#include "core/config/value.h"
#include "core/stream/settings.h"

namespace bascule::config {

template <typename T>
struct Kind {
  std::string name;  // as the reference shows it: "duration", "fsync|os"
  std::function<absl::StatusOr<T>(const Value&)> parse;
  std::function<std::string(const T&)> show;  // parses back to the same value
};

// Whether `text` is acceptable; an error completes the sentence.
using TextRule = std::function<absl::Status(const std::string&)>;

Kind<bool> SwitchKind();
Kind<int64_t> WholeKind(int64_t min, int64_t max = std::numeric_limits<int64_t>::max());
// The same as 32 bits.
Kind<int32_t> CountKind(int32_t min, int32_t max);
// Bytes in [min, max], and 0 too when `zero` says what it means ("no limit").
Kind<int64_t> SizeKind(int64_t min, int64_t max, const std::string& zero = "");
// At least a millisecond, and 0 too when `zero` says what it means. The text of a bare number that
// is less gets the reminder that it counts nanoseconds.
Kind<std::chrono::milliseconds> PeriodKind(const std::string& zero = "");
// From `min` to `max`.
Kind<std::chrono::milliseconds> PeriodBetweenKind(std::chrono::milliseconds min,
                                                  std::chrono::milliseconds max);
// Errors show nothing of the text (it may be a secret) unless `rule` does.
Kind<std::string> TextKind(TextRule rule = nullptr);
// A path; kept as written, read by whoever uses it.
Kind<std::string> PathKind(TextRule rule = nullptr);
Kind<Address> AddressKind();
// What others dial: no every-interface address. An empty host stands for "not set".
Kind<Address> DialAddressKind();
// "host" or "host:port" each; port 9293 unless given.
Kind<std::vector<Address>> PeerAddressesKind();
// Server ids, none empty, none twice.
Kind<std::vector<std::string>> ServerIdsKind();
// A list, or text with commas between the items.
Kind<std::vector<std::string>> ListKind();
Kind<std::vector<std::string>> NatsServersKind();
Kind<DiskReserve> ReserveKind();
Kind<LogLevel> LogLevelKind();
// The setting's value as the table's number. Borrows the row, which is a constant.
Kind<int64_t> StreamSettingKind(const StreamSetting& row);

// Rules for TextKind and PathKind. An empty server id is allowed: it asks for a generated one.
absl::Status CheckNotEmpty(const std::string& text);
absl::Status CheckServerId(const std::string& text);
absl::Status CheckNamespace(const std::string& text);
// What the cluster keeps of its brokers: longer ones could not register.
absl::Status CheckHost(const std::string& text);
absl::Status CheckRack(const std::string& text);

// The one text of a value; an error when it is a list, a section or nothing.
absl::StatusOr<std::string> OneText(const Value& value, const std::string& wanted);

// 0.0.0.0 and ::, which can be listened on and not dialled.
bool IsEveryInterface(const std::string& host);

}  // namespace bascule::config
