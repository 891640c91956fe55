// JSON lines for --json, without a newline at the end. Field names and meanings are stable: scripts
// read them. Times are given twice, as RFC 3339 text and (ending in _ns) as Unix nanoseconds; bytes
// that are not UTF-8 appear as base64 in a field ending in _base64 instead of the plain one. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/types.h"

namespace proto {
class Ack;
class Message;
}  // namespace proto
namespace bascule::log {
struct LogReport;
}  // namespace bascule::log

namespace bascule::cli {}
namespace bascule::v1 {
class CreateStreamResponse;
class GetClusterStatusResponse;
class GetServerInfoResponse;
class UpdateStreamResponse;
}  // namespace bascule::v1

namespace bascule::cli {

struct PartitionGap;
struct StreamReport;

std::string MessageJson(const proto::Message& message);
// `line` = line of standard input, from 1; absent for a single message.
std::string AckJson(const proto::Ack& ack, std::optional<uint64_t> line);
std::string StreamJson(const StreamReport& report);
std::string GapJson(const PartitionGap& gap);
std::string CreatedJson(const std::string& name, const v1::CreateStreamResponse& response);
std::string UpdatedJson(const std::string& name, const v1::UpdateStreamResponse& response);
std::string DeletedJson(const std::string& name);
std::string ClusterJson(const v1::GetClusterStatusResponse& status);
// {"member": "b3", "removed": true}
std::string MemberJson(const std::string& action, const std::string& member);
// `verified`: every byte was read, not only what the segments say of themselves.
std::string LogJson(const log::LogReport& log, bool verified);
std::string ServerJson(const v1::GetServerInfoResponse& server);

// One measured run.
struct BenchRow {
  std::string kind;  // "publish" or "replay"
  std::vector<std::string> streams;
  int64_t size = 0;    // bytes of a value; replay: the average
  int64_t window = 0;  // publish only
  std::string ack;     // publish only
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t errors = 0;
  Duration elapsed{0};
  bool interrupted = false;
  // Ack latency; for a replay the time to the first message stands in `p50` = `max`.
  Duration p50{0};
  Duration p99{0};
  Duration max{0};
};
double Rate(const BenchRow& row);  // messages a second
std::string BenchJson(const BenchRow& row);

}  // namespace bascule::cli
