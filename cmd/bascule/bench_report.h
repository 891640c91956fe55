// Measured runs as people read them. Pure.
#pragma once

#include <ostream>
#include <vector>

#include "cmd/bascule/json_output.h"

namespace bascule::cli {

// One table for all rows, which are of one kind and of the same streams; with `json` one object a
// line.
void PrintBench(std::ostream& out, const std::vector<BenchRow>& rows, bool json);

}  // namespace bascule::cli
