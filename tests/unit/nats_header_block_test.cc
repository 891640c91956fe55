// NATS headers as bytes: order, repetition, empty values, and whatever else may arrive.
#include <doctest/doctest.h>

#include <string>

#include "core/base/limits.h"
#include "nats_bridge/header_block.h"

namespace bascule::nats {
namespace {

std::string Read(std::string_view block) {
  wire::HeaderList headers;
  if (!ReadHeaderBlock(block, headers)) return "refused";
  std::string out;
  for (const auto& [name, value] : headers)
    out += std::string(name) + "=" + std::string(value) + "|";
  return out;
}

TEST_CASE("nats headers: order and repetition are kept, empty values are empty") {
  CHECK(Read("NATS/1.0\r\nB: 1\r\nA:2\r\nB:  3 \r\n\r\n") == "B=1|A=2|B=3|");
  CHECK(Read("NATS/1.0\r\nE: \r\nF:\r\nG: x\r\n\r\n") == "E=|F=|G=x|");
  CHECK(Read("NATS/1.0 503 No Responders\r\nA: b\r\n\r\n") == "A=b|");
  CHECK(Read("NATS/1.0\r\nTime: 10:30:00\r\n\r\n") == "Time=10:30:00|");
  CHECK(Read("NATS/1.0\r\n\r\n").empty());
}

TEST_CASE("nats headers: odd lines cost themselves only") {
  CHECK(Read("NATS/1.0\r\nno colon\r\nA: b\r\n: no name\r\nC: d\r\n\r\n") == "A=b|C=d|");
  CHECK(Read("NATS/1.0\r\nA: folded\r\n onto\r\nB: c\r\n\r\n") == "A=folded\r\n onto|B=c|");
  CHECK(Read("NATS/1.0\r\nA: cut of") == "A=cut of|");
  CHECK(Read("NATS/1.0") == "");
  CHECK(Read("HTTP/1.0\r\nA: b\r\n\r\n") == "refused");
  CHECK(Read("") == "refused");
}

TEST_CASE("nats headers: no more than the limit") {
  std::string block = "NATS/1.0\r\n";
  for (size_t i = 0; i < limits::kMaxHeaders + 10; ++i) block += "A: b\r\n";
  wire::HeaderList headers;
  CHECK(ReadHeaderBlock(block + "\r\n", headers));
  CHECK(headers.size() == limits::kMaxHeaders);
}

}  // namespace
}  // namespace bascule::nats
