// What UNAVAILABLE means to the command line.
#include <doctest/doctest.h>

// The program is no library: its pure files are compiled in here.
#include "../../cmd/bascule/unavailable.cc"

namespace bascule::cli {
namespace {

grpc::Status Unavailable(const std::string& text) { return {grpc::StatusCode::UNAVAILABLE, text}; }

TEST_CASE("gRPC's own texts are a lost connection, a server's are its words") {
  for (const auto* text :
       {"", "Socket closed", "recvmsg:Connection reset by peer", "Broken pipe", "GOAWAY received",
        "failed to connect to all addresses; last error: UNKNOWN: Connection refused",
        "Endpoint read failed", "keepalive watchdog timeout", "Cancelling all calls",
        "the server is stopping", kSubscriptionEnded, kPublishingEnded}) {
    CAPTURE(text);
    CHECK(IsConnectionLost(Unavailable(text)));
  }
  for (const auto* text :
       {"because", "the metadata leader took nothing for 4.7 s; nothing was changed",
        "failed to publish to NATS: nats: connection closed", "partition is opening; try again",
        "b2: failed to connect to all addresses"}) {
    CAPTURE(text);
    CHECK_FALSE(IsConnectionLost(Unavailable(text)));
  }
  CHECK_FALSE(IsConnectionLost({grpc::StatusCode::INTERNAL, "Socket closed"}));
}

TEST_CASE("a cluster without a leader is known by the server's words") {
  CHECK(IsWithoutLeader(Unavailable("no metadata leader is known")));
  CHECK(IsWithoutLeader(Unavailable("there is no metadata leader: a majority must be reachable")));
  CHECK(IsWithoutLeader({grpc::StatusCode::INTERNAL, "no known metadata leader"}));
  CHECK_FALSE(IsWithoutLeader({grpc::StatusCode::NOT_FOUND, "no such stream: no metadata leader"}));
  CHECK_FALSE(IsWithoutLeader(Unavailable("the metadata leader took nothing for 4.7 s")));
}

}  // namespace
}  // namespace bascule::cli
