// Bytes between a socket and who takes operations: none is lost, and memory is given back.
#include "nats_bridge/receive_buffer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <span>
#include <string>

#include "core/base/limits.h"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

// A buffer beside what must stand in it.
struct ModelledBuffer {
  explicit ModelledBuffer(size_t usual_bytes) : usual(usual_bytes), buffer(usual_bytes) {}

  // Makes room, fills all of it with noise, and receives at most `most` bytes of its own.
  void Receive(size_t wanted, size_t most, Rng& rng) {
    const std::span<char> room = buffer.Room(wanted);
    const size_t missing = wanted > model.size() ? wanted - model.size() : 0;
    REQUIRE(room.size() >= std::max(usual / 4, missing));
    std::fill(room.begin(), room.end(), '#');
    REQUIRE(buffer.pending() == model);
    std::string bytes(std::min(room.size(), most), '\0');
    for (char& c : bytes) c = static_cast<char>(rng.Below(256));
    std::copy(bytes.begin(), bytes.end(), room.begin());
    buffer.Received(bytes.size());
    model += bytes;
    REQUIRE(buffer.pending() == model);
  }
  void Take(size_t bytes) {
    buffer.Take(bytes);
    model.erase(0, bytes);
    REQUIRE(buffer.pending() == model);
  }

  const size_t usual;
  ReceiveBuffer buffer;
  std::string model;
};

TEST_CASE("nats receive buffer: it begins empty, with the usual memory") {
  for (const size_t usual : {size_t{1}, size_t{4}, size_t{1000}, size_t{256} * limits::kKiB}) {
    ReceiveBuffer buffer(usual);
    CHECK(buffer.pending().empty());
    CHECK(buffer.capacity() == usual);
    CHECK(buffer.Room(0).size() == usual);
    CHECK(buffer.Room(usual).size() == usual);
    CHECK(buffer.Room(usual + 1).size() > usual);
  }
}

TEST_CASE("nats receive buffer: what is pending stays as it came, whatever is made room for") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SimRng rng(seed);
    CAPTURE(seed);
    ModelledBuffer b(Between(rng, 4, 300));
    for (int step = 0; step < 100; ++step) {
      const size_t wanted = rng.Below(rng.Below(10) == 0 ? 40 * b.usual : 2 * b.usual);
      b.Receive(wanted, rng.Below(2 * b.usual), rng);
      // Asked again before anything came, for more or for less.
      if (rng.Below(4) == 0) b.Receive(rng.Below(3 * b.usual), 0, rng);
      // Nothing, all, or a part.
      const uint64_t how = rng.Below(4);
      b.Take(how == 0 ? 0 : how == 1 ? b.model.size() : rng.Below(b.model.size() + 1));
    }
  }
}

TEST_CASE("nats receive buffer: operations pass, cut as they come, and the memory stays") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SimRng rng(seed);
    CAPTURE(seed);
    ModelledBuffer b(Between(rng, 16, 200));
    size_t operation = 1;
    for (int step = 0; step < 300; ++step) {
      b.Receive(operation, Between(rng, 1, b.usual), rng);
      while (b.model.size() >= operation) {
        b.Take(operation);
        operation = Between(rng, 1, b.usual / 2);
      }
      REQUIRE(b.buffer.capacity() == b.usual);
    }
  }
}

TEST_CASE("nats receive buffer: after a large operation the memory is the usual again") {
  SimRng rng(1);
  for (const size_t large : {1001, 1250, 4000, 100'000}) {
    CAPTURE(large);
    ModelledBuffer b(1000);
    for (int round = 0; round < 3; ++round) {
      size_t receives = 0;
      while (b.model.size() < large) {
        b.Receive(large, large - b.model.size(), rng);
        ++receives;
      }
      CHECK(receives == 1);  // room for all of it was there at once
      CHECK(b.buffer.capacity() >= large);
      b.Take(large);
      b.Receive(round == 0 ? 0 : 1000, 0, rng);
      CHECK(b.buffer.capacity() == 1000);
    }
  }
}

TEST_CASE("nats receive buffer: while large operations follow each other it stays large") {
  SimRng rng(1);
  ModelledBuffer b(100);
  b.Receive(5000, 5000, rng);
  b.Take(b.model.size());
  const size_t large = b.buffer.capacity();
  b.Receive(5000, 5000, rng);
  CHECK(b.buffer.capacity() == large);
}

TEST_CASE("nats receive buffer: a large operation's memory goes though others come right behind") {
  SimRng rng(1);
  ModelledBuffer b(1000);
  b.Receive(100'000, 100'000, rng);
  b.Take(b.model.size() - 3);  // the next one has begun already
  // From then on there is always a piece of an operation pending, as under load.
  for (int i = 0; i < 1000; ++i) {
    b.Receive(20, 20, rng);
    b.Take(b.model.size() - 3);
  }
  CHECK(b.buffer.capacity() == 1000);
}

TEST_CASE("nats receive buffer: memory does not grow with what passes through it") {
  SimRng rng(1);
  for (const size_t usual : {16, 100, 1000}) {
    ModelledBuffer b(usual);
    size_t most = 0;
    for (int i = 0; i < 2000; ++i) {
      b.Receive(3 * usual, usual, rng);
      b.Take(b.model.size() - std::min<size_t>(b.model.size(), rng.Below(3 * usual)));
      most = std::max(most, b.buffer.capacity());
    }
    CHECK(most <= 8 * usual);
  }
}

}  // namespace
}  // namespace bascule::nats
