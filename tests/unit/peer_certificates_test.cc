// Which certificates are good enough, what is remembered of them, and what a broker shows while its
// files change.
#include <doctest/doctest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "core/base/openssl_handles.h"
#include "replication/peer/certificates.h"
#include "replication/peer/credentials.h"
#include "tests/unit/peer_world.h"

namespace bascule::peer {
namespace {

constexpr Timestamp kMade(1'700'000'000'000'000'000);

Timestamp AtDay(int days) {
  return kMade + std::chrono::nanoseconds(std::chrono::hours(24 * days)).count();
}

struct LeafPlan {
  const char* server_id = "b1";
  int from_day = 0;
  int to_day = 20;
  int rsa_bits = 0;  // 0: P-256
  const EVP_MD* digest = EVP_sha256();
  // Signs in the place of the authority, and says that it was the authority.
  const cli::PemPair* forger = nullptr;
};

std::string Taken(const openssl::BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

cli::PemPair MakeLeaf(const cli::PemPair& authority, const LeafPlan& plan) {
  using namespace openssl;
  const cli::PemPair& by = plan.forger != nullptr ? *plan.forger : authority;
  const X509Ptr issuer(
      PEM_read_bio_X509(Memory(authority.cert).get(), nullptr, &NoPassphrase, nullptr));
  const KeyPtr signer(
      PEM_read_bio_PrivateKey(Memory(by.key).get(), nullptr, &NoPassphrase, nullptr));
  const KeyPtr key(plan.rsa_bits != 0 ? EVP_RSA_gen(static_cast<unsigned>(plan.rsa_bits))
                                      : EVP_EC_gen("P-256"));
  const X509Ptr leaf(X509_new());
  REQUIRE((issuer != nullptr && signer != nullptr && key != nullptr && leaf != nullptr));
  X509* raw = leaf.get();
  const auto seconds_of = [](int day) { return AtDay(day).value() / 1'000'000'000; };
  const auto* name = reinterpret_cast<const unsigned char*>(plan.server_id);
  REQUIRE(X509_set_version(raw, X509_VERSION_3) == 1);
  REQUIRE(ASN1_INTEGER_set(X509_get_serialNumber(raw), 7) == 1);
  REQUIRE(ASN1_TIME_set(X509_getm_notBefore(raw), seconds_of(plan.from_day)) != nullptr);
  REQUIRE(ASN1_TIME_set(X509_getm_notAfter(raw), seconds_of(plan.to_day)) != nullptr);
  REQUIRE(X509_set_issuer_name(raw, X509_get_subject_name(issuer.get())) == 1);
  REQUIRE(X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8, name, -1, -1,
                                     0) == 1);
  REQUIRE(X509_set_pubkey(raw, key.get()) == 1);
  REQUIRE(X509_sign(raw, signer.get(), plan.digest) > 0);
  const BioPtr cert_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_X509(cert_text.get(), raw) == 1);
  REQUIRE(PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                        nullptr) == 1);
  return {Taken(cert_text), Taken(key_text)};
}

bool Has(const absl::Status& status, const std::string& part) {
  return std::string(status.message()).find(part) != std::string::npos;
}

TEST_CASE("peer certificates: weak keys and signatures are refused, at the start too") {
  PeerCertificates certificates(kMade);
  const cli::PemPair& authority = certificates.authority();
  const peer::PemFiles paths{certificates.Path("ca.pem"), certificates.Path("w.pem"),
                             certificates.Path("w.key")};
  const auto check = [&](const LeafPlan& plan, bool good) {
    const cli::PemPair leaf = MakeLeaf(authority, plan);
    for (const peer::PeerRole role : {peer::PeerRole::kDialler, peer::PeerRole::kAcceptor}) {
      const absl::Status status =
          peer::VerifyCertificate(leaf.cert, "", authority.cert, role, AtDay(1));
      CHECK_MESSAGE(status.ok() == good, status.ToString());
      CHECK_MESSAGE((good || (absl::IsInvalidArgument(status) && Has(status, "is too weak: "))),
                    status.ToString());
    }
    certificates.Write("w.pem", leaf.cert);
    certificates.Write("w.key", leaf.key);
    const absl::Status status = peer::LoadPem(paths, "b1", RealFileSystem()).status();
    CHECK_MESSAGE(status.ok() == good, status.ToString());
    CHECK_MESSAGE((good || Has(status, paths.cert + " (with those above it) is too weak: ")),
                  status.ToString());
  };
  LeafPlan plan;
  check(plan, true);
  plan.rsa_bits = 2048;
  check(plan, true);
  plan.rsa_bits = 1024;
  check(plan, false);
  plan.rsa_bits = 0;
  plan.digest = EVP_sha1();
  check(plan, false);
}

TEST_CASE("peer certificates: a date is told only of what the authority has signed") {
  PeerCertificates certificates(kMade), others(kMade);
  const cli::PemPair& authority = certificates.authority();  // 30 days
  LeafPlan forged;
  forged.to_day = 400;
  forged.forger = &others.authority();
  const std::string forgery = MakeLeaf(authority, forged).cert;
  const auto verify = [&](const std::string& pem, int day) {
    return peer::VerifyCertificate(pem, "", authority.cert, peer::PeerRole::kDialler, AtDay(day));
  };
  // Its authority has expired, which OpenSSL sees before the signature.
  CHECK(absl::IsInvalidArgument(verify(forgery, 40)));
  CHECK_MESSAGE(Has(verify(forgery, 40), "is not one of this cluster's authority"),
                verify(forgery, 40).ToString());
  CHECK(absl::IsInvalidArgument(verify(forgery, 1)));
  forged.to_day = 5;
  CHECK_FALSE(Has(verify(MakeLeaf(authority, forged).cert, 10), "expired"));
  // A true one: its own date, and that of the authority.
  LeafPlan honest;
  const std::string mine = MakeLeaf(authority, honest).cert;
  CHECK(verify(mine, 10).ok());
  CHECK(absl::IsFailedPrecondition(verify(mine, 25)));
  CHECK(absl::IsInvalidArgument(verify(mine, 40)));
  CHECK_MESSAGE(Has(verify(mine, 40), "an authority of the certificate of broker 'b1' expired"),
                verify(mine, 40).ToString());
}

class SetClock final : public Clock {
 public:
  MonotonicTime Monotonic() override { return MonotonicTime(1); }
  Timestamp Wall() override { return now; }
  Timestamp now = kMade;
};

TEST_CASE("peer certificates: a forger does not change what is told of a broker") {
  PeerCertificates certificates(kMade), others(kMade);
  const cli::PemPair& authority = certificates.authority();
  SetClock clock;
  peer::TlsState state({}, "", peer::PemTexts{authority.cert, "", "", ""}, clock,
                       [](const std::string&) {});
  const auto told = [&] {
    std::string all;
    for (const std::string& text : state.Warnings({"b1"})) all += text + "\n";
    return all;
  };
  const auto show = [&](const LeafPlan& plan) {
    return state.Check(MakeLeaf(authority, plan).cert, "", peer::PeerRole::kDialler, std::nullopt);
  };
  LeafPlan honest;
  clock.now = AtDay(10);
  CHECK(show(honest).ok());
  CHECK(told().find("'b1' expires on ") != std::string::npos);
  // One whose own date is all that is wrong with it is remembered.
  clock.now = AtDay(25);
  honest.to_day = 24;
  CHECK_FALSE(show(honest).ok());
  clock.now = AtDay(40);
  const std::string before = told();
  CHECK(before.find("'b1' expired on Dec  8") != std::string::npos);
  LeafPlan forged;
  forged.to_day = 400;
  forged.forger = &others.authority();
  CHECK(absl::IsUnauthenticated(show(forged)));
  CHECK(told() == before);
}

// Every new connection to `to` succeeds, for longer than its files are left unread.
bool StaysReachable(PeerBroker& from, const PeerBroker& to, std::chrono::seconds period) {
  const auto end = std::chrono::steady_clock::now() + 2 * period;
  while (std::chrono::steady_clock::now() < end) {
    if (!from.Introduce(to.transport->address(), "still there?").ok()) return false;
  }
  return true;
}

std::string Complaints(const PeerBroker& broker) {
  std::string all;
  for (const std::string& text : broker.transport->Degraded()) all += text + "\n";
  return all;
}

TEST_CASE("peer certificates: files that cannot be used leave the port with the old certificate") {
  PeerCertificates certificates;
  PeerOptions options;
  options.tls = certificates.For("b1", 5);
  options.tls_refresh = seconds(1);
  PeerBroker a(1, options);
  PeerOptions other;
  other.tls = certificates.For("b2");
  PeerBroker b(2, other);
  a.Start();
  b.Start();
  Introduce(a, b);  // so that b tells of a's dates
  const auto says = [](const PeerBroker& broker, const std::string& part) {
    return Eventually([&] { return Complaints(broker).find(part) != std::string::npos; });
  };
  const std::string dated = "the certificate of broker 'b1' expires on ";
  CHECK(says(b, dated));
  struct stat file {};
  REQUIRE(stat(options.tls.combined.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);

  const std::string key = certificates.Text(options.tls.key);
  certificates.Write("b1.key", "");
  CHECK(says(a, "cluster.tls.key: cannot use "));
  CHECK(StaysReachable(b, a, options.tls_refresh));
  certificates.Write("b1.pem", "");
  CHECK(says(a, "cluster.tls.cert: cannot use "));
  CHECK(StaysReachable(b, a, options.tls_refresh));
  certificates.Write("b1.key", certificates.Text(other.tls.key));
  certificates.For("b1", 30);
  const std::string fresh = certificates.Text(options.tls.key);
  certificates.Write("b1.key", key);  // of the pair before
  CHECK(says(a, "is not the key of the certificate"));
  CHECK(StaysReachable(b, a, options.tls_refresh));
  CHECK(says(b, dated));
  certificates.Write("b1.key", fresh);
  CHECK(Eventually([&] {
    return b.Introduce(a.transport->address(), "to the new one").ok() && Complaints(b).empty() &&
           Complaints(a).empty();
  }));
  // Whoever takes the file away gets it back.
  REQUIRE(RealFileSystem().Remove(options.tls.combined).ok());
  CHECK(Eventually([&] { return RealFileSystem().Exists(options.tls.combined); }));
  CHECK(Eventually([&] { return b.Introduce(a.transport->address(), "again").ok(); }));
}

TEST_CASE("peer certificates: one that is not valid now does not take the place of one that is") {
  const auto days = [](int n) { return Duration(std::chrono::hours(24 * n)); };
  PeerCertificates certificates;
  PeerOptions options;
  options.tls = certificates.For("b1", 30);
  options.tls_refresh = seconds(1);
  PeerBroker a(1, options);
  PeerOptions other;
  other.tls = certificates.For("b2");
  PeerBroker b(2, other);
  a.Start();
  b.Start();
  Introduce(a, b);
  const auto says = [](const PeerBroker& broker, const std::string& part) {
    return Eventually([&] { return Complaints(broker).find(part) != std::string::npos; });
  };
  const std::string what = Concat("the broker's certificate ", options.tls.cert);
  certificates.For("b1", 2, days(5));
  CHECK(says(a, what + " expired on "));
  CHECK(says(a, "what was read before stays in use"));
  CHECK(StaysReachable(b, a, options.tls_refresh));
  certificates.For("b1", 30, days(-5));
  CHECK(says(a, what + " is not valid before "));
  CHECK(StaysReachable(b, a, options.tls_refresh));
  certificates.For("b1", 40);
  CHECK(Eventually([&] { return Complaints(a).empty(); }));
  CHECK(StaysReachable(b, a, options.tls_refresh));
}

TEST_CASE("peer certificates: the date of one that no authority here has signed") {
  PeerCertificates certificates(kMade);
  const std::string pem = certificates.Text(certificates.For("b1", 20).cert);
  const auto at = [&](int day) { return CheckDate("it", pem, AtDay(day), "put another there"); };
  CHECK(at(1).ok());
  CHECK(at(19).ok());  // it ends soon
  CHECK(Has(at(21), "it expired on Dec  4"));
  CHECK(Has(at(21), "put another there"));
  CHECK(Has(at(-1), "it is not valid before Nov 14"));
}

TEST_CASE("peer certificates: what is not valid is replaced by what was made later, valid or not") {
  PeerCertificates certificates(kMade);
  const PeerTlsOptions files = certificates.For("b1", 20);
  const PemFiles paths{files.ca, files.cert, files.key};
  const PemTexts first = LoadPem(paths, "b1", RealFileSystem()).value();
  certificates.For("b1", 5);
  const PemTexts shorter = LoadPem(paths, "b1", RealFileSystem()).value();
  SetClock clock;
  TlsState state(paths, files.combined, first, clock, [](const std::string&) {});
  const auto at = [&](int day) { clock.now = AtDay(day); };
  at(6);
  CHECK(absl::IsInvalidArgument(state.CheckReplacement(shorter)));
  CHECK(state.CheckReplacement(first).ok());
  at(21);
  CHECK(state.CheckReplacement(shorter).ok());
  at(4);
  CHECK(state.CheckReplacement(shorter).ok());
  at(-1);  // this machine's clock is wrong
  CHECK(state.CheckReplacement(shorter).ok());
}

TEST_CASE("peer certificates: a combined file that cannot be written is an error at the start") {
  PeerCertificates certificates;
  PeerOptions options;
  options.tls = certificates.For("b1");
  options.tls.combined = certificates.Path("nowhere/peer.pem");
  PeerBroker a(1, options);
  const absl::Status status = a.TryStart();
  CHECK(absl::IsFailedPrecondition(status));
  CHECK_MESSAGE(Has(status, "cannot be written to " + options.tls.combined), status.ToString());
}

class NoCertificate final : public grpc::AuthContext {
 public:
  bool IsPeerAuthenticated() const override { return false; }
  std::vector<grpc::string_ref> GetPeerIdentity() const override { return {}; }
  std::string GetPeerIdentityPropertyName() const override { return ""; }
  std::vector<grpc::string_ref> FindPropertyValues(const std::string&) const override { return {}; }
  grpc::AuthPropertyIterator begin() const override { return Nothing(); }
  grpc::AuthPropertyIterator end() const override { return Nothing(); }
  void AddProperty(const std::string&, const grpc::string_ref&) override {}
  bool SetPeerIdentityPropertyName(const std::string&) override { return false; }

 private:
  struct Nothing : grpc::AuthPropertyIterator {};
};

TEST_CASE("peer certificates: without TLS only where that was asked for") {
  SetClock clock;
  const auto tls = peer::Credentials::Tls(std::make_shared<peer::TlsState>(
      peer::PemFiles{}, "", peer::PemTexts{}, clock, [](const std::string&) {}));
  const NoCertificate nobody;
  CHECK(peer::Credentials::Insecure().AuthenticatedServerId(nobody).value() == std::nullopt);
  CHECK(absl::IsUnauthenticated(tls.AuthenticatedServerId(nobody).status()));
  CHECK(absl::IsUnauthenticated(peer::Credentials().AuthenticatedServerId(nobody).status()));
  CHECK(peer::Credentials().ForServer(1) == nullptr);
  CHECK(peer::Credentials().ForChannel("b1") == nullptr);
  // Not started, so nobody has said that it may go without.
  PeerBroker a(1), b(2);
  b.Start();
  a.transport = std::make_unique<GrpcPeerTransport>(a.options, RealClock(), RealFileSystem(),
                                                    a.executor, a.events);
  CHECK_FALSE(a.Introduce(b.transport->address(), "too early", seconds(2)).ok());
  CHECK(b.events.Count("introduction of b1") == 0);
}

}  // namespace
}  // namespace bascule::peer
