// An orderly stop of a broker moves what it leads before it goes, so that nobody waits for its session
// to end.
#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "core/base/types.h"
#include "core/env/clock.h"
#include "replication/meta/requests/meta_frontend.h"

namespace bascule::broker {

// Asks that every partition that `self` leads goes to a live in-sync replica, if there is one; those
// are spread. `done`, on the metadata thread, when all are answered, or `timeout` is over: what could
// not be moved is led till the broker is fenced. On the metadata thread.
void HandOver(metadata::MetaFrontend& frontend, const std::string& self, Clock& clock,
              Duration timeout, absl::AnyInvocable<void()> done);

}  // namespace bascule::broker
