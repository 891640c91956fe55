#include "replication/meta/requests/ack_overlap.h"

#include "core/base/check.h"
#include "core/base/quantity.h"
#include "core/base/text.h"
#include "core/stream/overlap.h"

namespace bascule::metadata {
namespace {

bool Answers(const StreamDescription& stream, ReplyAcks open = ReplyAcks::kOff) {
  return stream.overrides.reply_acks.value_or(open) == ReplyAcks::kJetStream;
}

}  // namespace

absl::Status AckOverlap::Check(const StreamDescription& stream, const MetaTable& table,
                               const StreamSettings& defaults) const {
  if (!Answers(stream)) return absl::OkStatus();
  const StreamDescription* found = nullptr;
  const auto overlaps = [&](const StreamDescription* other) {
    BASCULE_CHECK(other != nullptr);  // the indices name what is there
    if (other->name == stream.name || !Answers(*other, defaults.reply_acks)) return false;
    if (!HearSameMessages(stream, *other)) return false;
    found = other;
    return true;
  };
  (void)(table.answering().Find(stream, [&](const std::string& name) {
    return overlaps(table.Find(name));
  }) || proposed_subjects_.Find(stream, [&](const std::string& name) {
    return overlaps(&proposed_.find(name)->second);
  }));
  if (found == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat("subjects overlap with an existing stream: stream ", found->name, " on ",
             Quoted(found->subject), " hears messages of ", Quoted(stream.subject),
             " too, and both would answer them (reply acks: jetstream), so that publishers took "
             "one's ack for the other's; ask for reply acks \"off\", for another subject, or put "
             "both into one queue group"));
}

void AckOverlap::Proposed(const StreamDescription& stream) {
  if (!Answers(stream)) return;
  const bool fresh = proposed_.emplace(stream.name, stream).second;
  BASCULE_CHECK(fresh);
  proposed_subjects_.Add(stream);
}

void AckOverlap::Decided(const StreamDescription& stream) {
  if (proposed_.erase(stream.name) > 0) proposed_subjects_.Remove(stream);
}

}  // namespace bascule::metadata
