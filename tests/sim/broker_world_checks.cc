// What readers of the simulated cluster are shown, and what must hold when all is well again.
#include <utility>

#include "core/base/text.h"
#include "tests/sim/broker_world.h"

namespace bascule {
namespace {

constexpr size_t kReadBytes = 4096;
constexpr std::chrono::seconds kSettled{3};
constexpr std::chrono::seconds kPatience{10};

}  // namespace

// Chunk after chunk. Holds no partition: those end with their broker.
struct PartitionReading {
  std::weak_ptr<PartitionPort> port;
  ReaderId reader;
  std::string stream;
  std::string subject;
  MessageModel::Places must;  // as of the beginning
  bool must_succeed = false;
  Offset at;
  Offset end;
  partition::PartitionContent content;
};

void BrokerWorld::Read(const std::shared_ptr<PartitionPort>& port, const std::string& stream,
                       size_t partition, bool must_succeed) {
  auto reading = std::make_shared<PartitionReading>();
  reading->port = port;
  reading->reader = ReaderId(++readers_);
  reading->stream = stream;
  reading->subject = PartitionSubject("in." + stream, PartitionId(static_cast<int32_t>(partition)));
  reading->must = messages_.MustHold(reading->subject);
  reading->must_succeed = must_succeed;
  reading_ += must_succeed ? 1 : 0;
  port->Describe([this, reading](const absl::StatusOr<PartitionStatus>& status) {
    const bool serves = status.ok() && status->leader;
    if (!serves && reading->must_succeed)
      Fail(Concat(reading->subject, " is not led: ", status.status().ToString()));
    if (!serves) return;
    if (status->lost_records > 0)
      Fail(Concat(reading->subject, " lost ", status->lost_records, " records"));
    reading->at = status->log_start;
    reading->end = status->high_watermark;
    ReadOn(reading);
  });
}

void BrokerWorld::ReadOn(std::shared_ptr<PartitionReading> reading) {
  const auto port = reading->port.lock();
  if (!port) return;
  if (reading->at < reading->end) {
    return port->Read(
        {reading->reader, Direction::kForward, reading->at, kReadBytes},
        [this, reading](const absl::StatusOr<ReadChunk>& chunk) {
          if (!chunk.ok()) {
            const bool wrong = reading->must_succeed || absl::IsDataLoss(chunk.status());
            if (wrong) Fail(Concat("reading ", reading->subject, ": ", chunk.status().ToString()));
            return;
          }
          partition::WalkBatches(chunk->batches.view(),
                                 [&](const wire::BatchHeader& header, std::string_view payload) {
                                   if (header.base_offset >= reading->at)
                                     reading->content.Take(header, payload);
                                 });
          reading->at = chunk->next;
          ReadOn(reading);
        });
  }
  port->CancelRead(reading->reader);
  ++reads_;
  reading_ -= reading->must_succeed ? 1 : 0;
  if (!client_.MustBe().contains(reading->stream)) return;  // it may be gone by now
  messages_.OnRead(reading->subject, reading->content);
  for (const auto& [offset, value] : reading->must) {
    if (!reading->content.messages.contains(offset))
      Fail(Concat(value, " is not at offset ", offset, " any more"));
  }
}

void BrokerWorld::CheckEnd() {
  if (!kernel_.scheduler().RunUntil([this] { return Converged(); }, kPatience))
    return Fail(Concat("the brokers do not come to the same: ", WhyNotConverged()));
  kernel_.scheduler().RunFor(kSettled);
  const metadata::MetaTable& table = At(1)->table();
  client_.CheckTable(table, client_.MustBe(), client_.MustNotBe(), "at the end the table");
  client_.CheckNothingLost(table);
  if (violation_.empty()) CheckTakesMessages(table);
  if (violation_.empty()) CheckEverythingThere(table);
}

void BrokerWorld::CheckTakesMessages(const metadata::MetaTable& table) {
  std::map<std::string, std::string> asked;  // inbox to subject
  for (const auto& [name, stream] : table.streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      const std::string subject = PartitionSubject(stream.subject, partition.id);
      // In one of three partitions more than a batch takes.
      const size_t messages = kernel_.rng().Below(3) == 0 ? 5 : 1;
      for (size_t i = 0; i < messages; ++i) {
        const size_t padding = messages > 1 ? limits::kBatchTargetBytes / 3 : 0;
        const partition::TestMessage message =
            messages_.NewMessage(subject, AckPolicy::kAll, padding);
        if (bus_.Publish(subject, message) != 1) Fail(Concat("not one listens on ", subject));
        asked[message.inbox] = subject;
      }
    }
  }
  kernel_.scheduler().RunFor(kSettled);
  for (const auto& [inbox, subject] : asked) {
    if (!messages_.IsAcked(inbox)) Fail(Concat(subject, " takes no message"));
  }
}

void BrokerWorld::CheckEverythingThere(const metadata::MetaTable& table) {
  for (const auto& [name, stream] : table.streams()) {
    if (!client_.MustBe().contains(name)) continue;
    for (size_t p = 0; p < stream.partitions.size(); ++p) {
      std::shared_ptr<PartitionPort> port;
      for (uint64_t i = 1; i <= kernel_.size() && !port; ++i) port = At(i)->Leading(name, p);
      if (!port) return Fail(Concat("nobody leads ", name, "/", p));
      Read(port, name, p, true);
    }
  }
  const bool read = kernel_.scheduler().RunUntil(
      [this] { return reading_ == 0 || !violation_.empty(); }, kPatience);
  if (!read) Fail("reads do not end");
}

}  // namespace bascule
