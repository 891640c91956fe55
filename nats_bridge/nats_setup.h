// From NatsOptions to nats.c's options object, and nats.c's errors to statuses. Internal to
// nats_bridge.
#pragma once

#include <nats/nats.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "nats_bridge/nats_options.h"

namespace bascule::nats {

struct NatsOptionsDeleter {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
};
using NatsOptionsPtr = std::unique_ptr<natsOptions, NatsOptionsDeleter>;

// Everything but callbacks. InvalidArgument or NotFound naming the option and the file when a
// credential or certificate cannot be used; files are read now, so a wrong one fails the start, not
// the first connect. What they hold goes into the options, so that each new connection needs new
// ones.
absl::StatusOr<NatsOptionsPtr> MakeNatsOptions(const NatsOptions& options, const std::string& role);

// Of what the files that `options` name hold now; the same for files that cannot be read.
uint64_t DigestOfFiles(const NatsOptions& options);

// nats.c's answer as a status; OK for NATS_OK.
absl::Status FromNats(natsStatus status, std::string_view what);

}  // namespace bascule::nats
