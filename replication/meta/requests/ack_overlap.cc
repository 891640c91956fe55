#include "replication/meta/requests/ack_overlap.h"

#include "core/base/quantity.h"
#include "core/base/text.h"
#include "core/stream/overlap.h"

namespace bascule::metadata {
namespace {

bool Answers(const StreamDescription& stream) {
  return stream.overrides.reply_acks == ReplyAcks::kJetStream;
}

template <typename Streams>
const StreamDescription* FindOverlap(const StreamDescription& stream, const Streams& others) {
  for (const auto& [name, other] : others) {
    if (name != stream.name && Answers(other) && HearSameMessages(stream, other)) return &other;
  }
  return nullptr;
}

}  // namespace

absl::Status AckOverlap::Check(const StreamDescription& stream,
                               const MetaTable::Streams& present) const {
  if (!Answers(stream)) return absl::OkStatus();
  const StreamDescription* other = FindOverlap(stream, present);
  if (other == nullptr) other = FindOverlap(stream, proposed_);
  if (other == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat("subjects overlap with an existing stream: stream ", other->name, " on ",
             Quoted(other->subject), " hears messages of ", Quoted(stream.subject),
             " too, and both would answer them (reply acks: jetstream), so that publishers took "
             "one's ack for the other's; ask for reply acks \"off\", for another subject, or put "
             "both into one queue group"));
}

void AckOverlap::Proposed(const StreamDescription& stream) {
  if (Answers(stream)) proposed_.emplace(stream.name, stream);
}

void AckOverlap::Settled(const StreamDescription& stream) {
  const auto it = proposed_.find(stream.name);
  if (it != proposed_.end()) proposed_.erase(it);
}

}  // namespace bascule::metadata
