// In what a stream differs from what is asked.
#include "core/stream/difference.h"

#include <doctest/doctest.h>

namespace bascule {
namespace {

StreamDescription Replicated(size_t replicas) {
  StreamDescription stream;
  stream.name = stream.subject = "s";
  stream.partitions.resize(1);
  stream.partitions[0].replicas.assign(replicas, "b");
  return stream;
}

std::vector<std::string> Asked(size_t replicas, int32_t factor, int brokers) {
  StreamSpec spec;
  spec.name = spec.subject = "s";
  spec.replication_factor = factor;
  return Differences(Replicated(replicas), StreamSettings(), spec, brokers);
}

TEST_CASE("difference: a factor of -1 is one replica on every broker, one of 0 was not asked for") {
  using Found = std::vector<std::string>;
  CHECK(Asked(1, 0, 3).empty());
  CHECK(Asked(3, 0, 3).empty());
  CHECK(Asked(1, 1, 3).empty());
  CHECK(Asked(1, -1, 1).empty());
  CHECK(Asked(3, -1, 3).empty());
  CHECK(Asked(1, -1, 3) == Found{"replication_factor: 1 here, 3 asked"});
  CHECK(Asked(3, -1, 1) == Found{"replication_factor: 3 here, 1 asked"});
  CHECK(Asked(3, 2, 3) == Found{"replication_factor: 3 here, 2 asked"});
}

TEST_CASE("difference: what was asked of a setting, and only that, is compared") {
  StreamDescription stream = Replicated(1);
  StreamSpec spec;
  spec.name = spec.subject = "s";
  CHECK(Differences(stream, StreamSettings(), spec, 1).empty());
  stream.overrides.retention_max_messages = 5;
  CHECK(Differences(stream, StreamSettings(), spec, 1).empty());
  spec.overrides.retention_max_messages = 6;
  spec.group = "g";
  spec.partitions = 2;
  CHECK(Differences(stream, StreamSettings(), spec, 1).size() == 3);
}

TEST_CASE("difference: asked again is the same, whatever the cluster made of it") {
  StreamDescription stream = Replicated(1);
  StreamSpec spec;
  spec.name = spec.subject = "s";
  stream.overrides.segment_max_bytes = spec.overrides.segment_max_bytes = 100;
  StreamSettings now;
  now.segment_max_bytes = 64 * 1024;
  CHECK(Differences(stream, now, spec, 1).empty());
  // Who asks for what it came to asks for something else.
  spec.overrides.segment_max_bytes = 64 * 1024;
  CHECK(Differences(stream, now, spec, 1) ==
        std::vector<std::string>{"segment_max_bytes: 100 here, 64KiB asked"});
  // Not asked for by its creator: what it is.
  stream.overrides.segment_max_bytes.reset();
  CHECK(Differences(stream, now, spec, 1).empty());
}

}  // namespace
}  // namespace bascule
