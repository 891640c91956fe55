// What settings say together: derived values, and combinations that make no sense.
#pragma once

#include "core/config/config.h"
#include "core/config/faults.h"
#include "core/config/section.h"

namespace bascule::config {

// Completes `config`, whose values are each acceptable or already a fault. `given` says which were
// set, and where.
void Complete(Config& config, const Given& given, Faults& faults);

}  // namespace bascule::config
