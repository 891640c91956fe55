// What leaves by one connection: bounded, within a batch too.
#include "nats_bridge/outlet.h"

#include <doctest/doctest.h>

#include <string>

#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/nats_connection.h"
#include "tests/integration/scripted_server.h"
#include "tests/support/eventually.h"

namespace bascule::nats {
namespace {

TEST_CASE("nats outlet: one batch takes no more than the outgoing buffer may hold") {
  // Few large ones: the buffer is moved whenever it grows, and a batch that takes seconds, as it may under a sanitizer,
  // costs the connection its heartbeat.
  constexpr size_t kPayload = 8 * limits::kMiB;
  const std::string info =
      Concat(R"(INFO {"server_id":"S","version":"2.9.0","proto":1,"headers":true,"max_payload":)",
             kPayload, "}\r\n");
  ScriptedServer server([&info](ScriptedPeer& peer, int) {
    peer.LetIn(info);
    peer.Serve();
  });
  NatsOptions options;
  options.urls = {server.url()};
  const auto egress = NatsConnection::Start(options, RealClock(), 1);
  REQUIRE(egress.ok());
  REQUIRE(Eventually([&] { return (*egress)->connected(); }));
  // Of lines, which the server reads fast, and none of them empty.
  std::string payload(kPayload, 'x');
  for (size_t at = 4094; at + 2 < payload.size(); at += 4096) payload.replace(at, 2, "\r\n");
  const size_t room = limits::kEgressBufferBytes / payload.size();
  size_t taken = 0;
  absl::Status status;
  {
    Outlet outlet(**egress);
    while (taken < 2 * room && (status = outlet.Publish("out", payload)).ok()) ++taken;
  }
  CHECK_MESSAGE(absl::IsResourceExhausted(status), status.ToString());
  CHECK(taken <= room);
  CHECK(taken >= room / 2);
  (*egress)->Stop();
}

}  // namespace
}  // namespace bascule::nats
