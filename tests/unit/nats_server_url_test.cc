// URLs of servers: every part of them, what is none, and that no secret is ever shown.
#include "nats_bridge/server_url.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/text.h"
#include "core/base/url.h"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

ServerUrl UrlOf(const std::string& text) {
  const auto url = ParseServerUrl(text);
  REQUIRE_MESSAGE(url.ok(), text << ": " << url.status().ToString());
  return *url;
}

std::string PartsOf(const ServerUrl& url) {
  return Concat(url.tls ? "tls" : "plain", " <", url.user, "> <", url.password, "> <", url.token,
                "> <", url.host, "> ", url.port);
}

// Empty when `text` is refused as it must be, without a word of what stands before its last "@".
std::string WrongWithRefusal(const std::string& text, const std::string& shown) {
  const auto url = ParseServerUrl(text);
  if (url.ok()) return "taken as " + PartsOf(*url);
  if (!absl::IsInvalidArgument(url.status())) return url.status().ToString();
  const std::string message(url.status().message());
  return message.find(shown) == std::string::npos ? message : "";
}

TEST_CASE("nats server url: each part is read, whichever of the others are there") {
  struct Part {
    std::string text, meaning;
  };
  const std::vector<Part> schemes = {{"", "plain"},        {"nats://", "plain"}, {"tls://", "tls"},
                                     {"NATS://", "plain"}, {"TLS://", "tls"},    {"Tls://", "tls"}};
  const std::vector<Part> logins = {{"", "<> <> <>"},
                                    {"me:secret@", "<me> <secret> <>"},
                                    {"me:@", "<me> <> <>"},
                                    {"t0ken@", "<> <> <t0ken>"}};
  const std::vector<Part> hosts = {{"localhost", "<localhost>"},
                                   {"10.1.2.3", "<10.1.2.3>"},
                                   {"n-1.nats.example.com", "<n-1.nats.example.com>"},
                                   {"[::1]", "<::1>"},
                                   {"[2001:db8::42]", "<2001:db8::42>"}};
  const std::vector<Part> ports = {
      {"", "4222"}, {":1", "1"}, {":4222", "4222"}, {":5222", "5222"}, {":65535", "65535"}};
  for (const Part& scheme : schemes) {
    for (const Part& login : logins) {
      for (const Part& host : hosts) {
        for (const Part& port : ports) {
          for (const std::string end : {"", "/"}) {
            const std::string text = scheme.text + login.text + host.text + port.text + end;
            CAPTURE(text);
            CHECK(PartsOf(UrlOf(text)) ==
                  Concat(scheme.meaning, " ", login.meaning, " ", host.meaning, " ", port.meaning));
          }
        }
      }
    }
  }
}

TEST_CASE("nats server url: passwords and tokens are taken as they stand, to the last @") {
  for (const std::string secret :
       {"%40", "a%2Fb", "p@ss", "@", "@@", "p:w", ":", "p/w", "/", "?a=b#c", "[x]", "a b", "p\tw",
        "gr\xc3\xbc\xc3\x9f", "nats://x", "+&=", "4222"}) {
    CAPTURE(secret);
    const ServerUrl by_password = UrlOf("nats://me:" + secret + "@host:1");
    CHECK(PartsOf(by_password) == Concat("plain <me> <", secret, "> <> <host> 1"));
    // A token has no ":", which would make it a user and a password.
    if (secret.find(':') != std::string::npos) continue;
    CHECK(PartsOf(UrlOf("tls://" + secret + "@[::1]:1")) ==
          Concat("tls <> <> <", secret, "> <::1> 1"));
  }
  CHECK(PartsOf(UrlOf("nats://m%65:x@host")) == "plain <m%65> <x> <> <host> 4222");
  CHECK(PartsOf(UrlOf("nats://a@b:c@host")) == "plain <a@b> <c> <> <host> 4222");
}

TEST_CASE("nats server url: what is none is refused, and shown without its secrets") {
  for (const std::string rest :
       {"",        "/",       ":4222",     ":",         "host:",          "host:/",
        "host:0",  "host:00", "host:-1",   "host:+1",   "host:65536",     "host:4222x",
        "host: 1", "host:1 ", "host:0x10", "host:1e3",  "host:\xd9\xa1",  "host:99999999999999999",
        "[::1",    "[]",      "[]:4222",   "[::1]4222", "[::1]x:1",       "[::1]:",
        "[::1]:0", "ho st",   " host",     "host\n",    "host/path",      "host:1/path",
        "host//",  "/host",   "host\r\n",  "ho\tst",    "host:4222,other"}) {
    for (const std::string scheme : {"", "nats://", "tls://"}) {
      for (const std::string login : {"", "me:secret@", "t0ken@", "me:s@secret@"}) {
        CAPTURE(scheme + login + rest);
        CHECK(WrongWithRefusal(scheme + login + rest, "'" + scheme + rest + "'").empty());
      }
    }
  }
  for (const std::string scheme : {"http://", "ws://", "natss://", "nat://", "://"}) {
    CAPTURE(scheme);
    CHECK(WrongWithRefusal(scheme + "host:4222", "'" + scheme + "host:4222'").empty());
    CHECK(WrongWithRefusal(scheme + "me:secret@host", "'" + scheme + "host'").empty());
  }
  // What is no word may be part of a password.
  CHECK(WrongWithRefusal(" nats://host:4222", "' nats://host:4222'").empty());
  CHECK(WrongWithRefusal("tls://nats://host", "'tls://nats://host'").empty());
}

TEST_CASE("nats server url: with several colons and no brackets it is no host with a port") {
  for (const std::string text : {"host:4222:4222", "nats://host:1:2", "a:4222,b:4222", "::1]:4222",
                                 "10.0.0.1:4222:", "host::4222"}) {
    CAPTURE(text);
    CHECK(WrongWithRefusal(text, text).empty());
  }
}

TEST_CASE("nats server url: secrets stay hidden wherever an operator put the scheme") {
  for (const std::string text :
       {"me:secret@nats://host:4222", "secret@tls://host", "me:secret@host://4222",
        "me:secret://secret@host", "nats://me:secret@nats://host", "me:secret@@://"}) {
    CAPTURE(text);
    CHECK(WithoutUserInfo(text).find("secret") == std::string::npos);
    const auto url = ParseServerUrl(text);
    if (url.ok()) {
      CHECK(Shown(*url).find("secret") == std::string::npos);
    } else {
      CHECK(absl::IsInvalidArgument(url.status()));
      CHECK(url.status().ToString().find("secret") == std::string::npos);
    }
  }
}

TEST_CASE("nats server url: a server is named by host and port, whoever logs in") {
  CHECK(HostPort(UrlOf("tls://me:secret@host/")) == "host:4222");
  CHECK(HostPort(UrlOf("t0ken@host:4222")) == "host:4222");
  CHECK(HostPort(UrlOf("10.0.0.1:1")) == "10.0.0.1:1");
  CHECK(HostPort(UrlOf("nats://me:secret@[2001:db8::1]")) == "[2001:db8::1]:4222");
  CHECK(Shown(UrlOf("tls://me:secret@host/")) == "tls://host:4222");
  CHECK(Shown(UrlOf("TLS://t0ken@[::1]:1")) == "tls://[::1]:1");
  CHECK(Shown(UrlOf("t0ken@host")) == "nats://host:4222");
}

TEST_CASE("nats server url: an address is told from a name") {
  for (const std::string address : {"127.0.0.1", "0.0.0.0", "255.255.255.255", "::1",
                                    "::", "2001:db8::42", "::ffff:10.0.0.1", "FE80::1"}) {
    CAPTURE(address);
    CHECK(IsIpAddress(address));
  }
  for (const std::string name :
       {"", "localhost", "a.b", "1.2.3", "1.2.3.4.5", "256.1.1.1", "beef", "1.2.3.4.example.com",
        "[::1]", "1.2.3.4:80", ":::", "12345", " 127.0.0.1", "2001:db8::g"}) {
    CAPTURE(name);
    CHECK_FALSE(IsIpAddress(name));
  }
}

TEST_CASE("nats server url: of any text either nothing is taken, or what is shown means the same") {
  const std::string letters = "ab1:://[]@.42 ";
  size_t taken = 0;
  std::string wrong;
  for (uint64_t seed = 1; seed <= 20'000 && wrong.empty(); ++seed) {
    SimRng rng(seed);
    std::string text = rng.Below(2) == 0 ? "nats://" : "";
    for (uint64_t i = rng.Below(14); i > 0; --i) text += letters[rng.Below(letters.size())];
    const auto url = ParseServerUrl(text);
    if (!url.ok()) {
      if (!absl::IsInvalidArgument(url.status())) wrong = text;
      continue;
    }
    ++taken;
    ServerUrl stranger = *url;
    stranger.user = stranger.password = stranger.token = "";
    const auto again = ParseServerUrl(Shown(*url));
    if (url->host.empty() || url->port == 0 || !again.ok() ||
        PartsOf(*again) != PartsOf(stranger)) {
      wrong = text;
    }
  }
  CAPTURE(wrong);
  CHECK(wrong.empty());
  CHECK(taken > 0);
}

TEST_CASE("nats server url: of a URL with a scheme no part of a secret is shown, whatever it is") {
  const std::string letters = "x@:/[]%? ";
  std::string wrong;
  for (uint64_t seed = 1; seed <= 5'000 && wrong.empty(); ++seed) {
    SimRng rng(seed);
    const auto some = [&] {
      std::string out;
      for (uint64_t i = rng.Below(6); i > 0; --i) out += letters[rng.Below(letters.size())];
      return out;
    };
    const std::string scheme = rng.Below(2) == 0 ? "nats://" : "tls://";
    const std::string user = rng.Below(2) == 0 ? "me:" : "";
    const std::string text = scheme + user + "SEC" + some() + "RET@" + some();
    const auto url = ParseServerUrl(text);
    for (const std::string& shown :
         {WithoutUserInfo(text), url.ok() ? Shown(*url) : url.status().ToString()}) {
      if (shown.find("SEC") != std::string::npos || shown.find("RET") != std::string::npos)
        wrong = text;
    }
  }
  CAPTURE(wrong);
  CHECK(wrong.empty());
}

}  // namespace
}  // namespace bascule::nats
