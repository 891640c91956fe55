// Changing and describing the cluster. Implemented by replication/meta, used by core/api and cmd.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"
#include "core/stream/description.h"

namespace bascule {

struct BrokerDescription {
  std::string id;
  std::string host;  // where clients reach it
  int32_t port = 0;
  std::string rack;
  int32_t partition_count = 0;
  int32_t leader_count = 0;
};

// Any thread; callbacks run on the metadata thread and must not block.
class StreamAdmin {
 public:
  virtual ~StreamAdmin() = default;
  // Answers when the stream is applied here and its partitions are open and listening. Codes and
  // texts as in the wire contract ("stream already exists", "Name cannot be empty", ...).
  virtual void CreateStream(StreamSpec spec, Duration timeout,
                            absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual void DeleteStream(std::string name, Duration timeout,
                            absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Changes what `changes` names of a stream's settings and leaves the rest; NotFound "stream does
  // not exist", InvalidArgument for a setting that cannot change or a value that is refused.
  virtual void UpdateStream(std::string name, StreamOverrides changes, Duration timeout,
                            absl::AnyInvocable<void(absl::Status)> done) = 0;
  // The live ones, the answering broker first.
  virtual std::vector<BrokerDescription> Brokers() = 0;
};

}  // namespace bascule
