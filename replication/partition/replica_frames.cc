#include "replication/partition/replica_frames.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/wire/coding.h"

namespace bascule::partition {
namespace {

using wire::AppendFixed;
using wire::GetFixed;

constexpr std::string_view kMagic = "BSRF";
constexpr uint8_t kVersion = 1;
constexpr size_t kEpochBytes = 16;

enum Kind : uint8_t {
  kAppend = 1,
  kHighWatermark = 2,
  kAcknowledgement = 3,
  kQuestion = 4,
  kAnswer = 5,
  kLost = 6,
  kRefusal = 7,
  kAnew = 8,
};

// A part as its 64 bytes have it.
struct Raw {
  uint8_t kind = 0;
  uint32_t body_bytes = 0;
  PartitionKey key;
  LeaderEpoch epoch;
  uint64_t a = 0;
  uint64_t b = 0;
  int64_t c = 0;
  int64_t d = 0;
};

void AppendRaw(std::string& out, const Raw& raw) {
  out.push_back(static_cast<char>(raw.kind));
  out.append(3, '\0');
  AppendFixed<uint32_t>(out, raw.body_bytes);
  AppendFixed<uint64_t>(out, raw.key.stream.value());
  AppendFixed<int32_t>(out, raw.key.partition.value());
  AppendFixed<uint32_t>(out, 0);
  AppendFixed<uint64_t>(out, raw.epoch.value());
  AppendFixed<uint64_t>(out, raw.a);
  AppendFixed<uint64_t>(out, raw.b);
  AppendFixed<int64_t>(out, raw.c);
  AppendFixed<int64_t>(out, raw.d);
}

absl::Status Bad(size_t part, std::string_view what) {
  return absl::InvalidArgumentError(Concat("replica frame: part ", part, ": ", what));
}

bool IsOffset(uint64_t value) { return value <= static_cast<uint64_t>(INT64_MAX); }

absl::StatusOr<Raw> ParseRaw(size_t part, const char* in) {
  Raw raw;
  raw.kind = static_cast<uint8_t>(in[0]);
  raw.body_bytes = GetFixed<uint32_t>(in + 4);
  raw.key = {StreamId(GetFixed<uint64_t>(in + 8)), PartitionId(GetFixed<int32_t>(in + 16))};
  raw.epoch = LeaderEpoch(GetFixed<uint64_t>(in + 24));
  raw.a = GetFixed<uint64_t>(in + 32);
  raw.b = GetFixed<uint64_t>(in + 40);
  raw.c = GetFixed<int64_t>(in + 48);
  raw.d = GetFixed<int64_t>(in + 56);
  if (in[1] != 0 || in[2] != 0 || in[3] != 0 || GetFixed<uint32_t>(in + 20) != 0)
    return Bad(part, "bytes that are to be zero are not");
  if (raw.key.partition < PartitionId(0)) return Bad(part, "its partition is negative");
  return raw;
}

absl::StatusOr<isr::LogEpochs> ParseLog(size_t part, const Raw& raw, std::string_view body) {
  if (body.size() % kEpochBytes != 0) return Bad(part, "its list of epochs is torn");
  isr::LogEpochs log{Offset(raw.c), Offset(raw.d), {}};
  log.epochs.reserve(body.size() / kEpochBytes);
  for (size_t at = 0; at < body.size(); at += kEpochBytes) {
    log.epochs.push_back(
        {LeaderEpoch(GetFixed<uint64_t>(&body[at])), Offset(GetFixed<int64_t>(&body[at + 8]))});
  }
  if (!log.Valid()) return Bad(part, "its list of epochs is not that of a log");
  return log;
}

// Which of a, b, c, d its kind has, as bits.
unsigned FieldsOf(uint8_t kind) {
  switch (kind) {
    case kHighWatermark:
      return 1;
    case kAppend:
    case kAcknowledgement:
      return 3;
    case kQuestion:
    case kAnswer:
    case kLost:
    case kAnew:
      return 15;
    default:
      return 0;
  }
}

absl::StatusOr<ReplicaPart> ToPart(size_t at, const Raw& raw, std::string_view body) {
  ReplicaPart part{raw.key, raw.epoch, RefusalPart{}};
  if (!body.empty() && raw.kind != kAppend && raw.kind != kQuestion)
    return Bad(at, "it has a body, and none of its kind has one");
  const unsigned set = (raw.a != 0 ? 1U : 0U) | (raw.b != 0 ? 2U : 0U) | (raw.c != 0 ? 4U : 0U) |
                       (raw.d != 0 ? 8U : 0U);
  if (raw.kind >= kAppend && raw.kind <= kAnew && (set & ~FieldsOf(raw.kind)) != 0)
    return Bad(at, "bytes that are to be zero are not");
  switch (raw.kind) {
    case kAppend:
      if (body.empty()) return Bad(at, "an append without a batch");
      if (!IsOffset(raw.a)) return Bad(at, "its high watermark is no offset");
      part.what = AppendPart{Offset(static_cast<int64_t>(raw.a)), raw.b, body};
      return part;
    case kHighWatermark:
      if (!IsOffset(raw.a)) return Bad(at, "its high watermark is no offset");
      part.what = HighWatermarkPart{Offset(static_cast<int64_t>(raw.a))};
      return part;
    case kAcknowledgement:
      if (!IsOffset(raw.b)) return Bad(at, "its position is no offset");
      part.what = isr::Acknowledgement{{}, raw.a, raw.epoch, Offset(static_cast<int64_t>(raw.b))};
      return part;
    case kQuestion: {
      ASSIGN_OR_RETURN(isr::LogEpochs log, ParseLog(at, raw, body));
      part.what = isr::ReconcileQuestion{raw.epoch, {}, raw.a, raw.b, std::move(log)};
      return part;
    }
    case kAnswer:
    case kLost:
    case kAnew:
      if (raw.c < 0 || raw.d < 0) return Bad(at, "its positions are no offsets");
      part.what = isr::ReconcileAnswer{raw.epoch,        raw.a,         raw.b,
                                       Offset(raw.c),    Offset(raw.d), raw.kind == kAnew,
                                       raw.kind == kLost};
      return part;
    case kRefusal:
      return part;
    default:
      return Bad(at, Concat("kind ", raw.kind, " is not known"));
  }
}

}  // namespace

void ReplicaFrameBuilder::AddAppend(PartitionKey key, LeaderEpoch epoch, Offset high_watermark,
                                    uint64_t number, Bytes batches) {
  BASCULE_CHECK(!batches.empty());
  BASCULE_CHECK_LE(batches.size(), UINT32_MAX);
  AppendRaw(table_, {kAppend, static_cast<uint32_t>(batches.size()), key, epoch,
                     static_cast<uint64_t>(high_watermark.value()), number, 0, 0});
  body_bytes_ += batches.size();
  bodies_.push_back(std::move(batches));
  ++parts_;
}

void ReplicaFrameBuilder::Add(const ReplicaPart& part) {
  BASCULE_CHECK(!std::holds_alternative<AppendPart>(part.what));
  Raw raw{kRefusal, 0, part.key, part.epoch, 0, 0, 0, 0};
  std::string body;
  if (const auto* high_watermark = std::get_if<HighWatermarkPart>(&part.what)) {
    raw.kind = kHighWatermark;
    raw.a = static_cast<uint64_t>(high_watermark->high_watermark.value());
  } else if (const auto* ack = std::get_if<isr::Acknowledgement>(&part.what)) {
    raw.kind = kAcknowledgement;
    raw.a = ack->incarnation;
    raw.b = static_cast<uint64_t>(ack->position.value());
  } else if (const auto* question = std::get_if<isr::ReconcileQuestion>(&part.what)) {
    raw.kind = kQuestion;
    raw.a = question->incarnation;
    raw.b = question->number;
    raw.c = question->log.start.value();
    raw.d = question->log.end.value();
    for (const EpochStart& start : question->log.epochs) {
      AppendFixed<uint64_t>(body, start.epoch.value());
      AppendFixed<int64_t>(body, start.start.value());
    }
  } else if (const auto* answer = std::get_if<isr::ReconcileAnswer>(&part.what)) {
    raw.kind = answer->lost ? kLost : answer->anew ? kAnew : kAnswer;
    raw.a = answer->incarnation;
    raw.b = answer->number;
    raw.c = answer->common_end.value();
    raw.d = answer->leader_start.value();
  }
  raw.body_bytes = static_cast<uint32_t>(body.size());
  AppendRaw(table_, raw);
  body_bytes_ += body.size();
  asked_ += body;
  if (!body.empty()) bodies_.push_back(Bytes(std::move(body)));
  ++parts_;
}

std::vector<Bytes> ReplicaFrameBuilder::Take() {
  BASCULE_CHECK_GT(parts_, 0U);
  std::string head(kMagic);
  head.push_back(static_cast<char>(kVersion));
  head.append(3, '\0');
  AppendFixed<uint32_t>(head, static_cast<uint32_t>(parts_));
  AppendFixed<uint32_t>(head, ExtendCrc32c(Crc32c(table_), asked_));
  head += table_;
  std::vector<Bytes> pieces;
  pieces.reserve(1 + bodies_.size());
  pieces.push_back(Bytes(std::move(head)));
  for (Bytes& body : bodies_) pieces.push_back(std::move(body));
  *this = ReplicaFrameBuilder();
  return pieces;
}

absl::StatusOr<std::vector<ReplicaPart>> ParseReplicaFrame(std::string_view frame) {
  const auto bad = [](std::string_view what) {
    return absl::InvalidArgumentError(Concat("replica frame: ", what));
  };
  if (frame.size() < kReplicaFrameHeadBytes || !frame.starts_with(kMagic)) return bad("it is none");
  if (static_cast<uint8_t>(frame[4]) != kVersion || frame[5] != 0 || frame[6] != 0 || frame[7] != 0)
    return bad("it is of another version");
  const size_t count = GetFixed<uint32_t>(&frame[8]);
  std::string_view rest = frame.substr(kReplicaFrameHeadBytes);
  if (count == 0 || count > rest.size() / kReplicaPartBytes) return bad("its parts are torn");
  const std::string_view table = rest.substr(0, count * kReplicaPartBytes);
  rest.remove_prefix(table.size());
  uint32_t crc = Crc32c(table);
  std::vector<std::pair<Raw, std::string_view>> raws;
  raws.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const Raw raw, ParseRaw(i, &table[i * kReplicaPartBytes]));
    if (raw.body_bytes > rest.size()) return Bad(i, "its body is torn");
    raws.emplace_back(raw, rest.substr(0, raw.body_bytes));
    if (raw.kind != kAppend) crc = ExtendCrc32c(crc, raws.back().second);
    rest.remove_prefix(raw.body_bytes);
  }
  if (!rest.empty()) return bad(Concat(rest.size(), " bytes follow its last part"));
  if (crc != GetFixed<uint32_t>(&frame[12])) return bad("its checksum does not hold");
  std::vector<ReplicaPart> parts;
  parts.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(ReplicaPart part, ToPart(i, raws[i].first, raws[i].second));
    parts.push_back(std::move(part));
  }
  return parts;
}

absl::StatusOr<std::vector<CheckedBatch>> CheckBatches(std::string_view batches, Offset base,
                                                       LeaderEpoch last, LeaderEpoch epoch) {
  std::vector<CheckedBatch> checked;
  while (!batches.empty()) {
    CheckedBatch batch;
    std::string_view payload;
    const wire::BatchParse parsed = wire::ParseBatch(batches, batch.header, payload);
    if (parsed != wire::BatchParse::kOk) {
      return absl::DataLossError(Concat("what should be the batch at offset ", base, " is ",
                                        parsed == wire::BatchParse::kTorn ? "torn"
                                        : parsed == wire::BatchParse::kCorrupt
                                            ? "changed on its way: its checksum fails"
                                            : "none"));
    }
    if (batch.header.base_offset != base) {
      return absl::DataLossError(
          Concat("a batch begins at offset ", batch.header.base_offset, ", due is ", base));
    }
    if (batch.header.leader_epoch > epoch || batch.header.leader_epoch < last) {
      return absl::DataLossError(Concat("the batch at offset ", base, " is of leader epoch ",
                                        batch.header.leader_epoch, ", behind ", last, " and in ",
                                        epoch));
    }
    last = batch.header.leader_epoch;
    base = batch.header.end();
    batch.bytes = batches.substr(0, batch.header.total_bytes());
    batches.remove_prefix(batch.bytes.size());
    checked.push_back(batch);
  }
  return checked;
}

}  // namespace bascule::partition
