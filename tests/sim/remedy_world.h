// A cluster whose brokers are ended, hurt and started again, and what they say to do about it.
#pragma once

#include "tests/sim/start_world.h"

namespace bascule {

inline bool Names(const absl::Status& why, const std::string& remedy) {
  return why.message().find(remedy) != absl::string_view::npos;
}

// A cluster of three, of which b3 leads a stream.
struct RemedyWorld : StartWorld {
  RemedyWorld() : StartWorld(3) {
    for (uint64_t i = 1; i <= 3; ++i) Start(i);
    stream = StreamOf(*this, 3);
    id = ClusterId(1);
  }
  // Ends it and gives its session time to end.
  void End(uint64_t machine) {
    kernel.Kill(machine);
    kernel.scheduler().RunFor(std::chrono::seconds(5));
  }
  // That the text is in the log by now.
  bool Said(const std::string& text) const {
    return kernel.Notes().find(text) != std::string::npos;
  }
  void StartsAsMember(uint64_t machine) {
    kernel.Kill(machine);
    Start(machine);
    CHECK(ClusterId(machine) == id);
    CHECK(Create(machine, Concat("from.b", machine)).ok());
  }
  void Remove(uint64_t machine) {
    const std::string name = Concat("b", machine);
    REQUIRE(Await([&](auto done) {
              At(1).broker().cluster().RemoveMember(name, true, std::chrono::seconds(10),
                                                    std::move(done));
            }).ok());
  }
  std::string stream;
  std::string id;
};

// `copy`'s files below `path`, in the place of what is there.
inline void PutBack(FileSystem& copy, SimFileSystem& disk, const std::string& path) {
  REQUIRE(disk.RemoveTree(path).ok());
  CopyTree(copy, disk, path);
}

}  // namespace bascule
