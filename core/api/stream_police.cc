#include "core/api/stream_police.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "core/api/subscriber_slots.h"
#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::api {
namespace {

// What a connection has sent waits for gRPC when there is much to do: for so many looks after its last
// bytes came, 2 s in all, it is looked at again, and streams that it has then are known.
constexpr int kLooksBehind = 40;
constexpr int kLookEvery = 4;     // of them
constexpr int kSilentLooks = 16;  // at connections that have streams and send nothing, each time
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
  const std::string host = ClientHost(name);
  const bool v6 = host.find(':') != std::string::npos;
  return Concat(v6 ? "[" : "", host, v6 ? "]" : "", name.substr(colon));
}

size_t OpenOf(const StreamCounts& counts) {
  return counts.started - std::min(counts.started, counts.ended);
}

}  // namespace

std::vector<CondemnedConnection> StreamPolice::Judge(const std::vector<BusyConnection>& busy) {
  for (const BusyConnection& each : busy) {
    Connection& connection = connections_[each.peer];
    if (connection.address.empty()) {
      connection.address = each.address;
      connection.failures_left = bounds_.open;
    }
    connection.received = each.received;
    connection.looks_left = kLooksBehind;
  }
  std::vector<CondemnedConnection> condemned;
  std::string reason;
  for (auto next = connections_.begin(); next != connections_.end();) {
    const auto it = next++;
    Connection& connection = it->second;
    if (connection.looks_left == 0) continue;
    const int left = connection.looks_left--;
    if (left != kLooksBehind && left % kLookEvery != 0) continue;
    const std::string peer = it->first;
    if (LookAt(it, reason)) condemned.push_back({peer, reason});
  }
  LookAtSilent(condemned);
  EndExcess(condemned);
  return condemned;
}

bool StreamPolice::LookAt(Connections::iterator it, std::string& reason) {
  Connection& connection = it->second;
  const std::optional<StreamCounts> counts = counts_(it->first);
  if (!counts) {
    if (connection.known || connection.looks_left == 0) Forget(it);
    return false;
  }
  // Another connection that has the name now.
  if (connection.known && counts->started < connection.started) {
    SetOpen(connection, 0);
    connection = Connection{.address = connection.address,
                            .received = connection.received,
                            .looks_left = connection.looks_left,
                            .failures_left = bounds_.open};
  }
  connection.known = true;
  connection.started = counts->started;
  if (!Allows(*counts, connection, reason)) {
    Forget(it);
    return true;
  }
  SetOpen(connection, OpenOf(*counts));
  if (connection.open == 0 && connection.looks_left == 0) Forget(it);
  return false;
}

void StreamPolice::Forget(Connections::iterator it) {
  SetOpen(it->second, 0);
  connections_.erase(it);
}

void StreamPolice::SetOpen(Connection& connection, size_t open) {
  size_t& of_address = open_by_address_[connection.address];
  BASCULE_CHECK_LE(connection.open, of_address);
  BASCULE_CHECK_LE(connection.open, open_in_all_);
  of_address += open - connection.open;
  open_in_all_ += open - connection.open;
  connection.open = open;
  if (of_address == 0) open_by_address_.erase(connection.address);
}

void StreamPolice::LookAtSilent(std::vector<CondemnedConnection>& condemned) {
  std::string reason;
  int looked = 0;
  auto next = connections_.upper_bound(last_silent_);
  while (next != connections_.end() && looked < kSilentLooks) {
    const auto it = next++;
    if (it->second.looks_left > 0) continue;
    last_silent_ = it->first;
    ++looked;
    if (LookAt(it, reason)) condemned.push_back({last_silent_, reason});
  }
  if (next == connections_.end()) last_silent_.clear();  // from the beginning, at the next look
}

size_t StreamPolice::OpenBy(const std::string& address) const {
  const auto found = open_by_address_.find(address);
  return found == open_by_address_.end() ? 0 : found->second;
}

void StreamPolice::LookAgain(const std::string& address,
                             std::vector<CondemnedConnection>& condemned) {
  std::string reason;
  for (auto next = connections_.begin(); next != connections_.end();) {
    const auto it = next++;
    if (it->second.open == 0 || (!address.empty() && it->second.address != address)) continue;
    const std::string peer = it->first;
    if (LookAt(it, reason)) condemned.push_back({peer, reason});
  }
}

void StreamPolice::EndExcess(std::vector<CondemnedConnection>& condemned) {
  std::vector<std::string> addresses;
  for (const auto& [address, open] : open_by_address_)
    if (open > bounds_.open_per_address) addresses.push_back(address);
  for (const std::string& address : addresses) {
    LookAgain(address, condemned);
    while (OpenBy(address) > bounds_.open_per_address) {
      EndGreatest(address,
                  Concat("more than ", bounds_.open_per_address,
                         " streams of its address are open (api.streams.per.address)"),
                  condemned);
    }
  }
  if (open_in_all_ <= bounds_.open_in_all) return;
  LookAgain("", condemned);
  while (open_in_all_ > bounds_.open_in_all) {
    const auto greatest =
        std::max_element(open_by_address_.begin(), open_by_address_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    EndGreatest(std::string(greatest->first),
                Concat("more than ", bounds_.open_in_all,
                       " streams are open in all (13 KiB of api.memory.max each), most of them by "
                       "its address"),
                condemned);
  }
}

void StreamPolice::EndGreatest(const std::string& address, std::string reason,
                               std::vector<CondemnedConnection>& condemned) {
  auto greatest = connections_.end();
  for (auto it = connections_.begin(); it != connections_.end(); ++it) {
    if (it->second.address != address) continue;
    if (greatest == connections_.end() || it->second.open > greatest->second.open) greatest = it;
  }
  BASCULE_CHECK(greatest != connections_.end());
  condemned.push_back({greatest->first, std::move(reason)});
  Forget(greatest);  // what it still has goes with it
}

bool StreamPolice::Allows(const StreamCounts& counts, Connection& connection,
                          std::string& reason) const {
  const size_t open = OpenOf(counts);
  const uint64_t failed =
      counts.failed - std::min(counts.failed, std::exchange(connection.failed, counts.failed));
  if (open > bounds_.open) {
    reason =
        Concat("more than ", bounds_.open, " streams are open on it (api.streams.per.connection)");
    return false;
  }
  if (failed > connection.failures_left) {
    reason = "it drops streams as fast as it opens them";
    return false;
  }
  connection.failures_left =
      std::min<uint64_t>(bounds_.open, connection.failures_left - failed + bounds_.failed);
  const uint64_t progress = counts.messages + counts.started;
  if (progress != std::exchange(connection.progress, progress))
    connection.progress_bytes = connection.received;
  reason = "it sends much and never a message";
  return connection.received - connection.progress_bytes <=
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

std::string ChannelzCounts::Socket(const std::string& peer) {
  const auto known = sockets_.find(peer);
  if (known == sockets_.end()) return "";
  std::string json = Owned(grpc_channelz_get_socket(known->second));
  if (json.empty()) sockets_.erase(known);
  return json;
}

std::optional<StreamCounts> ChannelzCounts::operator()(const std::string& peer) {
  if (server_ == 0) return std::nullopt;
  if (sockets_.size() > kRemembered) {
    sockets_.clear();
    next_socket_ = 0;
  }
  std::string json = Socket(peer);
  if (json.empty()) {  // new, or another connection has the name now
    Learn();
    json = Socket(peer);
  }
  if (json.empty()) return std::nullopt;
  StreamCounts counts;
  counts.started = CountIn(json, "streamsStarted");
  counts.failed = CountIn(json, "streamsFailed");
  counts.ended = counts.failed + CountIn(json, "streamsSucceeded");
  counts.messages = CountIn(json, "messagesReceived");
  return counts;
}

}  // namespace bascule::api
