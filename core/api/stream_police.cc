#include "core/api/stream_police.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "core/api/subscriber_slots.h"
#include "core/base/check.h"

namespace bascule::api {
namespace {

// What a connection has sent waits for gRPC when there is much to do: it is looked at so often after
// its last bytes came, 2 s in all, and streams that it has then are known.
constexpr int kLooksBehind = 40;
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

std::string AddressOf(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

bool FewerOpen(const std::pair<const std::string, size_t>& a,
               const std::pair<const std::string, size_t>& b) {
  return a.second < b.second;
}

size_t OpenOf(const StreamCounts& counts) {
  return counts.started - std::min(counts.started, counts.ended);
}

}  // namespace

std::vector<std::string> StreamPolice::Judge(const std::vector<BusyConnection>& busy) {
  for (const BusyConnection& connection : busy) {
    Seen& seen =
        seen_.try_emplace(connection.peer, Seen{.failures_left = bounds_.open}).first->second;
    seen.received = connection.received;
    seen.looks_left = kLooksBehind;
  }
  std::vector<std::string> condemned;
  for (auto it = seen_.begin(); it != seen_.end();) {
    auto& [peer, seen] = *it;
    const std::optional<StreamCounts> counts = counts_(peer);
    const bool allowed = !counts || Allows(*counts, seen);
    if (!allowed) condemned.push_back(peer);
    if (counts) NoteOpen(peer, allowed ? OpenOf(*counts) : 0);
    it = allowed && --seen.looks_left > 0 ? std::next(it) : seen_.erase(it);
  }
  EndExcess(condemned);
  return condemned;
}

void StreamPolice::NoteOpen(const std::string& peer, size_t open) {
  const std::string address = AddressOf(peer);
  std::map<std::string, size_t>& peers = open_[address];
  size_t& of_address = open_by_address_[address];
  size_t& of_peer = peers[peer];
  BASCULE_CHECK_LE(of_peer, of_address);
  BASCULE_CHECK_LE(of_peer, open_in_all_);
  of_address += open - of_peer;
  open_in_all_ += open - of_peer;
  of_peer = open;
  if (open == 0) peers.erase(peer);
  if (!peers.empty()) return;
  open_.erase(address);
  open_by_address_.erase(address);
}

void StreamPolice::CountAnew(const std::string& address) {
  const std::map<std::string, size_t> peers = open_.at(address);
  for (const auto& [peer, open] : peers) {
    const std::optional<StreamCounts> counts = counts_(peer);
    NoteOpen(peer, counts ? OpenOf(*counts) : 0);  // gone, if it has none
  }
}

size_t StreamPolice::OpenBy(const std::string& address) const {
  const auto found = open_by_address_.find(address);
  return found == open_by_address_.end() ? 0 : found->second;
}

void StreamPolice::EndExcess(std::vector<std::string>& condemned) {
  std::vector<std::string> addresses;
  for (const auto& [address, open] : open_by_address_)
    if (open > bounds_.open_per_address) addresses.push_back(address);
  for (const std::string& address : addresses) {
    CountAnew(address);
    while (OpenBy(address) > bounds_.open_per_address) EndGreatest(address, condemned);
  }
  if (open_in_all_ <= bounds_.open_in_all) return;
  addresses.clear();
  for (const auto& [address, open] : open_by_address_) addresses.push_back(address);
  for (const std::string& address : addresses) CountAnew(address);
  while (open_in_all_ > bounds_.open_in_all) {
    EndGreatest(
        std::max_element(open_by_address_.begin(), open_by_address_.end(), FewerOpen)->first,
        condemned);
  }
}

void StreamPolice::EndGreatest(const std::string& address, std::vector<std::string>& condemned) {
  const std::map<std::string, size_t>& peers = open_.at(address);
  condemned.push_back(std::max_element(peers.begin(), peers.end(), FewerOpen)->first);
  NoteOpen(condemned.back(), 0);
  seen_.erase(condemned.back());  // what it still has goes with it
}

bool StreamPolice::Allows(const StreamCounts& counts, Seen& seen) const {
  const size_t open = OpenOf(counts);
  const uint64_t failed = counts.failed - std::exchange(seen.failed, counts.failed);
  if (open > bounds_.open || failed > seen.failures_left) return false;
  seen.failures_left =
      std::min<uint64_t>(bounds_.open, seen.failures_left - failed + bounds_.failed);
  const uint64_t progress = counts.messages + counts.started;
  if (progress != std::exchange(seen.progress, progress)) seen.progress_bytes = seen.received;
  return seen.received - seen.progress_bytes <=
         (open + 1) * bounds_.message_bytes + bounds_.idle_bytes;
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
