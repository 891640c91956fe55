#include "nats_bridge/ingestor.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/stream/description.h"
#include "core/wire/coding.h"
#include "nats_bridge/control_line.h"
#include "nats_bridge/envelope.h"

namespace bascule::nats {
namespace {

// What a record takes of its arena beside the bytes of the message: tags, lengths, escapes. An
// estimate, for room only.
constexpr size_t kRecordFramingBytes = 128;

void Count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

// The messages of one feed.
class Ingestor::FeedHandler : public SubscriptionHandler {
 public:
  FeedHandler(Ingestor& ingestor, const FeedOptions& options, std::shared_ptr<FeedState> feed)
      : ingestor_(ingestor),
        options_(options),
        has_wildcard_(HasWildcard(options.subject)),
        feed_(std::move(feed)) {
    BASCULE_CHECK(feed_ != nullptr);
    feed_->rules.store(options.rules, std::memory_order_relaxed);
  }

  void OnMessage(const BusMessage& message) override;
  void OnListening(absl::Status status) override;
  void OnGap(const GapReport& gap) override { feed_->queue.AddGap(feed_, gap); }

 private:
  // What one message asks for, as views.
  struct Intake {
    Intake(const BusMessage& from, const FeedRules& by) : message(from), rules(by) {}
    const BusMessage& message;
    const FeedRules rules;
    wire::PublishView* publish = nullptr;  // null = plain
    JetStreamExpectations expectations;
    std::string_view ack_inbox;
    AckFormat format = AckFormat::kNone;
    AckPolicy policy = AckPolicy::kNone;
    int64_t expected_offset = -1;
    size_t payload_bytes = 0;
  };

  void ReadEnvelope(Intake& intake, wire::PublishView& view);
  bool ReadPlain(Intake& intake);
  void Encode(const Intake& intake, IngressBatch& batch, IngressRecord& record);
  void EncodeBody(const Intake& intake, IngressBatch& batch);
  void EncodeHeaders(const wire::HeaderList& headers, std::string& arena);
  ArenaRange AddText(IngressBatch& batch, std::string_view text);

  Ingestor& ingestor_;
  const FeedOptions options_;
  const bool has_wildcard_;
  const std::shared_ptr<FeedState> feed_;
};

void Ingestor::FeedHandler::OnListening(absl::Status status) {
  feed_->queue.Post([feed = feed_, told = std::move(status)]() mutable {
    if (feed->closed || feed->listening == nullptr) return;
    auto listening = std::exchange(feed->listening, nullptr);  // it may close the feed
    listening(std::move(told));
    if (!feed->closed) feed->listening = std::move(listening);
  });
}

void Ingestor::FeedHandler::OnMessage(const BusMessage& message) {
  const FeedRules rules = feed_->rules.load(std::memory_order_relaxed);
  if (has_wildcard_ && !rules.record_internal_subjects &&
      IsInternalSubject(message.subject, ingestor_.ack_prefix_)) {
    Count(ingestor_.counts_.internal_skipped);
    return;
  }
  Intake intake(message, rules);
  intake.payload_bytes = message.payload.size() + message.header_bytes;
  thread_local wire::PublishView view;  // keeps the memory of its header list
  std::string_view publish;
  switch (OpenEnvelope(message.payload, EnvelopeType::kPublish, publish)) {
    case EnvelopeCheck::kOk:
      if (wire::ParsePublish(publish, view)) {
        ReadEnvelope(intake, view);
        break;
      }
      [[fallthrough]];
    case EnvelopeCheck::kMalformed:
      Count(ingestor_.counts_.malformed_envelopes);
      [[fallthrough]];
    case EnvelopeCheck::kForeign:
      if (!ReadPlain(intake)) return;
  }
  const size_t room = std::min(intake.payload_bytes, options_.max_message_bytes) +
                      message.subject.size() * 2 + message.reply.size() + kRecordFramingBytes;
  feed_->queue.Add(feed_, room, [&](IngressBatch& batch, IngressRecord& record) {
    Encode(intake, batch, record);
  });
}

void Ingestor::FeedHandler::ReadEnvelope(Intake& intake, wire::PublishView& view) {
  Count(ingestor_.counts_.envelopes);
  intake.publish = &view;
  // On a stream without concurrency control the expected offset means nothing (clients leave it 0).
  if (intake.rules.optimistic_concurrency_control) intake.expected_offset = view.expected_offset;
  if (view.ack_inbox.empty()) return;
  if (!IsPublishableSubject(view.ack_inbox) ||
      PubLineBytes(view.ack_inbox, {}) > limits::kNatsControlLineBytes) {
    Count(ingestor_.counts_.invalid_ack_inboxes);
    return;
  }
  intake.ack_inbox = view.ack_inbox;
  intake.format = AckFormat::kEnvelope;
  // An unknown policy is stored and not acknowledged; errors are told all the same.
  const auto known = static_cast<uint64_t>(AckPolicy::kNone);
  intake.policy =
      view.ack_policy <= known ? static_cast<AckPolicy>(view.ack_policy) : AckPolicy::kNone;
}

// False when the publisher was refused.
bool Ingestor::FeedHandler::ReadPlain(Intake& intake) {
  const std::string_view reply = intake.message.reply;
  if (intake.rules.reply_acks != ReplyAcks::kJetStream || !IsPublishableSubject(reply)) return true;
  if (const auto refused = ReadExpectations(intake.message.headers, intake.expectations)) {
    Count(ingestor_.counts_.jetstream_refused);
    ingestor_.refuser_.RefuseJetStream(reply, *refused);
    return false;
  }
  intake.ack_inbox = reply;
  intake.format = AckFormat::kJetStream;
  intake.policy = AckPolicy::kAll;
  intake.expected_offset = intake.expectations.expected_offset;
  return true;
}

void Ingestor::FeedHandler::Encode(const Intake& intake, IngressBatch& batch,
                                   IngressRecord& record) {
  record.policy = intake.policy;
  record.ack_format = intake.format;
  record.expected_offset = intake.expected_offset;
  record.payload_bytes = static_cast<uint32_t>(
      std::min<size_t>(intake.payload_bytes, std::numeric_limits<uint32_t>::max()));
  record.subject = AddText(batch, intake.message.subject);
  record.ack_inbox = batch.Add(intake.ack_inbox);
  if (intake.publish != nullptr) record.correlation_id = batch.Add(intake.publish->correlation_id);
  record.expected_stream = batch.Add(intake.expectations.stream);
  const size_t begin = batch.arena.size();
  // An arena is closed long before, and a message has its own bound.
  BASCULE_CHECK_LE(begin, std::numeric_limits<uint32_t>::max());
  record.body.position = static_cast<uint32_t>(begin);
  // One past the limit will be refused by its size alone: its bytes are not worth carrying.
  if (intake.payload_bytes > options_.max_message_bytes) return;
  EncodeBody(intake, batch);
  const size_t length = batch.arena.size() - begin;
  record.body.length = static_cast<uint32_t>(length);
  // Escaping can make a record of a legal payload larger than what a batch may hold: then its own
  // size counts.
  if (length > intake.payload_bytes + limits::kRecordOverheadBytes / 2) {
    record.payload_bytes = static_cast<uint32_t>(length);
  }
}

void Ingestor::FeedHandler::EncodeBody(const Intake& intake, IngressBatch& batch) {
  const BusMessage& message = intake.message;
  std::string& arena = batch.arena;
  if (intake.publish != nullptr) {
    if (intake.publish->key.has_value()) wire::AppendKey(arena, *intake.publish->key);
    if (intake.publish->value.has_value()) wire::AppendValue(arena, *intake.publish->value);
  } else {
    wire::AppendValue(arena, message.payload);
  }
  if (message.subject != options_.partition_subject) {
    if (wire::IsValidUtf8(message.subject)) {
      wire::AppendSubject(arena, message.subject);
    } else {
      wire::AppendSubject(arena, wire::EscapeInvalidUtf8(message.subject));
    }
  }
  if (!message.reply.empty() && intake.format != AckFormat::kJetStream) {
    if (wire::IsValidUtf8(message.reply)) {
      wire::AppendReply(arena, message.reply);
    } else {
      Count(ingestor_.counts_.escaped_strings);
      wire::AppendReply(arena, wire::EscapeInvalidUtf8(message.reply));
    }
  }
  // NATS's first: where the names meet, the envelope's value is the later one and wins.
  if (message.headers != nullptr) EncodeHeaders(*message.headers, arena);
  if (intake.publish != nullptr) EncodeHeaders(intake.publish->headers, arena);
}

void Ingestor::FeedHandler::EncodeHeaders(const wire::HeaderList& headers, std::string& arena) {
  for (const auto& [name, value] : headers) {
    if (name == wire::kSubjectHeader || name == wire::kReplyHeader) {
      Count(ingestor_.counts_.reserved_headers);
    } else if (wire::IsValidUtf8(name)) {
      wire::AppendHeader(arena, name, value);
    } else {
      Count(ingestor_.counts_.escaped_strings);
      wire::AppendHeader(arena, wire::EscapeInvalidUtf8(name), value);
    }
  }
}

ArenaRange Ingestor::FeedHandler::AddText(IngressBatch& batch, std::string_view text) {
  if (wire::IsValidUtf8(text)) return batch.Add(text);
  Count(ingestor_.counts_.escaped_strings);
  return batch.Add(wire::EscapeInvalidUtf8(text));
}

Ingestor::Ingestor(std::string ack_prefix, Clock& clock, PublishRefuser& refuser)
    : ack_prefix_(std::move(ack_prefix)), clock_(clock), refuser_(refuser) {}

std::shared_ptr<FeedState> Ingestor::MakeFeed(PartitionIngress& partition, Executor& shard) {
  const absl::MutexLock lock(&mutex_);
  std::shared_ptr<IngestQueue>& queue = queues_[&shard];
  if (queue == nullptr) queue = std::make_shared<IngestQueue>(shard, clock_, counts_.queue);
  return std::make_shared<FeedState>(partition, *queue);
}

std::shared_ptr<SubscriptionHandler> Ingestor::MakeHandler(const FeedOptions& options,
                                                           std::shared_ptr<FeedState> feed) {
  return std::make_shared<FeedHandler>(*this, options, std::move(feed));
}

void Ingestor::EndOfReceive() {
  const absl::MutexLock lock(&mutex_);
  for (const auto& [shard, queue] : queues_) queue->Deliver();
}

bool Ingestor::Crowded(size_t bytes) {
  const absl::MutexLock lock(&mutex_);
  return std::any_of(queues_.begin(), queues_.end(),
                     [bytes](const auto& queue) { return queue.second->Crowded(bytes); });
}

size_t Ingestor::held_bytes() const {
  const absl::MutexLock lock(&mutex_);
  size_t held = 0;
  for (const auto& [shard, queue] : queues_) held += queue->held_bytes();
  return held;
}

}  // namespace bascule::nats
