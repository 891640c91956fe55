#include "nats_bridge/server_pool.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "core/base/check.h"
#include "nats_bridge/bridge_limits.h"

namespace bascule::nats {
namespace {

constexpr std::string_view kDefaultUrl = "nats://127.0.0.1:4222";

PoolServer Configured(ServerUrl url) {
  std::string name = url.host;
  return {std::move(url), false, std::move(name)};
}

}  // namespace

absl::StatusOr<ServerPool> ServerPool::Make(const std::vector<std::string>& urls, Rng& rng) {
  ServerPool pool(rng);
  for (const std::string& text : urls) {
    ASSIGN_OR_RETURN(ServerUrl url, ParseServerUrl(text));
    if (!pool.Knows(HostPort(url))) pool.servers_.push_back(Configured(std::move(url)));
  }
  if (pool.servers_.empty()) {
    ASSIGN_OR_RETURN(ServerUrl url, ParseServerUrl(kDefaultUrl));
    pool.servers_.push_back(Configured(std::move(url)));
  }
  for (size_t i = pool.servers_.size(); i > 1; --i)
    std::swap(pool.servers_[i - 1], pool.servers_[rng.Below(i)]);
  return pool;
}

bool ServerPool::Advance() {
  BASCULE_CHECK_LT(at_, servers_.size());
  at_ = (at_ + 1) % servers_.size();
  if (++tried_ < servers_.size()) return false;
  tried_ = 0;
  return true;
}

void ServerPool::Restart() {
  at_ = (at_ + 1) % servers_.size();
  tried_ = 0;
}

bool ServerPool::Knows(const std::string& host_port) const {
  return std::any_of(servers_.begin(), servers_.end(), [&host_port](const PoolServer& server) {
    return HostPort(server.url) == host_port;
  });
}

size_t ServerPool::Learn(const std::vector<std::string>& connect_urls) {
  if (connect_urls.empty()) return 0;
  const PoolServer present = current();
  const std::string speaker = HostPort(present.url);
  absl::flat_hash_set<std::string> named;
  if (present.learnt) named.insert(speaker);  // it stays, though it may not name itself
  std::vector<PoolServer> fresh;
  for (const std::string& text : connect_urls) {
    if (named.size() >= limits::kNatsLearntServers) break;
    absl::StatusOr<ServerUrl> url = ParseServerUrl(text);
    if (!url.ok() || !url->user.empty() || !url->token.empty()) continue;
    const std::string host_port = HostPort(*url);
    if (!named.insert(host_port).second || Knows(host_port)) continue;
    url->tls = present.url.tls;
    url->user = present.url.user;
    url->password = present.url.password;
    url->token = present.url.token;
    const bool by_namer = IsIpAddress(url->host) && !IsIpAddress(present.tls_name);
    std::string name = by_namer ? present.tls_name : url->host;
    fresh.push_back({*std::move(url), true, std::move(name)});
  }
  std::erase_if(servers_, [&](const PoolServer& server) {
    return server.learnt && !named.contains(HostPort(server.url));
  });
  const size_t count = fresh.size();
  for (PoolServer& server : fresh) {
    servers_.push_back(std::move(server));
    std::swap(servers_.back(), servers_[rng_->Below(servers_.size())]);
  }
  const auto found = std::find_if(servers_.begin(), servers_.end(), [&](const PoolServer& server) {
    return HostPort(server.url) == speaker;
  });
  BASCULE_CHECK(found != servers_.end());
  at_ = static_cast<size_t>(found - servers_.begin());
  tried_ = 0;
  return count;
}

}  // namespace bascule::nats
