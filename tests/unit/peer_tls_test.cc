// Who gets through TLS, and as whom.
#include <doctest/doctest.h>

#include "replication/peer/certificates.h"
#include "tests/unit/peer_raw_client.h"
#include "tests/unit/peer_world.h"

namespace bascule::peer {
namespace {

PeerOptions With(PeerTlsOptions tls) {
  PeerOptions options;
  options.tls = std::move(tls);
  return options;
}

std::shared_ptr<grpc::ChannelCredentials> ClientOf(const PeerCertificates& certificates,
                                                   const PeerTlsOptions& files) {
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = certificates.authority().cert;
  if (!files.cert.empty()) {
    ssl.pem_cert_chain = certificates.Text(files.cert);
    ssl.pem_private_key = certificates.Text(files.key);
  }
  return grpc::SslCredentials(ssl);
}

std::string HelloOf(const std::string& server_id) {
  peer::Hello hello;
  hello.cluster_id = "c1";
  hello.cluster_namespace = "ns";
  hello.from = {PeerId(1), server_id, "127.0.0.1:1", 7, 0};
  hello.to = PeerId(2);
  return peer::EncodeFrame(hello);
}

TEST_CASE("peer tls: brokers with certificates of one authority talk") {
  PeerCertificates certificates;
  PeerBroker a(1, With(certificates.For("b1"))), b(2, With(certificates.For("b2")));
  a.Start();
  b.Start();
  Introduce(a, b);
  CHECK(a.Call(b, "over tls").get().value() == "answer to over tls");
  CHECK(a.SendBulk(b, "h", std::string(3 * limits::kMiB, 'x')).get().ok());
  CHECK(a.Introduce(b.transport->address(), "hello").value() == "welcome b1: hello");
}

TEST_CASE("peer tls: a peer that answers by another's certificate is not talked to") {
  PeerCertificates certificates;
  PeerBroker a(1, With(certificates.For("b1"))), c(2, With(certificates.For("b3")));
  c.options.self.server_id = "b3";
  a.Start();
  c.Start();
  c.transport->AddPeer(a.id(), "b1", "");
  // It is where b2 should be.
  a.transport->AddPeer(PeerId(2), "b2", c.transport->address());
  const absl::Status status = a.Call(c, "secret").get().status();
  CHECK(absl::IsUnavailable(status));
  CHECK_MESSAGE(
      status.message().find("broker 'b3' answers there, not 'b2'") != absl::string_view::npos,
      status.ToString());
  CHECK(a.events.Count("up b3") + a.events.Count("up b2") == 0);
  CHECK(c.handler.calls() == 0);
  // To an unknown address any broker of the cluster will do.
  CHECK(a.Introduce(c.transport->address(), "who are you?").ok());
}

TEST_CASE("peer tls: a certificate that says another broker than the hello is refused") {
  PeerCertificates certificates;
  PeerBroker b(2, With(certificates.For("b2")));
  b.Start();
  b.transport->AddPeer(PeerId(1), "b1", "");
  const auto as_b3 = ClientOf(certificates, certificates.For("b3"));
  RawStream stream(b.transport->address(), {HelloOf("b1")}, "/bascule.peer.v1.Peer/Control", as_b3);
  CHECK(stream.status().error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK_MESSAGE(stream.status().error_message().find(
                    "calls itself 'b1', but its certificate is that of 'b3'") != std::string::npos,
                stream.status().error_message());
  CHECK(b.Counter("peer_refused_identity") == 1);
  // The right one gets in.
  const auto as_b1 = ClientOf(certificates, certificates.For("b1"));
  RawStream right(b.transport->address(), {HelloOf("b1")}, "/bascule.peer.v1.Peer/Control", as_b1);
  CHECK(Eventually([&] { return right.received().size() == 1; }));
}

TEST_CASE("peer tls: introductions name the broker of the certificate") {
  PeerCertificates certificates;
  PeerBroker b(2, With(certificates.For("b2")));
  PeerBroker liar(1, With(certificates.For("b1")));
  b.Start();
  liar.Start();
  CHECK(liar.Introduce(b.transport->address(), "x").ok());
  CHECK(b.events.Count("introduction of b1") == 1);
  peer::Introduction claim;
  claim.from.cluster_namespace = "ns";
  claim.from.from.server_id = "b9";
  RawStream stream(b.transport->address(), {peer::EncodeIntroduction(claim)},
                   "/bascule.peer.v1.Peer/Introduce",
                   ClientOf(certificates, certificates.For("b1")));
  CHECK_FALSE(stream.status().ok());
  CHECK(b.events.Count("introduction of b9") == 0);
  CHECK(b.Reaches("peer_refused_identity", 1));
}

TEST_CASE("peer tls: strangers get nothing") {
  PeerCertificates certificates, others;
  PeerBroker b(2, With(certificates.For("b2")));
  b.Start();
  b.transport->AddPeer(PeerId(1), "b1", "");
  const std::string address = b.transport->address();
  grpc::SslCredentialsOptions foreign;
  foreign.pem_root_certs = certificates.authority().cert;
  const PeerTlsOptions files = others.For("b1");
  foreign.pem_cert_chain = others.Text(files.cert);
  foreign.pem_private_key = others.Text(files.key);
  for (const auto& credentials : {grpc::InsecureChannelCredentials(), ClientOf(certificates, {}),
                                  grpc::SslCredentials(foreign)}) {
    RawStream stream(address, {HelloOf("b1")}, "/bascule.peer.v1.Peer/Control", credentials);
    CHECK(stream.status().error_code() == grpc::StatusCode::UNAVAILABLE);
    CHECK(stream.received().empty());
  }
  CHECK(b.Counter("peer_messages_received") == 0);
  // A broker of another authority does not trust this one either.
  PeerBroker stranger(1, With(others.For("b1")));
  stranger.Start();
  stranger.Know(b);
  CHECK(absl::IsUnavailable(stranger.Call(b, "hello?").get().status()));
  CHECK(absl::IsUnavailable(stranger.Introduce(address, "hello?").status()));
  PeerBroker plain(1);
  plain.Start();
  CHECK_FALSE(plain.Introduce(address, "hello?").ok());
}

TEST_CASE("peer tls: files that cannot be used are refused at the start") {
  PeerCertificates certificates, others;
  const PeerTlsOptions b1 = certificates.For("b1");
  const auto why = [](PeerOptions options) {
    PeerBroker broker(1, std::move(options));
    const absl::Status status = broker.TryStart();
    CHECK(absl::IsInvalidArgument(status));
    return std::string(status.message());
  };
  const auto has = [](const std::string& text, const std::string& word) {
    CHECK_MESSAGE(text.find(word) != std::string::npos, Concat(text, " has no ", word));
  };
  has(why(With(certificates.For("b2"))), "is the certificate of broker 'b2', and this one is 'b1'");
  PeerTlsOptions missing = b1;
  missing.key = certificates.Path("nothing.key");
  has(why(With(missing)), "cluster.tls.key");
  PeerTlsOptions swapped = b1;
  swapped.key = b1.cert;
  has(why(With(swapped)), "holds no private key");
  PeerTlsOptions mixed = b1;
  mixed.key = certificates.For("b2").key;
  has(why(With(mixed)), "is not the key of the certificate");
  PeerTlsOptions foreign = b1;
  foreign.ca = others.For("b1").ca;
  has(why(With(foreign)), "was not made by the authority");
  PeerTlsOptions half = b1;
  half.key = "";
  has(why(With(half)), "it is not set");

  PeerOptions both = With(b1);
  PeerBroker broker(1, both);
  broker.options.insecure = true;
  CHECK(absl::IsInvalidArgument(broker.TryStart()));
  PeerBroker first(1), second(2);
  first.Start();
  second.options.listen = first.transport->address();
  CHECK(absl::IsUnavailable(second.TryStart()));
}

TEST_CASE("peer tls: certificates that are not valid now are told of, by name and date") {
  PeerCertificates certificates(Timestamp(1'700'000'000'000'000'000));  // November 14th, 2023
  const PeerTlsOptions files = certificates.For("b1", 20);
  const peer::PemFiles paths{files.ca, files.cert, files.key};
  const peer::PemTexts texts = peer::LoadPem(paths, "b1", RealFileSystem()).value();
  const auto warnings = [&](int days) {
    const auto at = Timestamp(1'700'000'000'000'000'000) +
                    std::chrono::nanoseconds(std::chrono::hours(24 * days)).count();
    std::string all;
    for (const std::string& text : peer::ValidityWarnings(paths, texts, at)) all += text + "\n";
    return all;
  };
  CHECK(warnings(-1).find(Concat("certificate ", files.cert, " is not valid before Nov 14")) !=
        std::string::npos);
  CHECK(warnings(5).empty());
  CHECK(warnings(7).find(Concat("certificate ", files.cert, " expires on Dec  4")) !=
        std::string::npos);
  CHECK(warnings(21).find(Concat("certificate ", files.cert, " expired on Dec  4")) !=
        std::string::npos);
  CHECK(warnings(21).find(Concat("authority ", files.ca, " expires on Dec 14")) !=
        std::string::npos);
  PeerCertificates lasting;
  const PeerTlsOptions good = lasting.For("b1");
  const peer::PemFiles good_paths{good.ca, good.cert, good.key};
  const auto good_texts = peer::LoadPem(good_paths, "b1", RealFileSystem()).value();
  const int64_t skew = Duration(std::chrono::minutes(59)).count();  // of another broker's clock
  CHECK(peer::ValidityWarnings(good_paths, good_texts, RealClock().Wall() - skew).empty());
}

namespace {

std::string Said(const PeerBroker& broker) {
  std::string all;
  for (const std::string& text : broker.transport->Degraded()) all += text + "\n";
  return all;
}

bool Says(const PeerBroker& broker, const std::string& part) {
  return Said(broker).find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("peer tls: an expired certificate is named at both ends") {
  PeerCertificates certificates;
  const auto days = [](int n) { return std::chrono::hours(24 * n); };
  PeerBroker old(1, With(certificates.For("b1", 2, days(5))));
  PeerBroker b(2, With(certificates.For("b2")));
  old.Start();
  b.Start();
  old.Know(b);
  b.Know(old);
  CHECK(Eventually([&] { return Says(b, "the certificate of broker 'b1' expired on "); }));
  CHECK_MESSAGE(
      Says(old, Concat("the broker's certificate ", old.options.tls.cert, " expired on ")),
      Said(old));
  const absl::Status dialled = b.Call(old, "x").get().status();
  CHECK(absl::IsUnavailable(dialled));
  const absl::Status asked = b.Introduce(old.transport->address(), "x").status();
  CHECK_MESSAGE(
      asked.message().find("the certificate of broker 'b1' expired on ") != absl::string_view::npos,
      asked.ToString());
  CHECK(b.Reaches("peer_refused_stranger", 1));  // it dialled too
  CHECK_FALSE(old.Introduce(b.transport->address(), "x").ok());
  CHECK(old.events.Count("up b2") + b.events.Count("up b1") == 0);
  CHECK(b.events.Count("introduction of b1") == 0);
  CHECK(old.events.Count("introduction of b2") == 0);
}

TEST_CASE("peer tls: certificates that end soon are told of, and replaced without a restart") {
  PeerCertificates certificates;
  PeerOptions options = With(certificates.For("b1", 5));
  options.tls_refresh = seconds(1);
  PeerBroker a(1, options), b(2, With(certificates.For("b2")));
  a.Start();
  b.Start();
  Introduce(a, b);
  CHECK_MESSAGE(Says(a, "expires on "), Said(a));
  CHECK_MESSAGE(Says(b, "the certificate of broker 'b1' expires on "), Said(b));
  // What cannot be used is said, and does no harm.
  certificates.Spoil("b1.pem");
  CHECK(Eventually([&] { return Says(a, "cluster.tls.cert: cannot use "); }));
  CHECK(a.Introduce(b.transport->address(), "with the old one").ok());
  certificates.For("b1", 30);
  CHECK(Eventually([&] { return Said(a).empty(); }));
  CHECK(Eventually([&] {
    return a.Introduce(b.transport->address(), "by the new one").ok() &&
           b.Introduce(a.transport->address(), "to the new one").ok() && Said(b).empty();
  }));
}

TEST_CASE("peer tls: a certificate is checked whole: authority, use, dates, and those between") {
  PeerCertificates certificates(Timestamp(1'700'000'000'000'000'000)), others;
  const auto at = [](int days) {
    return Timestamp(1'700'000'000'000'000'000) +
           std::chrono::nanoseconds(std::chrono::hours(24 * days)).count();
  };
  const std::string pem = certificates.Text(certificates.For("b1", 20).cert);
  const std::string& ca = certificates.authority().cert;
  for (const peer::PeerRole role : {peer::PeerRole::kDialler, peer::PeerRole::kAcceptor}) {
    const auto verify = [&](const std::string& chain, const std::string& by, int days) {
      return peer::VerifyCertificate(pem, chain, by, role, at(days));
    };
    CHECK(verify("", ca, 1).ok());
    CHECK(verify(pem, ca, 1).ok());
    CHECK(absl::IsFailedPrecondition(verify("", ca, 21)));
    CHECK(absl::IsInvalidArgument(verify("", ca, -1)));  // nor is the authority valid
    CHECK(absl::IsInvalidArgument(verify("", others.authority().cert, 1)));
    // Whoever shows the authority along with it is not trusted for that.
    CHECK(absl::IsInvalidArgument(verify(ca, others.authority().cert, 1)));
    CHECK(absl::IsInvalidArgument(verify("", "", 1)));
    CHECK(absl::IsInvalidArgument(peer::VerifyCertificate("junk", "", ca, role, at(1))));
  }
}

TEST_CASE("peer tls: which broker a certificate speaks for") {
  PeerCertificates certificates;
  CHECK(peer::CertificateServerId(certificates.Text(certificates.For("b1").cert)).value() == "b1");
  CHECK(peer::CertificateServerId(certificates.authority().cert).value() ==
        "Bascule cluster authority");
  CHECK_FALSE(peer::CertificateServerId("nothing").ok());
  CHECK_FALSE(peer::CertificateServerId("-----BEGIN CERTIFICATE-----\nAAAA\n").ok());
  const std::string long_id(limits::kServerIdBytes, 'x');
  CHECK(peer::CertificateServerId(certificates.Text(certificates.For(long_id).cert)).value() ==
        long_id);
}

}  // namespace
}  // namespace bascule::peer
