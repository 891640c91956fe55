#include "nats_bridge/restart_delay.h"

#include <doctest/doctest.h>

namespace bascule::nats {
namespace {

using namespace std::chrono_literals;

TEST_CASE(
    "restart delay: doubles while children die young, to a bound; a healthy one begins anew") {
  RestartDelay delay;
  for (int round = 0; round < 2; ++round) {
    for (const Duration wanted : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5000ms, 5000ms}) {
      // The first of the second round is the one behind a child that lived.
      const bool healthy = round == 1 && wanted == Duration(100ms);
      CHECK(delay.Next(healthy ? Duration(10s) : Duration(10s - 1ns)) == wanted);
    }
  }
}

}  // namespace
}  // namespace bascule::nats
