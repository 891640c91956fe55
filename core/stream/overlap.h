// Whether streams hear the same messages.
#pragma once

#include "core/stream/description.h"

namespace bascule {

// Whether there is a subject that a partition of each listens to, so that both hear what is
// published there. Within one queue group NATS gives a message to one member only: then never.
bool HearSameMessages(const StreamDescription& one, const StreamDescription& other);

}  // namespace bascule
