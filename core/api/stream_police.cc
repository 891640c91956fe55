#include "core/api/stream_police.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/api/subscriber_slots.h"

namespace bascule {
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

std::vector<std::string> StreamPolice::Judge(const std::vector<std::string>& busy) {
  std::vector<std::string> condemned;
  std::map<std::string, uint64_t> failed_now;
  for (const std::string& peer : busy) {
    const std::optional<StreamCounts> counts = counts_(peer);
    if (!counts) continue;
    const auto before = failed_before_.find(peer);
    const uint64_t since = counts->failed - (before == failed_before_.end() ? 0 : before->second);
    if (counts->started - counts->ended > max_open_ || since > max_failed_) {
      condemned.push_back(peer);
    } else {
      failed_now[peer] = counts->failed;
    }
  }
  failed_before_ = std::move(failed_now);
  return condemned;
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
  return counts;
}

}  // namespace bascule
