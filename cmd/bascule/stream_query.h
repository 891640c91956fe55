// What there is to know about streams, gathered from every broker that leads a part of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bascule/v1/bascule.pb.h"
#include "cmd/bascule/console.h"

namespace bascule::cli {

class Client;

struct PartitionFlags {
  bool paused = false;
  bool readonly = false;
};

struct StreamReport {
  v1::Stream stream;
  std::map<int32_t, PartitionFlags> flags;  // by partition id
};

struct PartitionGap {
  int32_t partition = 0;
  v1::Gap gap;
};

// Adds the gap records of a partition, by offset, as its leader has them. Nothing: these are all of
// them; else why the rest could not be had.
std::optional<Failure> QueryGaps(Client& client, const std::string& stream, int32_t partition,
                                 std::vector<PartitionGap>& gaps);

// All streams by name, or the one named. Numbers of a partition come from its leader; when that
// cannot be reached they are those of the answering broker and the partition's `error` says so.
Outcome<std::vector<StreamReport>> QueryStreams(Client& client, const std::string& name);

}  // namespace bascule::cli
