#include "core/api/stream_police.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "core/api/subscriber_slots.h"

namespace bascule::api {
namespace {

// Past this the names of connections that are gone are forgotten.
constexpr size_t kRemembered = 64 * 1024;

std::string Owned(char* json) {
  std::string text = json == nullptr ? "" : json;
  gpr_free(json);
  return text;
}

// channelz writes numbers as texts: "streamsStarted":"17".
std::optional<int64_t> NumberAt(std::string_view json, std::string_view key, size_t& at) {
  const std::string wanted = "\"" + std::string(key) + "\":\"";
  const size_t found = json.find(wanted, at);
  if (found == std::string_view::npos) return std::nullopt;
  at = found + wanted.size();
  int64_t value = 0;
  const auto read = std::from_chars(json.data() + at, json.data() + json.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

uint64_t CountIn(std::string_view json, std::string_view key) {
  size_t at = 0;
  return static_cast<uint64_t>(NumberAt(json, key, at).value_or(0));
}

// "chttp2 ipv4:10.0.0.7:4711" to "10.0.0.7:4711", as the listener names it.
std::string PeerOf(std::string_view name) {
  const size_t space = name.rfind(' ');
  if (space != std::string_view::npos) name.remove_prefix(space + 1);
  const size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) return "";
  std::string address = ClientAddress(name);
  if (const size_t scheme = address.find(':'); scheme != std::string::npos)
    address.erase(0, scheme + 1);
  return address + std::string(name.substr(colon));
}

}  // namespace

std::vector<std::string> StreamPolice::Judge(const std::vector<BusyConnection>& busy) {
  std::vector<std::string> condemned;
  std::map<std::string, Seen> seen_now;
  for (const BusyConnection& connection : busy) {
    const std::optional<StreamCounts> counts = counts_(connection.peer);
    if (!counts) continue;
    const auto before = seen_.find(connection.peer);
    Seen seen;
    seen.failures_left = bounds_.open;
    if (before != seen_.end()) seen = before->second;
    if (Allows(*counts, connection.received, seen)) {
      seen_now[connection.peer] = seen;
    } else {
      condemned.push_back(connection.peer);
    }
  }
  seen_ = std::move(seen_now);
  return condemned;
}

bool StreamPolice::Allows(const StreamCounts& counts, uint64_t received, Seen& seen) const {
  const uint64_t open = counts.started - std::min(counts.started, counts.ended);
  const uint64_t failed = counts.failed - std::exchange(seen.failed, counts.failed);
  if (open > bounds_.open || failed > seen.failures_left) return false;
  seen.failures_left =
      std::min<uint64_t>(bounds_.open, seen.failures_left - failed + bounds_.failed);
  const uint64_t progress = counts.messages + counts.started;
  if (progress != std::exchange(seen.progress, progress)) seen.progress_bytes = received;
  return received - seen.progress_bytes <= (open + 1) * bounds_.message_bytes + bounds_.idle_bytes;
}

std::vector<int64_t> ChannelzCounts::Servers() {
  std::vector<int64_t> servers;
  const std::string json = Owned(grpc_channelz_get_servers(0));
  size_t at = 0;
  while (const auto id = NumberAt(json, "serverId", at)) servers.push_back(*id);
  return servers;
}

ChannelzCounts::ChannelzCounts(const std::vector<int64_t>& before) {
  for (const int64_t server : Servers()) {
    if (std::find(before.begin(), before.end(), server) == before.end()) server_ = server;
  }
}

// Sockets are numbered in the order of their making.
void ChannelzCounts::Learn() {
  while (true) {
    const std::string json =
        Owned(grpc_channelz_get_server_sockets(server_, next_socket_, /*max_results=*/0));
    size_t at = 0;
    while (true) {  // {"name":"chttp2 ipv4:10.0.0.7:4711","socketId":"17"}
      constexpr std::string_view kName = "\"name\":\"";
      const size_t begin = json.find(kName, at);
      const size_t end = begin == std::string::npos ? begin : json.find('"', begin + kName.size());
      if (end == std::string::npos) break;
      at = end;
      const auto id = NumberAt(json, "socketId", at);
      if (!id) break;
      const size_t from = begin + kName.size();
      sockets_[PeerOf(std::string_view(json).substr(from, end - from))] = *id;
      next_socket_ = std::max(next_socket_, *id + 1);
    }
    if (at == 0 || json.find("\"end\":true") != std::string::npos) return;
  }
}

std::optional<StreamCounts> ChannelzCounts::operator()(const std::string& peer) {
  if (server_ == 0) return std::nullopt;
  if (sockets_.size() > kRemembered) {
    sockets_.clear();
    next_socket_ = 0;
  }
  Learn();
  const auto known = sockets_.find(peer);
  if (known == sockets_.end()) return std::nullopt;
  const std::string json = Owned(grpc_channelz_get_socket(known->second));
  if (json.empty()) return std::nullopt;
  StreamCounts counts;
  counts.started = CountIn(json, "streamsStarted");
  counts.failed = CountIn(json, "streamsFailed");
  counts.ended = counts.failed + CountIn(json, "streamsSucceeded");
  counts.messages = CountIn(json, "messagesReceived");
  return counts;
}

}  // namespace bascule::api
