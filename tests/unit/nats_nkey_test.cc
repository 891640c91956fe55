// Seeds found in what an operator's file holds, and what is made of them.
#include "nats_bridge/nkey.h"

#include <doctest/doctest.h>

#include <string>

namespace bascule::nats {

TEST_CASE("nkey: a user's seed is found wherever it begins a word, to the last byte of a text") {
  const std::string seed = "SU" + std::string(56, 'A');
  for (const std::string& text :
       {seed, seed + "\n", "\n" + seed, " " + seed + " ", "\t" + seed, "comment\n" + seed + "\r\n",
        "-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------",
        "SUBJECT of this\n" + seed, "SU SU SU " + seed}) {
    CAPTURE(text);
    CHECK(FindNkeySeed(text) == seed);
  }
  const std::string second = "SU" + std::string(56, 'B');
  CHECK(FindNkeySeed(seed + "\n" + second) == seed);
  for (const std::string& text :
       {std::string(), std::string("SU"), seed.substr(0, 57), "x" + seed, "SA" + seed.substr(2),
        "SU" + std::string(55, 'A') + "1", "SU" + std::string(55, 'a') + "A"}) {
    CAPTURE(text);
    CHECK(FindNkeySeed(text).empty());
  }
}

}  // namespace bascule::nats
