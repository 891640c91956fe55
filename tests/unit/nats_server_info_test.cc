// INFO as servers of several versions send it, odd and hostile ones, and what CONNECT answers.
#include "nats_bridge/server_info.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

ServerInfo InfoOf(const std::string& text) {
  const auto info = ParseServerInfo(text);
  REQUIRE_MESSAGE(info.ok(), text.substr(0, 200) << ": " << info.status().ToString());
  return *info;
}

bool RefusesInfo(const std::string& text) {
  return absl::IsInvalidArgument(ParseServerInfo(text).status());
}

// nats-server 2.9.10, alone and without any setting. The blank at its end is sent, too.
constexpr const char* kInfoAlone =
    R"({"server_id":"NBQQQTKAPWYH4TGJV5DIY27UEACTJ47TMJ6BFQJ74IJTRGRSBQGA5VDH","server_name":)"
    R"("NBQQQTKAPWYH4TGJV5DIY27UEACTJ47TMJ6BFQJ74IJTRGRSBQGA5VDH","version":"2.9.10","proto":1,)"
    R"("go":"go1.19.8","host":"0.0.0.0","port":14999,"headers":true,"max_payload":1048576,)"
    R"("client_id":4,"client_ip":"127.0.0.1"} )";
// 2.10 of a cluster with TLS, JetStream and NKeys.
constexpr const char* kInfoOfCluster =
    R"({"server_id":"NAY5VV77GOQGQQD4QNMCXJMXELZEF5C3SHCNQZ242EPJFVNNLMEVUHTQ","server_name":)"
    R"("n1","version":"2.10.18","proto":1,"git_commit":"57d23ac","go":"go1.22.5","host":)"
    R"("0.0.0.0","port":4222,"headers":true,"auth_required":true,"tls_required":true,)"
    R"("max_payload":8388608,"jetstream":true,"client_id":17,"client_ip":"172.18.0.1",)"
    R"("nonce":"XOszOsBwEHPz3dE","cluster":"c1","domain":"hub","connect_urls":["10.0.0.1:4222",)"
    R"("[2001:db8::2]:4222","n3.example.com:4222"],)"
    R"("xkey":"XAWIJU2NCFBYXKRLXRJUKDXTLYLNMQNVVRZGEEFW7KNHC7HBAWUSVFLW"})";
// 2.11 that offers TLS, and is about to end.
constexpr const char* kInfoOfLameDuck =
    R"({"server_id":"NC","server_name":"n1","version":"2.11.4","proto":1,"go":"go1.24.3",)"
    R"("host":"0.0.0.0","port":4222,"headers":true,"tls_available":true,"max_payload":1048576,)"
    R"("jetstream":true,"client_id":5,"client_ip":"127.0.0.1","ldm":true,"cluster":"c1",)"
    R"("connect_urls":["10.0.0.2:4222"]})";

TEST_CASE("nats server info: a server alone") {
  const ServerInfo info = InfoOf(kInfoAlone);
  CHECK(info.server_id == "NBQQQTKAPWYH4TGJV5DIY27UEACTJ47TMJ6BFQJ74IJTRGRSBQGA5VDH");
  CHECK(info.server_name == info.server_id);
  CHECK(info.version == "2.9.10");
  CHECK(info.max_payload == 1048576);
  CHECK(info.headers);
  CHECK(info.nonce.empty());
  CHECK(info.connect_urls.empty());
  CHECK_FALSE(info.auth_required);
  CHECK_FALSE(info.tls_required);
  CHECK_FALSE(info.tls_available);
  CHECK_FALSE(info.lame_duck);
}

TEST_CASE("nats server info: a server of a cluster, with all that it can ask for") {
  const ServerInfo info = InfoOf(kInfoOfCluster);
  CHECK(info.server_name == "n1");
  CHECK(info.version == "2.10.18");
  CHECK(info.nonce == "XOszOsBwEHPz3dE");
  CHECK(info.connect_urls ==
        std::vector<std::string>{"10.0.0.1:4222", "[2001:db8::2]:4222", "n3.example.com:4222"});
  CHECK(info.max_payload == 8388608);
  CHECK(info.auth_required);
  CHECK(info.tls_required);
  CHECK_FALSE(info.tls_available);
  CHECK_FALSE(info.lame_duck);
}

TEST_CASE("nats server info: a server that is about to end") {
  const ServerInfo info = InfoOf(kInfoOfLameDuck);
  CHECK(info.lame_duck);
  CHECK(info.tls_available);
  CHECK_FALSE(info.tls_required);
  CHECK(info.connect_urls == std::vector<std::string>{"10.0.0.2:4222"});
}

TEST_CASE("nats server info: what a server does not say is not so") {
  const ServerInfo info = InfoOf("{}");
  CHECK(info.server_id.empty());
  CHECK(info.version.empty());
  CHECK(info.connect_urls.empty());
  CHECK(info.max_payload == 0);
  CHECK_FALSE(info.headers);
  CHECK_FALSE(info.lame_duck);
}

TEST_CASE("nats server info: bounds of max_payload, and texts with escapes") {
  CHECK(InfoOf(R"({"max_payload":0})").max_payload == 0);
  CHECK(InfoOf(R"({"max_payload":9223372036854775807})").max_payload == INT64_MAX);
  CHECK(InfoOf(R"({"nonce":"a\"\\\/\u0041\u00fc\ud83d\ude00"})").nonce ==
        "a\"\\/A\xc3\xbc\xf0\x9f\x98\x80");
  CHECK(InfoOf("{\"server_name\":\"gr\xc3\xbc\xc3\x9f\"}").server_name == "gr\xc3\xbc\xc3\x9f");
  CHECK(InfoOf(" \t{ \"version\" :\r\n\"1\" } \r\n").version == "1");
  CHECK(InfoOf(R"({"connect_urls":[]})").connect_urls.empty());
}

TEST_CASE("nats server info: a field of another type is refused, whatever else is right") {
  struct Wrong {
    std::string name;
    std::vector<std::string> values;
  };
  const std::vector<std::string> no_text = {"1", "true", "1.5", "[]", "{}", R"(["a"])"};
  const std::vector<std::string> no_bool = {"0", "1", R"("true")", R"("")", "[]", "{}", "[true]"};
  const std::vector<Wrong> all = {
      {"server_id", no_text},
      {"server_name", no_text},
      {"version", no_text},
      {"nonce", no_text},
      {"headers", no_bool},
      {"auth_required", no_bool},
      {"tls_required", no_bool},
      {"tls_available", no_bool},
      {"ldm", no_bool},
      {"max_payload",
       {R"("1")", "1.5", "-1", "true", "[]", "{}", "[1]", "9223372036854775808",
        "99999999999999999999"}},
      {"connect_urls",
       {R"("a:1")", "1", "true", "{}", "[1]", R"(["a:1",2])", R"([["a:1"]])", "[null]", "[{}]"}}};
  for (const Wrong& wrong : all) {
    for (const std::string& value : wrong.values) {
      const std::string field = Concat("\"", wrong.name, "\":", value);
      CAPTURE(field);
      CHECK(RefusesInfo("{" + field + "}"));
      CHECK(RefusesInfo(R"({"proto":1,)" + field + R"(,"go":"go1.22"})"));
    }
  }
}

TEST_CASE("nats server info: what is no JSON object is refused") {
  for (const std::string text : {"",
                                 " ",
                                 "null",
                                 "true",
                                 "1",
                                 "[]",
                                 R"("{}")",
                                 "[{}]",
                                 "{",
                                 "}",
                                 "{}}",
                                 "{}{}",
                                 "{} x",
                                 "INFO {}",
                                 "{'a':1}",
                                 "{a:1}",
                                 R"({"a":})",
                                 R"({"a" 1})",
                                 R"({"a":1,})",
                                 R"({"a":1 "b":2})",
                                 R"({"a":01})",
                                 R"({"a":nan})",
                                 R"({"a":"\x"})",
                                 R"({"a":"\ud800"})",
                                 R"({"a":"b)",
                                 "{\"a\":\"\xff\"}",
                                 "{\"a\":\"\xc0\xaf\"}",
                                 "{\"a\":\"\n\"}",
                                 "{/* */}",
                                 "\xff\xfe{}"}) {
    CAPTURE(text);
    CHECK(RefusesInfo(text));
  }
  CHECK(RefusesInfo(std::string("{}\0", 3)));
  CHECK(RefusesInfo(std::string("{\"a\":\"\0\"}", 9)));
}

TEST_CASE("nats server info: whatever else stands in it is passed over") {
  const ServerInfo info =
      InfoOf(R"({"":null,"Version":"x","versions":[1],"version":"2.12.0","api":{"version":7,)"
             R"("nonce":"inner","ldm":[true]},"port":-1.5e300,"feature_flags":{"a":{"b":[{}]}},)"
             R"("max_payload":5,"client_id":18446744073709551615,"later":"\u0000"})");
  CHECK(info.version == "2.12.0");
  CHECK(info.max_payload == 5);
  CHECK(info.nonce.empty());
  CHECK_FALSE(info.lame_duck);
}

// As NATS's own JSON takes it.
TEST_CASE("nats server info: of a field that comes twice the last stands") {
  const ServerInfo info =
      InfoOf(R"({"version":"1","connect_urls":["a:1","b:1"],"ldm":true,"max_payload":1,)"
             R"("version":"2","connect_urls":["c:1"],"ldm":false,"max_payload":2})");
  CHECK(info.version == "2");
  CHECK(info.connect_urls == std::vector<std::string>{"c:1"});
  CHECK_FALSE(info.lame_duck);
  CHECK(info.max_payload == 2);
}

TEST_CASE("nats server info: as deep as an INFO can be it is refused or passed over") {
  const size_t depth = limits::kNatsInfoBytes / 2 - 100;
  const std::string open(depth, '[');
  const std::string nested = open + std::string(depth, ']');
  CHECK(InfoOf(R"({"version":"1","x":)" + nested + "}").version == "1");
  CHECK(RefusesInfo(R"({"x":)" + open));
  CHECK(RefusesInfo(open));
  CHECK(RefusesInfo(nested));
  CHECK(RefusesInfo(R"({"version":)" + nested + "}"));
  CHECK(RefusesInfo(R"({"connect_urls":)" + nested + "}"));
  std::string objects;
  for (size_t i = 0; i < limits::kNatsInfoBytes / 8; ++i) objects += R"({"a":)";
  CHECK(RefusesInfo(objects));
  std::string wide = R"({"connect_urls":["a:1")";
  for (int i = 1; i < 20'000; ++i) wide += R"(,"a:1")";
  CHECK(InfoOf(wide + "]}").connect_urls.size() == 20'000);
}

TEST_CASE("nats server info: a piece of an INFO is none, and a damaged one does no harm") {
  for (const std::string whole : {kInfoAlone, kInfoOfCluster, kInfoOfLameDuck}) {
    const size_t end = whole.rfind('}');
    for (size_t size = 0; size <= end; ++size) CHECK_UNARY(RefusesInfo(whole.substr(0, size)));
    SimRng rng(whole.size());
    size_t refused = 0;
    for (int i = 0; i < 3000; ++i) {
      std::string text = whole;
      for (uint64_t n = 1 + rng.Below(3); n > 0; --n)
        text[rng.Below(text.size())] = static_cast<char>(rng.Below(256));
      const auto info = ParseServerInfo(text);
      if (info.ok()) continue;
      CHECK_UNARY(absl::IsInvalidArgument(info.status()));
      ++refused;
    }
    CHECK(refused > 1000);
  }
}

// --- CONNECT ---

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// What stands between the command and the line's end; that there is one line, of a JSON object in
// UTF-8, is checked on the way.
std::string ConnectJson(const ConnectFields& fields) {
  const std::string line = ConnectLine(fields);
  REQUIRE(line.starts_with("CONNECT {"));
  REQUIRE(line.ends_with("}\r\n"));
  std::string json = line.substr(8, line.size() - 10);
  REQUIRE(json.find_first_of("\r\n") == std::string::npos);
  REQUIRE(json.find('\0') == std::string::npos);
  // It has the fields "version", "headers" and "tls_required" in common with INFO.
  const ServerInfo read = InfoOf(json);
  CHECK_FALSE(read.version.empty());
  CHECK(read.headers);
  CHECK(read.tls_required == fields.tls);
  return json;
}

TEST_CASE("nats server info: CONNECT asks for headers and later INFOs, and not for an +OK each") {
  for (const bool tls : {false, true}) {
    ConnectFields fields;
    fields.tls = tls;
    const std::string json = ConnectJson(fields);
    CHECK(Holds(json, R"("verbose":false)"));
    CHECK(Holds(json, R"("pedantic":false)"));
    CHECK(Holds(json, R"("protocol":1)"));
    CHECK(Holds(json, R"("headers":true)"));
    CHECK(Holds(json, R"("lang":")"));
    CHECK(Holds(json, tls ? R"("tls_required":true)" : R"("tls_required":false)"));
    // Empty: it does not say.
    for (const char* name : {"name", "user", "pass", "auth_token", "jwt", "nkey", "sig"})
      CHECK_FALSE_MESSAGE(Holds(json, Concat("\"", name, "\":")), name);
  }
}

TEST_CASE("nats server info: CONNECT says each field by the protocol's name for it") {
  ConnectFields fields;
  fields.name = "bascule.ns.id.ingest";
  fields.user = "me";
  fields.password = "secret";
  std::string json = ConnectJson(fields);
  CHECK(Holds(json, R"("name":"bascule.ns.id.ingest")"));
  CHECK(Holds(json, R"("user":"me")"));
  CHECK(Holds(json, R"("pass":"secret")"));
  CHECK_FALSE(Holds(json, R"("auth_token")"));
  fields = {};
  fields.token = "t0ken";
  json = ConnectJson(fields);
  CHECK(Holds(json, R"("auth_token":"t0ken")"));
  CHECK_FALSE(Holds(json, R"("user")"));
  CHECK_FALSE(Holds(json, R"("pass")"));
  fields = {};
  fields.jwt = "eyJ0.eyJq.c2ln";
  fields.nkey = "UDXU4RCS";
  fields.signature = "a-b_c";
  json = ConnectJson(fields);
  CHECK(Holds(json, R"("jwt":"eyJ0.eyJq.c2ln")"));
  CHECK(Holds(json, R"("nkey":"UDXU4RCS")"));
  CHECK(Holds(json, R"("sig":"a-b_c")"));
}

TEST_CASE("nats server info: no text breaks out of CONNECT") {
  ConnectFields fields;
  fields.name = "a\"b\\c\r\nPUB x 0\r\n\r\n";
  fields.user = std::string("n\0l", 3);
  fields.password = "\",\"user\":\"admin";
  fields.token = "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80";
  const std::string json = ConnectJson(fields);
  CHECK(Holds(json, R"("name":"a\"b\\c\r\nPUB x 0\r\n\r\n")"));
  CHECK(Holds(json, R"("user":"n\u0000l")"));
  CHECK(Holds(json, R"("pass":"\",\"user\":\"admin")"));
  CHECK(Holds(json, "\"auth_token\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\""));
}

TEST_CASE("nats server info: in CONNECT the bytes that are no UTF-8 are replaced, and only those") {
  const std::string replaced = "\xef\xbf\xbd";
  ConnectFields fields;
  fields.name = "a\xff\xc3\xbc";
  CHECK(Holds(ConnectJson(fields), "\"name\":\"a" + replaced + "\xc3\xbc\""));
  // Overlong, half of a pair, cut, past the end, a tail alone.
  for (const std::string wrong : {"\xc0\xaf", "\xed\xa0\x80", "\xe2\x82", "\xf0\x9f\x98",
                                  "\xf5\x80\x80\x80", "\x80", "\xc3"}) {
    for (const std::string behind : {"", "z"}) {
      fields.name = "a" + wrong + behind;
      const std::string json = ConnectJson(fields);
      CHECK(Holds(json, "\"name\":\"a" + replaced));
      CHECK(Holds(json, behind + "\""));
    }
  }
  SimRng rng(1);
  for (int i = 0; i < 2000; ++i) {
    fields = {};
    for (std::string* text : {&fields.name, &fields.user, &fields.password, &fields.token,
                              &fields.jwt, &fields.nkey, &fields.signature}) {
      for (uint64_t n = rng.Below(8); n > 0; --n) *text += static_cast<char>(rng.Below(256));
    }
    ConnectJson(fields);
  }
}

}  // namespace
}  // namespace bascule::nats
