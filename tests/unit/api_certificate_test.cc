// The pair that clients are shown, while its files change under the server.
#include <doctest/doctest.h>

#include "core/api/tls_credentials.h"
#include "tests/support/sim_file_system.h"
#include "tests/unit/api_test_certs.h"

namespace bascule::api {
namespace {

struct CertificateWorld {
  CertificateWorld() {
    Write("key", kTestServerKey);
    Write("cert", kTestServerCert);
    Write("ca", kTestCa);
  }
  void Write(const std::string& name, const std::string& text) {
    REQUIRE(WriteFileAtomically(disk, name, text).ok());
  }
  std::unique_ptr<ServerCertificate> Load(bool asks_clients = false) {
    TlsOptions options{"key", "cert", asks_clients, asks_clients ? "ca" : ""};
    auto loaded =
        std::make_unique<ServerCertificate>(options, disk, [this](const CertificateTexts& texts) {
          ++judged;
          return !broken && texts.cert != refused && texts.client_ca != refused;
        });
    REQUIRE(loaded->Load().ok());
    return loaded;
  }
  SimFileSystem disk{1};
  int judged = 0;
  std::string refused = "nobody's";
  bool broken = false;  // no server of any pair can be built
};

TEST_CASE("certificate: a pair is judged once, and again when the files change") {
  CertificateWorld world;
  const auto tls = world.Load();
  CHECK(world.judged == 1);
  for (int i = 0; i < 3; ++i) tls->Reload();
  CHECK(world.judged == 1);  // nothing new

  world.refused = kTestClientCert;
  world.Write("cert", kTestClientCert);
  tls->Reload();
  const int first = world.judged;
  for (int i = 0; i < 3; ++i) {
    tls->Reload();
    CHECK(world.judged == first);
    CHECK(tls->trouble().find("are not a key and its certificate") != std::string::npos);
    CHECK(tls->certificate() == kTestServerCert);  // what is served
  }
  world.Write("key", kTestClientKey);  // the other half comes later
  world.refused = "nobody's";
  tls->Reload();
  CHECK(world.judged == first + 1);
  CHECK(tls->trouble().empty());
  CHECK(tls->certificate() == kTestClientCert);
  // And back to what was refused once.
  world.refused = kTestServerCert;
  world.Write("cert", kTestServerCert);
  tls->Reload();
  CHECK_FALSE(tls->trouble().empty());
  world.Write("cert", kTestClientCert);
  tls->Reload();
  CHECK(tls->trouble().empty());
}

TEST_CASE("certificate: a pair that could not be tried is no refused one") {
  CertificateWorld world;
  const auto tls = world.Load();
  world.broken = true;
  world.Write("cert", kTestClientCert);
  world.Write("key", kTestClientKey);
  tls->Reload();
  CHECK(tls->trouble().find("cannot be tried now") != std::string::npos);
  CHECK(tls->certificate() == kTestServerCert);
  world.broken = false;
  tls->Reload();
  CHECK(tls->trouble().empty());
  CHECK(tls->certificate() == kTestClientCert);
}

TEST_CASE("certificate: one that is not valid now does not take the place of one that is") {
  CertificateWorld world;
  std::string invalid = kTestClientCert;
  TlsOptions options{"key", "cert", false, "", [&](const std::string& cert) {
                       return cert == invalid || invalid == "all"
                                  ? absl::InvalidArgumentError("it expired on a date")
                                  : absl::OkStatus();
                     }};
  ServerCertificate tls(options, world.disk, [](const CertificateTexts&) { return true; });
  REQUIRE(tls.Load().ok());
  world.Write("cert", kTestClientCert);
  for (int i = 0; i < 2; ++i) {
    tls.Reload();
    CHECK(tls.certificate() == kTestServerCert);
    CHECK(tls.trouble() ==
          "it expired on a date; new connections are shown the certificate that was read before");
  }
  invalid.clear();  // its time has come
  tls.Reload();
  CHECK(tls.certificate() == kTestClientCert);
  CHECK(tls.trouble().empty());
  invalid = "all";  // there is nothing better
  world.Write("cert", kTestServerCert);
  tls.Reload();
  CHECK(tls.certificate() == kTestServerCert);
  CHECK(tls.trouble().empty());
}

TEST_CASE("certificate: another client authority alone is something new") {
  CertificateWorld world;
  const auto tls = world.Load(/*asks_clients=*/true);
  const int before = world.judged;
  world.Write("ca", kTestServerCert);
  tls->Reload();
  CHECK(world.judged == before + 1);
  CHECK(tls->trouble().empty());
  world.refused = "-----BEGIN CERTIFICATE-----\n";
  world.Write("ca", world.refused);
  tls->Reload();
  CHECK(tls->trouble().find("tls.client.auth.ca") != std::string::npos);
}

}  // namespace
}  // namespace bascule::api
