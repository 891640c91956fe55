// The files that `bascule cluster certs` makes.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <sstream>

// The program is no library: its files are compiled in here (text.cc by cli_text_test.cc).
#include "../../cmd/bascule/authority.cc"
#include "../../cmd/bascule/cluster_certs.cc"
#include "../../cmd/bascule/console.cc"
#include "tests/support/sim_clock.h"
#include "tests/support/temp_dir.h"

namespace bascule::cli {
namespace {

class CertsWorld {
 public:
  ExitCode Make(ClusterCertsOptions options) {
    if (options.out == ".") options.out = dir.path();
    out.str("");
    err.str("");
    return MakeClusterCerts(console, RealFileSystem(), clock, options);
  }
  std::string Contents(const std::string& name) {
    auto text = Read(RealFileSystem(), dir.Path(name));
    REQUIRE_MESSAGE(text.ok(), text.status().ToString());
    return *text;
  }
  unsigned Mode(const std::string& name) {
    struct stat found {};
    REQUIRE(stat(dir.Path(name).c_str(), &found) == 0);
    return found.st_mode & 0777;
  }

  TempDir dir;
  SimClock clock;
  std::ostringstream out, err;
  Console console{out, err, 0};
};

ClusterCertsOptions For(std::vector<std::string> ids) {
  ClusterCertsOptions options;
  options.server_ids = std::move(ids);
  return options;
}

// What a program that checks it would see.
struct Seen {
  std::string common_name;
  std::vector<std::string> names;
  bool signed_by_authority = false;
};

Seen Look(const std::string& cert, const std::string& ca) {
  Seen seen;
  const X509Ptr leaf(PEM_read_bio_X509(Memory(cert).get(), nullptr, nullptr, nullptr));
  const X509Ptr authority(PEM_read_bio_X509(Memory(ca).get(), nullptr, nullptr, nullptr));
  REQUIRE(leaf != nullptr);
  char name[100] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(leaf.get()), NID_commonName, name, sizeof(name));
  seen.common_name = name;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(leaf.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    seen.names.push_back(
        absl::StrCat(kind, ":",
                     std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                 static_cast<size_t>(ASN1_STRING_length(value)))));
  }
  const KeyPtr key(X509_get_pubkey(authority.get()));
  seen.signed_by_authority = X509_verify(leaf.get(), key.get()) == 1;
  return seen;
}

TEST_CASE("cluster certs: an authority once, and a certificate for each broker") {
  CertsWorld w;
  ClusterCertsOptions options = For({"b1", "b_2"});
  options.hosts = {"b1.example.com", "10.0.0.1"};
  REQUIRE(w.Make(options) == ExitCode::kOk);
  CHECK(w.out.str().find("cluster.tls.ca") != std::string::npos);
  CHECK(w.out.str().find(w.dir.Path("b_2.key")) != std::string::npos);
  CHECK(w.Mode("ca.key") == 0600);
  CHECK(w.Mode("b1.key") == 0600);
  CHECK(w.Mode("b1.pem") == 0644);
  const Seen b1 = Look(w.Contents("b1.pem"), w.Contents("ca.pem"));
  CHECK(b1.signed_by_authority);
  CHECK(b1.common_name == "b1");
  CHECK(b1.names == std::vector<std::string>{"6:bascule://b1", "2:b1", "2:b1.example.com",
                                             std::string("7:\x0a\0\0\x01", 6)});
  // An underscore is no part of a host name.
  CHECK(Look(w.Contents("b_2.pem"), w.Contents("ca.pem")).names[1] == "2:b1.example.com");

  const std::string ca = w.Contents("ca.pem");
  REQUIRE(w.Make(For({"b3"})) == ExitCode::kOk);
  CHECK(w.Contents("ca.pem") == ca);
  CHECK(Look(w.Contents("b3.pem"), ca).signed_by_authority);
  CHECK(w.out.str().find("authority") == std::string::npos);
}

TEST_CASE("cluster certs: nothing is overwritten unless it must be, the authority never") {
  CertsWorld w;
  REQUIRE(w.Make(For({"b1"})) == ExitCode::kOk);
  const std::string ca = w.Contents("ca.pem");
  const std::string b1 = w.Contents("b1.pem");
  CHECK(w.Make(For({"b2", "b1"})) == ExitCode::kRefused);
  CHECK(w.err.str().find(w.dir.Path("b1.pem") + " exists already") != std::string::npos);
  CHECK(w.Contents("b1.pem") == b1);
  CHECK_FALSE(RealFileSystem().Exists(w.dir.Path("b2.pem")));
  ClusterCertsOptions force = For({"b1"});
  force.force = true;
  CHECK(w.Make(force) == ExitCode::kOk);
  CHECK(w.Contents("b1.pem") != b1);
  CHECK(w.Contents("ca.pem") == ca);
  CHECK(w.Mode("b1.key") == 0600);
}

TEST_CASE("cluster certs: an authority elsewhere, and one that is not whole") {
  CertsWorld w;
  REQUIRE(w.Make(For({"b1"})) == ExitCode::kOk);
  ClusterCertsOptions elsewhere = For({"b4"});
  elsewhere.ca = w.dir.path();
  elsewhere.out = w.dir.Path("new");
  REQUIRE(w.Make(elsewhere) == ExitCode::kOk);
  CHECK(Look(w.Contents("new/b4.pem"), w.Contents("ca.pem")).signed_by_authority);
  CHECK_FALSE(RealFileSystem().Exists(w.dir.Path("new/ca.key")));

  REQUIRE(RealFileSystem().Remove(w.dir.Path("ca.key")).ok());
  CHECK(w.Make(For({"b5"})) == ExitCode::kRefused);
  CHECK(w.err.str().find("ca.key") != std::string::npos);
  elsewhere.ca = w.dir.Path("missing");
  elsewhere.server_ids = {"b6"};
  CHECK(w.Make(elsewhere) == ExitCode::kRefused);
  // A broker's certificate signs nothing.
  PemPair broker{w.Contents("b1.pem"), w.Contents("b1.key")};
  CHECK(absl::IsInvalidArgument(
      MakeBrokerCertificate(broker, "b7", {}, w.clock.Wall(), 10).status()));
}

TEST_CASE("cluster certs: what cannot be used is refused before anything is made") {
  CertsWorld w;
  for (const char* id :
       {"", "ca", "a/b", "../x", ".hidden", "-x", "a b", "a\nb", "b\xc3\xbc", "b.1"}) {
    CHECK_MESSAGE(w.Make(For({id})) == ExitCode::kUsage, std::string(id));
  }
  // What no broker takes as its id (clustering.server.id).
  CHECK(w.Make(For({std::string(65, 'b')})) == ExitCode::kUsage);
  CHECK(w.err.str().find("at most 64 letters, digits") != std::string::npos);
  CHECK(w.Make(For({})) == ExitCode::kUsage);
  CHECK(w.Make(For({"b1", "b1"})) == ExitCode::kUsage);
  ClusterCertsOptions days = For({"b1"});
  for (days.days = 0; days.days <= 36501; days.days += 36501)
    CHECK(w.Make(days) == ExitCode::kUsage);
  CHECK_FALSE(RealFileSystem().Exists(w.dir.Path("ca.pem")));
  for (const char* host : {"b1:9293", "a b", "", "x,URI:bascule://b2", ".a", "a..b", "-a"}) {
    ClusterCertsOptions options = For({"b1"});
    options.hosts = {host};
    CHECK_MESSAGE(w.Make(options) == ExitCode::kUsage, std::string(host));
  }
  CHECK_FALSE(RealFileSystem().Exists(w.dir.Path("b1.pem")));
}

TEST_CASE("cluster certs: the longest id that a broker takes") {
  CertsWorld w;
  const std::string id(64, 'b');
  REQUIRE(w.Make(For({id})) == ExitCode::kOk);
  CHECK(Look(w.Contents(id + ".pem"), w.Contents("ca.pem")).names[0] == "6:bascule://" + id);
}

TEST_CASE("cluster certs: no certificate outlives its authority") {
  SimClock clock;
  const auto authority = MakeAuthority(clock.Wall(), 10);
  REQUIRE(authority.ok());
  const auto longer = MakeBrokerCertificate(*authority, "b1", {}, clock.Wall(), 20);
  const auto shorter = MakeBrokerCertificate(*authority, "b1", {}, clock.Wall(), 5);
  REQUIRE(longer.ok());
  REQUIRE(shorter.ok());
  CHECK(EndOfValidity(longer->cert) == EndOfValidity(authority->cert));
  CHECK(EndOfValidity(shorter->cert) != EndOfValidity(authority->cert));
}

}  // namespace
}  // namespace bascule::cli
