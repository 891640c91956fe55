// Kinds of settings that name a place: network addresses, NATS servers, identities, disk space.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/limits.h"
#include "core/base/quantity.h"
#include "core/base/url.h"
#include "core/config/kind.h"

namespace bascule::config {
namespace {

constexpr int kMaxPort = 65535;
constexpr int kPeerPort = 9293;
constexpr size_t kMaxNamespaceBytes = 128;
constexpr double kMaxReservePercent = 90;
constexpr char kHidden[] = "***@";  // a server's user, password or token

// Splits "host:port", "[v6]:port", "host", ":port". False when it is none of them; without a port
// it is left alone.
bool SplitAddress(const std::string& text, Address& address) {
  std::string host = text;
  std::string port;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string::npos) return false;
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && port[0] != ':') return false;
  } else if (const size_t colon = text.find(':'); colon != std::string::npos) {
    // Two colons without brackets: an IPv6 address whose port cannot be told from its last group.
    if (text.find(':', colon + 1) != std::string::npos) return false;
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  for (const char c : host)
    if (!absl::ascii_isalnum(c) && !absl::StrContains(".-_:%", std::string(1, c))) return false;
  if (!port.empty()) {
    const auto number = ParseWhole(port.substr(1), 0, kMaxPort);
    if (!number.ok()) return false;
    address.port = static_cast<int>(*number);
  }
  address.host = host;
  return true;
}

absl::Status CheckLength(const std::string& what, const std::string& text, size_t most) {
  if (text.size() <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("names ", what, " of ", text.size(),
                                                 " bytes, at most ", most,
                                                 " are kept; give a shorter one"));
}

// What is wrong with an item of a list; empty: nothing.
using ItemRule = std::string (*)(const std::string& item);

// Every item that is wrong in one sentence behind `wanted`.
absl::Status CheckItems(const std::vector<std::string>& items, const std::string& wanted,
                        ItemRule rule) {
  std::vector<std::string> wrong;
  for (const std::string& item : items)
    if (std::string why = rule(item); !why.empty()) wrong.push_back(std::move(why));
  if (wrong.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(wanted, "; ", absl::StrJoin(wrong, ", ")));
}

std::string WrongNatsServer(const std::string& url) {
  const auto refuse = [&url](const std::string& why) {
    return absl::StrCat(Quoted(WithoutUserInfo(url, kHidden)), " ", why);
  };
  std::string rest = url;
  if (const size_t scheme = SchemeEnd(url); scheme != std::string::npos) {
    const std::string name = absl::AsciiStrToLower(url.substr(0, scheme));
    if (name != "nats" && name != "tls")
      return refuse(absl::StrCat("has the scheme ", Quoted(name)));
    rest = url.substr(scheme + 3);
  }
  if (const size_t at = rest.rfind('@'); at != std::string::npos) rest = rest.substr(at + 1);
  if (!rest.empty() && rest.back() == '/') rest.pop_back();
  Address address{"", 4222};
  if (!SplitAddress(rest, address)) return refuse("is not one");
  if (address.host.empty()) return refuse("has no host");
  if (address.port == 0) return refuse("has port 0");
  return "";
}

std::string WrongPeerAddress(const std::string& text) {
  Address address{"", kPeerPort};
  if (!SplitAddress(text, address) || address.host.empty() || address.port == 0 ||
      IsEveryInterface(address.host))
    return absl::StrCat(Quoted(text), " is none that can be dialled");
  const absl::Status length = CheckLength("a host", address.host, limits::kHostBytes);
  return length.ok() ? "" : absl::StrCat("one of them ", length.message());
}

}  // namespace

std::string ToText(const Address& address) {
  const bool v6 = absl::StrContains(address.host, ":");
  return absl::StrCat(v6 ? "[" : "", address.host, v6 ? "]:" : ":", address.port);
}

bool IsEveryInterface(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

Kind<Address> AddressKind() {
  const std::string wanted = "host:port such as 0.0.0.0:9292, localhost:9292 or [::1]:9292";
  return {"host:port",
          [wanted](const Value& value) -> absl::StatusOr<Address> {
            ASSIGN_OR_RETURN(const std::string text, OneText(value, wanted));
            Address address{"", -1};
            if (!SplitAddress(text, address) || address.port < 0)
              return absl::InvalidArgumentError(absl::StrCat(
                  "must be ", wanted, " with a port from 0 to ", kMaxPort, ", not ", Quoted(text)));
            RETURN_IF_ERROR(CheckLength("a host", address.host, limits::kHostBytes));
            if (address.host.empty()) address.host = "0.0.0.0";
            return address;
          },
          [](const Address& address) { return ToText(address); }};
}

Kind<Address> DialAddressKind() {
  Kind<Address> kind = AddressKind();
  kind.parse = [address = kind.parse](const Value& value) -> absl::StatusOr<Address> {
    ASSIGN_OR_RETURN(const Address parsed, address(value));
    if (!IsEveryInterface(parsed.host)) return parsed;
    return absl::InvalidArgumentError(
        absl::StrCat("must name a host that others can dial, such as b1.example.com:", kPeerPort,
                     ", not ", Quoted(ToText(parsed))));
  };
  kind.show = [](const Address& address) {
    return address.host.empty() ? std::string() : ToText(address);
  };
  return kind;
}

Kind<std::vector<Address>> PeerAddressesKind() {
  const auto parse =
      [list = ListKind().parse](const Value& value) -> absl::StatusOr<std::vector<Address>> {
    ASSIGN_OR_RETURN(const std::vector<std::string> texts, list(value));
    RETURN_IF_ERROR(CheckItems(
        texts,
        absl::StrCat("must hold addresses such as b1.example.com:", kPeerPort, " or 10.0.0.1"),
        WrongPeerAddress));
    std::vector<Address> addresses;
    for (const std::string& text : texts) {
      Address& address = addresses.emplace_back(Address{"", kPeerPort});
      SplitAddress(text, address);
    }
    return addresses;
  };
  return {"list", parse, [](const std::vector<Address>& addresses) {
            std::vector<std::string> shown;
            for (const Address& address : addresses) shown.push_back(ToText(address));
            return absl::StrCat("[", absl::StrJoin(shown, ", "), "]");
          }};
}

Kind<std::vector<std::string>> ServerIdsKind() {
  Kind<std::vector<std::string>> kind = ListKind();
  kind.parse = [list = kind.parse](const Value& value) -> absl::StatusOr<std::vector<std::string>> {
    ASSIGN_OR_RETURN(std::vector<std::string> ids, list(value));
    std::set<std::string> seen;
    std::vector<std::string> wrong;
    for (const std::string& id : ids) {
      if (id.empty()) {
        wrong.push_back("must hold server ids, one of them is empty");
      } else if (const absl::Status checked = CheckServerId(id); !checked.ok()) {
        wrong.push_back(std::string(checked.message()));
      } else if (!seen.insert(id).second) {
        wrong.push_back(absl::StrCat("names ", Quoted(id), " twice"));
      }
    }
    if (wrong.empty()) return ids;
    return absl::InvalidArgumentError(absl::StrJoin(wrong, "; "));
  };
  return kind;
}

Kind<std::vector<std::string>> NatsServersKind() {
  Kind<std::vector<std::string>> kind = ListKind();
  kind.parse = [list = kind.parse](const Value& value) -> absl::StatusOr<std::vector<std::string>> {
    ASSIGN_OR_RETURN(std::vector<std::string> servers, list(value));
    if (servers.empty())
      return absl::InvalidArgumentError(
          "names no server; give at least one, such as nats://127.0.0.1:4222");
    RETURN_IF_ERROR(CheckItems(servers,
                               "must hold addresses such as nats://host:4222 or tls://host:4222",
                               WrongNatsServer));
    return servers;
  };
  kind.show = [](const std::vector<std::string>& servers) {
    std::vector<std::string> shown;
    for (const std::string& server : servers) shown.push_back(WithoutUserInfo(server, kHidden));
    return absl::StrCat("[", absl::StrJoin(shown, ", "), "]");
  };
  return kind;
}

Kind<DiskReserve> ReserveKind() {
  const std::string wanted = "a size such as \"2GiB\" or a share of the disk such as \"5%\"";
  const auto parse = [wanted](const Value& value) -> absl::StatusOr<DiskReserve> {
    ASSIGN_OR_RETURN(const std::string text, OneText(value, wanted));
    double percent = 0;
    if (absl::EndsWith(text, "%")) {
      // Written so that a not-a-number fails it too.
      if (absl::SimpleAtod(text.substr(0, text.size() - 1), &percent) && percent >= 0 &&
          percent <= kMaxReservePercent)
        return DiskReserve{0, percent};
      return absl::InvalidArgumentError(absl::StrCat("must be from 0% to ", kMaxReservePercent,
                                                     "% of the disk, not ", Quoted(text)));
    }
    const absl::StatusOr<int64_t> bytes = ParseSize(text);
    if (!bytes.ok() || *bytes < 0)
      return absl::InvalidArgumentError(absl::StrCat("must be ", wanted, ", not ", Quoted(text)));
    return DiskReserve{static_cast<uint64_t>(*bytes), 0};
  };
  return {"size|percent", parse, [](const DiskReserve& reserve) {
            if (reserve.percent == 0) return SizeText(static_cast<int64_t>(reserve.bytes));
            const std::string share = absl::StrCat(reserve.percent, "%");
            if (reserve.bytes == 0) return share;
            return absl::StrCat("the greater of ", SizeText(static_cast<int64_t>(reserve.bytes)),
                                " and ", share);
          }};
}

absl::Status CheckServerId(const std::string& text) {
  bool plain = text.size() <= limits::kServerIdBytes;
  for (const char c : text) plain &= absl::ascii_isalnum(c) || c == '-' || c == '_';
  if (plain) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("must be at most ", limits::kServerIdBytes,
                                                 " letters, digits, \"-\" and \"_\", not ",
                                                 Quoted(text)));
}

absl::Status CheckNamespace(const std::string& text) {
  bool plain = !text.empty() && text.size() <= kMaxNamespaceBytes && text.front() != '.' &&
               text.back() != '.' && !absl::StrContains(text, "..");
  for (const char c : text) plain &= absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  if (plain) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "begins NATS subjects, so it must be 1 to ", kMaxNamespaceBytes,
      " letters, digits, \"-\" and \"_\", with single dots between, not ", Quoted(text)));
}

absl::Status CheckHost(const std::string& text) {
  RETURN_IF_ERROR(CheckNotEmpty(text));
  return CheckLength("a host", text, limits::kHostBytes);
}

absl::Status CheckRack(const std::string& text) {
  return CheckLength("a rack", text, limits::kPeerNameBytes);
}

}  // namespace bascule::config
