// Who this client is to a server: keys and signatures, files of credentials, what CONNECT says.
#include "nats_bridge/login.h"

#include <doctest/doctest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/base/openssl_handles.h"
#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/nkey.h"
#include "tests/integration/nats_keys.h"
#include "tests/support/sim_rng.h"
#include "tests/support/temp_dir.h"

namespace bascule::nats {
namespace {

// The pair that NATS's own documentation of NKeys shows.
constexpr const char* kKnownSeed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
constexpr const char* kKnownPublic = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

const unsigned char* RawBytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Whether `signature` is that of the key whose 32 secret bytes are all `fill`.
bool Verifies(char fill, std::string_view message, std::string_view signature) {
  const std::string raw(32, fill);
  const openssl::KeyPtr key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, RawBytes(raw), raw.size()));
  const openssl::Owned<EVP_MD_CTX, &EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  REQUIRE(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  return EVP_DigestVerify(context.get(), RawBytes(signature), signature.size(), RawBytes(message),
                          message.size()) == 1;
}

std::string KeptFile(const TempDir& files, const std::string& name, const std::string& text) {
  std::ofstream(files.Path(name), std::ios::binary) << text;
  return files.Path(name);
}

std::string CredsText(const std::string& jwt, const std::string& seed) {
  return Concat("-----BEGIN NATS USER JWT-----\n", jwt, "\n------END NATS USER JWT------\n\n",
                "************************* IMPORTANT *************************\n",
                "NKEY Seed printed below can be used to sign and prove identity.\n",
                "NKEYs are sensitive and should be treated as secrets.\n\n",
                "-----BEGIN USER NKEY SEED-----\n", seed, "\n------END USER NKEY SEED------\n\n",
                "*************************************************************\n");
}

NatsOptions WithCreds(const std::string& path) {
  NatsOptions options;
  options.creds_file = path;
  return options;
}

NatsOptions WithSeed(const std::string& path) {
  NatsOptions options;
  options.nkey_seed_file = path;
  return options;
}

ConnectFields Said(const Login& login, const std::string& url, std::string_view nonce) {
  const auto parsed = ParseServerUrl(url);
  REQUIRE(parsed.ok());
  ConnectFields out;
  out.name = "n";
  const absl::Status said = SayLogin(login, *parsed, nonce, out);
  REQUIRE_MESSAGE(said.ok(), said.ToString());
  CHECK(out.name == "n");
  return out;
}

std::string SaidInBrief(const ConnectFields& said) {
  return Concat(said.user, "|", said.password, "|", said.token, "|", said.jwt, "|", said.nkey, "|",
                said.signature.empty() ? "" : "signed");
}

TEST_CASE("nats login: signatures are those of Ed25519's own examples") {
  struct Example {
    const char* seed;
    std::string message;
    const char* signature;
  };
  // RFC 8032, 7.1, tests 1 to 3; their keys as NATS writes them.
  for (const Example& example : std::vector<Example>{
           {"SUAJ2YNRTXX72WTAXKCEV5ES5QWMIRCJYVUXWMTJDFYDXLADDSXH6YALCA", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39"
            "701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
           {"SUAEZTIITMUP7FW2TW3MGRXMCFHA6W4KGGPTLK5GETNIZ5XNJ64KN63OVI", "\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f36"
            "13d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
           {"SUAMLKUN6Q7Z7A335W3UILZR3S33CZWTQU2QO3YJJOC44OROBNCFR54NIM", "\xaf\x82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7"
            "60984dc6594a7c15e9716ed28dc027beceea1ec40a"}}) {
    const auto signature = SignWithNkey(example.seed, example.message);
    REQUIRE(signature.ok());
    CHECK(absl::BytesToHexString(*signature) == example.signature);
  }
  REQUIRE(NkeyPublicFromSeed(kKnownSeed).ok());
  CHECK(*NkeyPublicFromSeed(kKnownSeed) == kKnownPublic);
}

TEST_CASE("nats login: what a seed signs its key verifies, and no other key or message") {
  SimRng rng(1);
  for (int fill = 0; fill < 256; fill += 5) {
    const char byte = static_cast<char>(fill);
    const TestNkey user(TestNkey::kUser, byte);
    REQUIRE(NkeyPublicFromSeed(user.Seed()).ok());
    CHECK(*NkeyPublicFromSeed(user.Seed()) == user.Public());
    std::string message(1 + rng.Below(300), '\0');
    for (char& c : message) c = static_cast<char>(rng.Below(256));
    const auto signature = SignWithNkey(user.Seed(), message);
    REQUIRE(signature.ok());
    CHECK(signature->size() == 64);
    CHECK(Verifies(byte, message, *signature));
    CHECK_FALSE(Verifies(static_cast<char>(fill + 1), message, *signature));
    message[rng.Below(message.size())] ^= 1;
    CHECK_FALSE(Verifies(byte, message, *signature));
  }
}

TEST_CASE("nats login: a seed with one letter wrong is none") {
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const std::string seed = kKnownSeed;
  for (size_t i = 0; i < seed.size(); ++i) {
    for (const char c : letters + "018a= -") {
      // The last letter's two lowest bits stand for nothing.
      const bool last = i + 1 == seed.size() && letters.find(c) != std::string::npos;
      if (c == seed[i] || (last && letters.find(c) / 4 == letters.find(seed[i]) / 4)) continue;
      std::string wrong = seed;
      wrong[i] = c;
      CAPTURE(wrong);
      CHECK_UNARY(absl::IsInvalidArgument(NkeyPublicFromSeed(wrong).status()));
      CHECK_UNARY(absl::IsInvalidArgument(SignWithNkey(wrong, "x").status()));
    }
  }
  for (const std::string& wrong :
       {std::string(), std::string("SU"), seed.substr(1), seed.substr(0, 57), seed + "A",
        seed + "\n", " " + seed, std::string(kKnownPublic), std::string(58, 'A'),
        TestNkey(TestNkey::kAccount, 'a').Seed(), TestNkey(TestNkey::kOperator, 'o').Seed()}) {
    CAPTURE(wrong);
    CHECK(absl::IsInvalidArgument(NkeyPublicFromSeed(wrong).status()));
    CHECK(absl::IsInvalidArgument(SignWithNkey(wrong, "x").status()));
  }
}

TEST_CASE("nats login: user and password, a token, or nothing, as the options say") {
  NatsOptions options;
  REQUIRE(ReadLogin(options).ok());
  CHECK(SaidInBrief(Said(*ReadLogin(options), "host", "nonce")) == "|||||");
  options.user = "me";
  options.password = "secret";
  REQUIRE(ReadLogin(options).ok());
  CHECK(SaidInBrief(Said(*ReadLogin(options), "host", "nonce")) == "me|secret||||");
  options = {};
  options.token = "t0ken";
  REQUIRE(ReadLogin(options).ok());
  CHECK(SaidInBrief(Said(*ReadLogin(options), "host", "nonce")) == "||t0ken|||");
}

TEST_CASE("nats login: two ways to log in are one too many, each pair of them") {
  const TempDir files;
  const std::string creds = KeptFile(files, "user.creds", CredsText("a.b.c", kKnownSeed));
  const std::string seed = KeptFile(files, "user.nk", kKnownSeed);
  for (unsigned which = 0; which < 16; ++which) {
    NatsOptions options;
    if ((which & 1) != 0) options.user = "me";
    if ((which & 2) != 0) options.token = "t0ken";
    if ((which & 4) != 0) options.creds_file = creds;
    if ((which & 8) != 0) options.nkey_seed_file = seed;
    const auto login = ReadLogin(options);
    CAPTURE(which);
    if (std::popcount(which) <= 1) {
      CHECK(login.ok());
    } else {
      CHECK(absl::IsInvalidArgument(login.status()));
    }
  }
}

TEST_CASE("nats login: a seed file makes a public key and a signature of the nonce") {
  const TempDir files;
  const TestNkey user(TestNkey::kUser, 'x');
  for (const std::string& text :
       {user.Seed(), user.Seed() + "\n", "# ours\r\n" + user.Seed() + "\r\n",
        "-----BEGIN USER NKEY SEED-----\n" + user.Seed() + "\n------END USER NKEY SEED------\n"}) {
    const auto login = ReadLogin(WithSeed(KeptFile(files, "user.nk", text)));
    REQUIRE_MESSAGE(login.ok(), login.status().ToString());
    CHECK(login->seed == user.Seed());
    CHECK(login->public_key == user.Public());
    CHECK(login->jwt.empty());
    for (const std::string nonce : {"XOszOsBwEHPz3dE", "a", "\xff\xfe"}) {
      const ConnectFields said = Said(*login, "host", nonce);
      CHECK(SaidInBrief(said) == "||||" + user.Public() + "|signed");
      // base64url without padding
      CHECK(said.signature.size() == 86);
      CHECK(said.signature.find_first_of("+/=") == std::string::npos);
      std::string signature;
      REQUIRE(absl::WebSafeBase64Unescape(said.signature, &signature));
      CHECK(Verifies('x', nonce, signature));
    }
  }
}

TEST_CASE("nats login: a creds file makes a JWT and a signature, and names no key") {
  const TempDir files;
  const TestTrust trust;
  const std::string unix_text = trust.CredsFile();
  std::string dos_text;
  for (const char c : unix_text) dos_text += c == '\n' ? "\r\n" : std::string(1, c);
  for (const std::string& text : {unix_text, dos_text, "a comment\n\n" + unix_text}) {
    const auto login = ReadLogin(WithCreds(KeptFile(files, "user.creds", text)));
    REQUIRE_MESSAGE(login.ok(), login.status().ToString());
    CHECK(unix_text.find("\n" + login->jwt + "\n") != std::string::npos);
    CHECK(std::count(login->jwt.begin(), login->jwt.end(), '.') == 2);
    CHECK(login->seed == trust.user.Seed());
    const ConnectFields said = Said(*login, "host", "nonce");
    CHECK(SaidInBrief(said) == "|||" + login->jwt + "||signed");
    std::string signature;
    REQUIRE(absl::WebSafeBase64Unescape(said.signature, &signature));
    CHECK(Verifies('u', "nonce", signature));
  }
}

TEST_CASE("nats login: a JWT is taken whole, though it may end as its closing line begins") {
  const TempDir files;
  for (const std::string jwt : {"a.b.c", "a.b.c-", "a.b.-_--", "-a.b.c", "a.SUB.c"}) {
    const auto login = ReadLogin(WithCreds(KeptFile(files, "c", CredsText(jwt, kKnownSeed))));
    REQUIRE_MESSAGE(login.ok(), login.status().ToString());
    CHECK(login->jwt == jwt);
    CHECK(login->seed == kKnownSeed);
  }
}

TEST_CASE("nats login: a server that sends no nonce is told no key") {
  const TempDir files;
  const auto creds = ReadLogin(WithCreds(KeptFile(files, "c", CredsText("a.b.c", kKnownSeed))));
  const auto seed = ReadLogin(WithSeed(KeptFile(files, "s", kKnownSeed)));
  REQUIRE(creds.ok());
  REQUIRE(seed.ok());
  CHECK(SaidInBrief(Said(*creds, "host", "")) == "|||||");
  CHECK(SaidInBrief(Said(*seed, "host", "")) == "|||||");
  CHECK(SaidInBrief(Said(*creds, "me:pw@host", "")) == "me|pw||||");
}

TEST_CASE(
    "nats login: what stands in the URL goes before the options, and is not mixed with them") {
  Login by_user;
  by_user.user = "me";
  by_user.password = "secret";
  Login by_token;
  by_token.token = "t0ken";
  CHECK(SaidInBrief(Said(by_user, "host", "n")) == "me|secret||||");
  CHECK(SaidInBrief(Said(by_user, "you:pw@host", "n")) == "you|pw||||");
  CHECK(SaidInBrief(Said(by_user, "you:@host", "n")) == "you|||||");
  CHECK(SaidInBrief(Said(by_user, "t2@host", "n")) == "||t2|||");
  CHECK(SaidInBrief(Said(by_token, "host", "n")) == "||t0ken|||");
  CHECK(SaidInBrief(Said(by_token, "t2@host", "n")) == "||t2|||");
  CHECK(SaidInBrief(Said(by_token, "you:pw@host", "n")) == "you|pw||||");
}

// A server that has NKeys looks at the key first, and refuses an unknown one, whatever the user.
TEST_CASE("nats login: what stands in the URL goes before a key of the options, too") {
  const TempDir files;
  const auto creds = ReadLogin(WithCreds(KeptFile(files, "c", CredsText("a.b.c", kKnownSeed))));
  const auto seed = ReadLogin(WithSeed(KeptFile(files, "s", kKnownSeed)));
  REQUIRE(creds.ok());
  REQUIRE(seed.ok());
  for (const Login& login : {*creds, *seed}) {
    CHECK(SaidInBrief(Said(login, "you:pw@host", "nonce")) == "you|pw||||");
    CHECK(SaidInBrief(Said(login, "t2@host", "nonce")) == "||t2|||");
  }
}

TEST_CASE("nats login: files are read anew each time") {
  const TempDir files;
  const TestNkey first(TestNkey::kUser, '1');
  const TestNkey second(TestNkey::kUser, '2');
  const NatsOptions options = WithSeed(files.Path("user.nk"));
  for (const TestNkey* user : {&first, &second, &first}) {
    KeptFile(files, "user.nk", user->Seed());
    const auto login = ReadLogin(options);
    REQUIRE(login.ok());
    CHECK(login->public_key == user->Public());
  }
}

// Empty when `login` was refused as the header says, naming the option and the file, and no secret.
std::string WrongWithLogin(const absl::StatusOr<Login>& login, const std::string& option,
                           const std::string& path) {
  if (login.ok()) return "taken";
  const std::string text = login.status().ToString();
  const std::vector<absl::StatusCode> codes = {
      absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound,
      absl::StatusCode::kFailedPrecondition, absl::StatusCode::kResourceExhausted};
  if (std::find(codes.begin(), codes.end(), login.status().code()) == codes.end()) return text;
  for (const std::string& part : {option, path}) {
    if (text.find(part) == std::string::npos) return text;
  }
  return text.find("SSL3UAHUD") == std::string::npos ? "" : text;
}

TEST_CASE("nats login: a file that cannot be used is refused by its option and name") {
  const TempDir files;
  const std::string seed = kKnownSeed;
  const std::string damaged = seed.substr(0, 57) + "A";
  for (const std::string& text :
       {std::string(), std::string("\n"), seed, CredsText("", seed), CredsText("a.b.c", ""),
        CredsText("a.b.c", damaged), CredsText("a.b.c", seed.substr(0, 57)),
        CredsText("a.b.c", TestNkey(TestNkey::kAccount, 'a').Seed()),
        std::string("-----BEGIN NATS USER JWT-----"),
        "-----BEGIN NATS USER JWT-----\na.b.c\n" + seed}) {
    CAPTURE(text);
    const std::string path = KeptFile(files, "user.creds", text);
    CHECK(WrongWithLogin(ReadLogin(WithCreds(path)), "creds file", path) == "");
  }
  for (const std::string& text : {std::string(), std::string("\n"), damaged, seed.substr(0, 57),
                                  std::string(kKnownPublic), "x" + seed}) {
    CAPTURE(text);
    const std::string path = KeptFile(files, "user.nk", text);
    CHECK(WrongWithLogin(ReadLogin(WithSeed(path)), "NKey seed file", path) == "");
  }
  const std::string missing = files.Path("missing");
  CHECK(WrongWithLogin(ReadLogin(WithCreds(missing)), "creds file", missing) == "");
  CHECK(WrongWithLogin(ReadLogin(WithSeed(missing)), "NKey seed file", missing) == "");
  CHECK(absl::IsNotFound(ReadLogin(WithCreds(missing)).status()));
}

TEST_CASE("nats login: a folder and a file past the bound are refused likewise") {
  const TempDir files;
  CHECK(WrongWithLogin(ReadLogin(WithCreds(files.path())), "creds file", files.path()) == "");
  std::string text = CredsText("a.b.c", kKnownSeed);
  text.resize(limits::kCredentialFileBytes, '\n');
  CHECK(ReadLogin(WithCreds(KeptFile(files, "fits", text))).ok());
  const std::string path = KeptFile(files, "large", text + "\n");
  CHECK(WrongWithLogin(ReadLogin(WithCreds(path)), "creds file", path) == "");
}

TEST_CASE("nats login: a credential is the whole file, and errors name its option") {
  const TempDir files;
  const std::string bytes("a\0b\r\n\xff", 6);
  const auto text = ReadCredential(KeptFile(files, "any", bytes), "the option");
  REQUIRE(text.ok());
  CHECK(*text == bytes);
  KeptFile(files, "large", std::string(limits::kCredentialFileBytes + 1, 'x'));
  for (const std::string name : {"missing", "large"}) {
    const auto none = ReadCredential(files.Path(name), "the option");
    REQUIRE_FALSE(none.ok());
    CHECK(none.status().message().find("the option") != std::string_view::npos);
    CHECK(none.status().message().find(files.Path(name)) != std::string_view::npos);
  }
}

}  // namespace
}  // namespace bascule::nats
