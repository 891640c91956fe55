// What a stream that exists has other than somebody asks for. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/stream/description.h"

namespace bascule {

// "partitions: 1 here, 3 asked", one sentence per difference. Settings, and a replication factor, that
// were not asked for do not count. `now` = the stream's settings as they came to; `brokers` = what a replication factor
// of -1 means.
std::vector<std::string> Differences(const StreamDescription& here, const StreamSettings& now,
                                     const StreamSpec& asked, int brokers);

}  // namespace bascule
