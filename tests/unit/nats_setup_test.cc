// What is made of the NATS settings, without a server.
#include "nats_bridge/nats_setup.h"

#include <doctest/doctest.h>

#include <fstream>
#include <set>

#include "core/base/url.h"
#include "tests/support/temp_dir.h"

namespace bascule::nats {
namespace {

NatsOptions With(std::vector<std::string> urls) {
  NatsOptions options;
  options.urls = std::move(urls);
  return options;
}

TEST_CASE("nats setup: TLS is wanted once anything asks for it, wherever it stands") {
  CHECK_FALSE(NeedsTls(With({})));
  CHECK_FALSE(NeedsTls(With({"nats://a:4222", "nats://tls://b"})));
  CHECK(NeedsTls(With({"tls://a:4222", "nats://b:4222"})));
  CHECK(NeedsTls(With({"nats://a:4222", "tls://b:4222"})));
  CHECK(NeedsTls(With({"nats://a:4222", "nats://b:4222", "TLS://c:4222"})));
  NatsOptions options;
  options.tls.enabled = true;
  CHECK(NeedsTls(options));
  options = {};
  options.tls.ca_file = "ca.pem";
  CHECK(NeedsTls(options));
  options = {};
  options.tls.cert_file = "cert.pem";
  CHECK(NeedsTls(options));
}

TEST_CASE("nats setup: a change in any file of credentials is noticed, and nothing else is") {
  const TempDir files;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(files.Path(name)) << text;
  };
  NatsOptions options;
  const std::string names[] = {"user.creds", "user.nk", "ca.pem", "cert.pem", "key.pem"};
  std::string* const paths[] = {&options.creds_file, &options.nkey_seed_file, &options.tls.ca_file,
                                &options.tls.cert_file, &options.tls.key_file};
  std::set<uint64_t> seen = {DigestOfFiles(options)};
  for (size_t i = 0; i < std::size(names); ++i) {
    *paths[i] = files.Path(names[i]);
    for (const char* text : {"first", "second"}) {
      CAPTURE(names[i]);
      write(names[i], text);
      CHECK(seen.insert(DigestOfFiles(options)).second);
      write(names[i], text);
      CHECK(seen.contains(DigestOfFiles(options)));
    }
  }
  // The same texts in other files.
  std::swap(options.tls.cert_file, options.tls.key_file);
  write("cert.pem", "third");
  const uint64_t before = DigestOfFiles(options);
  std::swap(options.tls.cert_file, options.tls.key_file);
  CHECK(DigestOfFiles(options) != before);
}

TEST_CASE("nats setup: no part of a password or token is shown, whatever is in it") {
  for (const char* secret : {"me:secret", "me:s@cret", "me:@secret@", "me:s@@@cret", "t0ken",
                             "t@ken", "me:sec/ret", "me:secret@@"}) {
    CAPTURE(secret);
    for (const char* scheme : {"nats://", "tls://", ""}) {
      const std::string url = std::string(scheme) + secret + "@host:4222";
      CHECK(WithoutUserInfo(url) == std::string(scheme) + "host:4222");
    }
  }
  CHECK(WithoutUserInfo("nats://host:4222") == "nats://host:4222");
  CHECK(WithoutUserInfo("") == "");
}

}  // namespace
}  // namespace bascule::nats
