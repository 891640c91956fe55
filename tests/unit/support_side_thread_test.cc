#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>

#include "tests/support/side_thread.h"

namespace bascule {
namespace {

TEST_CASE("side thread: it is asked to end and ends with its scope, however that is left") {
  std::atomic<bool> ended{false};
  const auto leave = [&] {
    const SideThread beside([&](const std::atomic<bool>& stop) {
      while (!stop) std::this_thread::yield();
      ended = true;
    });
    throw std::runtime_error("left");
  };
  CHECK_THROWS_WITH(leave(), "left");
  CHECK(ended);
}

TEST_CASE("side thread: what its work throws comes out where it is stopped, once") {
  SideThread beside([](const std::atomic<bool>&) { throw std::runtime_error("thrown beside"); });
  CHECK_THROWS_WITH(beside.Stop(), "thrown beside");
  beside.Stop();
}

}  // namespace
}  // namespace bascule
