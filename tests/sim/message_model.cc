#include "tests/sim/message_model.h"

#include <algorithm>

#include "core/base/text.h"

namespace bascule {
namespace {

constexpr char kPadding = ' ';

}  // namespace

partition::TestMessage MessageModel::NewMessage(const std::string& subject, AckPolicy policy,
                                                size_t padding) {
  partition::TestMessage message;
  message.value = message.inbox = Concat(subject, "/", ++messages_);
  message.policy = policy;
  sent_[message.value] = {subject, messages_, policy};
  message.value.append(padding, kPadding);
  return message;
}

void MessageModel::OnHeard(const partition::TestMessage& message, size_t brokers) {
  sent_[message.inbox].refusal_counts = brokers == 1;
}

void MessageModel::Place(const std::string& subject, Offset offset, const std::string& value,
                         const std::string& by) {
  if (forgotten_.contains(subject)) return;
  const auto sent = sent_.find(value);
  if (sent == sent_.end() || sent->second.subject != subject)
    return fail_(Concat(by, " of ", subject, " names ", value, ", which was not sent there"));
  if (refused_.contains(value)) return fail_(Concat(value, " was refused, and is there: ", by));
  const auto [place, fresh] = places_[subject].emplace(offset, value);
  if (!fresh && place->second != value) {
    return fail_(Concat(subject, " gave offset ", offset, " to ", place->second, " and to ", value,
                        ", says ", by));
  }
  const auto [known, first] = offsets_.emplace(value, offset);
  if (!first && known->second != offset)
    fail_(Concat(value, " is at ", known->second, " and at ", offset, ", says ", by));
}

void MessageModel::OnAck(const BusAck& ack) {
  const auto sent = sent_.find(ack.inbox);
  if (sent == sent_.end()) return fail_(Concat("an ack to ", ack.inbox, ", which nobody has"));
  if (ack.error == AckError::kUnknown || ack.error == AckError::kOutcomeUnknown)
    return;  // it may be there
  if (ack.error != AckError::kOk) {
    if (!sent->second.refusal_counts || forgotten_.contains(sent->second.subject)) return;
    if (offsets_.contains(ack.inbox)) fail_(Concat(ack.inbox, " is there, and is refused"));
    refused_.insert(ack.inbox);
    return;
  }
  acked_.insert(ack.inbox);
  if (sent->second.policy == AckPolicy::kLeader && is_replicated(sent->second.subject)) return;
  Place(sent->second.subject, ack.offset, ack.inbox, Concat("an ack of ", ack.stream));
}

void MessageModel::OnRead(const std::string& subject, const partition::PartitionContent& content) {
  uint64_t before = 0;
  for (const auto& [offset, padded] : content.messages) {
    const std::string value = padded.substr(0, padded.find(kPadding));
    Place(subject, offset, value, "a reader");
    // There is one publisher, and one broker that hears it at a time.
    const uint64_t number = sent_[value].number;
    if (forgotten_.contains(subject)) continue;
    if (number <= before) fail_(Concat(value, " stands behind a later one of ", subject));
    before = number;
  }
  if (!std::is_sorted(content.epochs.begin(), content.epochs.end()))
    fail_(Concat("epochs of ", subject, " go back"));
}

}  // namespace bascule
