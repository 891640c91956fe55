// Anything a peer may send on the replication stream: no bytes crash the reading of a frame or of its batches, and
// what is read is within its bounds and is written as it was.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "replication/partition/replica_frames.h"

namespace bascule::partition {
namespace {

void Check(std::string_view frame) {
  const auto parts = ParseReplicaFrame(frame);
  if (!parts.ok()) return;
  ReplicaFrameBuilder builder;
  for (const ReplicaPart& part : *parts) {
    if (const auto* append = std::get_if<AppendPart>(&part.what)) {
      BASCULE_CHECK_GE(append->high_watermark, Offset(0));
      const auto batches = CheckBatches(append->batches, Offset(0), LeaderEpoch(), part.epoch);
      if (batches.ok()) BASCULE_CHECK(!batches->empty());
      builder.AddAppend(part.key, part.epoch, append->high_watermark, append->number,
                        Bytes::Copy(append->batches));
      continue;
    }
    if (const auto* question = std::get_if<isr::ReconcileQuestion>(&part.what)) {
      // Two of them can be compared, whatever they are.
      (void)isr::CommonEnd(question->log,
                           isr::LogEpochs{Offset(0), Offset(5), {{LeaderEpoch(1), Offset(0)}}});
    }
    builder.Add(part);
  }
  std::string again;
  for (const Bytes& piece : builder.Take()) again.append(piece.view());
  BASCULE_CHECK(again == frame);
}

}  // namespace
}  // namespace bascule::partition

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bascule::partition::Check(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
