// Streams as people read them. Pure.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "cmd/bascule/stream_query.h"
#include "core/base/types.h"

namespace bascule::cli {

// One row for each stream, with a state that is anything but "ok" as soon as one look at `stream
// info` is worth it.
void PrintStreamTable(std::ostream& out, const std::vector<StreamReport>& reports, Timestamp now);

// Everything about one stream; what is not as it should be stands last, a sentence each.
void PrintStream(std::ostream& out, const StreamReport& report, Timestamp now);

// When messages may have been missed, a row each.
void PrintGaps(std::ostream& out, const std::vector<PartitionGap>& gaps);

// The lines of PrintStream about how the stream behaves.
void PrintBehaviour(std::ostream& out, const v1::StreamSettings& settings);

// Those sentences of PrintStream; empty when all is well.
std::vector<std::string> Troubles(const StreamReport& report);

// Whether the numbers of a partition are missing: it stands on brokers that were not reached.
bool IsUnknown(const v1::Partition& partition);

// Offsets from the oldest to the newest record; 0 when the partition is empty or unknown.
uint64_t RecordCount(const v1::Partition& partition);

}  // namespace bascule::cli
