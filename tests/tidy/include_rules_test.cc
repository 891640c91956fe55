#include "tests/tidy/include_rules.h"

#include <doctest/doctest.h>

namespace bascule::tidy {
namespace {

size_t Found(std::string path, std::string text) {
  return CheckIncludes(Source(std::move(path), std::move(text))).size();
}

TEST_CASE("an include along the arrows passes") {
  CHECK(Found("core/log/a.h",
              "#include \"core/base/types.h\"\n#include <vector>\n#include <sys/stat.h>\n") == 0);
  CHECK(Found("core/log/a.cc",
              "#include \"core/log/a.h\"\n#include \"absl/strings/str_cat.h\"\n") == 0);
  CHECK(Found("cmd/basculed/main.cc", "#include \"replication/partition/partition.h\"\n") == 0);
  CHECK(Found("replication/meta/requests/a.cc", "#include \"replication/ports.h\"\n") == 0);
}

TEST_CASE("an include against the arrows is found") {
  CHECK(Found("core/log/a.h", "#include \"core/stream/settings.h\"\n") == 1);
  CHECK(Found("core/base/a.h", "#include \"core/env/clock.h\"\n") == 1);
  CHECK(Found("replication/isr/a.cc", "#include \"core/log/log.h\"\n") == 1);
  CHECK(Found("replication/meta/requests/a.cc",
              "#include \"replication/partition/partition.h\"\n") == 1);
  CHECK(Found("core/api/a.cc", "#include \"nats_bridge/bus.h\"\n") == 1);
  CHECK(Found("cmd/bascule/a.cc", "#include \"replication/meta/table.h\"\n") == 1);
  CHECK(Found("core/env/a.cc", "#include \"tests/support/sim.h\"\n") == 1);
}

TEST_CASE("a third-party header outside its folders is found") {
  CHECK(Found("core/api/a.cc", "#include <grpcpp/server.h>\n") == 0);
  CHECK(Found("core/stream/a.cc", "#include <grpcpp/server.h>\n") == 1);
  CHECK(Found("nats_bridge/a.cc", "#include \"api.pb.h\"\n") == 1);
  CHECK(Found("replication/meta/requests/a.cc",
              "#include \"replication/meta/table/commands.pb.h\"\n") == 0);
  CHECK(Found("replication/meta/requests/a.cc", "#include \"api.grpc.pb.h\"\n") == 1);
  CHECK(Found("core/base/logging.cc", "#include <spdlog/spdlog.h>\n") == 0);
  CHECK(Found("core/base/logging.h", "#include <spdlog/spdlog.h>\n") == 1);
  CHECK(Found("core/log/a.cc", "#include <boost/filesystem.hpp>\n") == 1);
  CHECK(Found("core/ports/a.h", "#include <nats.h>\n") == 1);
  CHECK(Found("core/log/a.cc", "#include <folly/Range.h>\n") == 1);
}

TEST_CASE("a file outside every layer and a name that is no path are found") {
  CHECK(Found("extra/a.cc", "int x;\n") == 1);
  CHECK(Found("core/log/a.cc", "#include \"segment.h\"\n") == 1);
}

TEST_CASE("an include inside a comment is none") {
  CHECK(Found("core/base/a.h", "// #include <nats.h>\n/*\n#include <nats.h>\n*/\n") == 0);
}

}  // namespace
}  // namespace bascule::tidy
