#include "core/wire/ack.h"

#include "core/base/check.h"
#include "core/wire/coding.h"

namespace bascule::wire {
namespace {

// Field numbers of proto.Ack; those of the protocol are all below 16, so that every tag is one byte.
enum AckField : uint32_t {
  kStream = 1,
  kPartitionSubject = 2,
  kMsgSubject = 3,
  kOffset = 4,
  kAckInbox = 5,
  kCorrelationId = 6,
  kAckPolicy = 7,
  kReceptionTimestamp = 8,
  kCommitTimestamp = 9,
  kAckError = 10,
  kStreamId = 1000,
  kStreamCreated = 1001,
  kPartition = 1002,
  kLeaderEpoch = 1003,
  kOutcomeUnknown = 1004,
};
constexpr size_t kOwnTagBytes = 2;

char* PutString(char* out, AckField field, std::string_view text) {
  if (text.empty()) return out;
  *out++ = static_cast<char>(Tag(field, kLengthDelimited));
  out = PutVarint(out, text.size());
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* PutNumber(char* out, AckField field, uint64_t number) {
  if (number == 0) return out;
  *out++ = static_cast<char>(Tag(field, kVarint));
  return PutVarint(out, number);
}

char* PutOwnNumber(char* out, AckField field, uint64_t number) {
  if (number == 0) return out;
  out = PutVarint(out, Tag(field, kVarint));
  return PutVarint(out, number);
}

void SetNumber(AckView& ack, uint32_t field, uint64_t number) {
  switch (field) {
    case kOffset:
      ack.offset = static_cast<int64_t>(number);
      break;
    case kAckPolicy:  // an enum is an int32: the upper bits that a varint can hold are dropped
      ack.ack_policy = static_cast<uint64_t>(static_cast<int32_t>(number));
      break;
    case kReceptionTimestamp:
      ack.reception_timestamp = static_cast<int64_t>(number);
      break;
    case kCommitTimestamp:
      ack.commit_timestamp = static_cast<int64_t>(number);
      break;
    case kAckError:
      ack.ack_error = static_cast<uint64_t>(static_cast<int32_t>(number));
      break;
    case kStreamId:
      ack.stream_id = number;
      break;
    case kStreamCreated:
      ack.stream_created = static_cast<int64_t>(number);
      break;
    case kPartition:
      ack.partition = static_cast<int32_t>(number);
      break;
    case kLeaderEpoch:
      ack.leader_epoch = number;
      break;
    case kOutcomeUnknown:
      ack.outcome_unknown = number != 0;
      break;
    default:
      break;
  }
}

std::string_view* StringOf(AckView& ack, uint32_t field) {
  switch (field) {
    case kStream:
      return &ack.stream;
    case kPartitionSubject:
      return &ack.partition_subject;
    case kMsgSubject:
      return &ack.message_subject;
    case kAckInbox:
      return &ack.ack_inbox;
    case kCorrelationId:
      return &ack.correlation_id;
    default:
      return nullptr;
  }
}

}  // namespace

void AppendAck(std::string& out, const AckView& ack) {
  // The most it can take: ten tags and five of ours, as many varints, and the texts.
  const size_t most = 10 * (1 + kMaxVarintBytes) + 5 * (kOwnTagBytes + kMaxVarintBytes) +
                      ack.stream.size() + ack.partition_subject.size() +
                      ack.message_subject.size() + ack.ack_inbox.size() + ack.correlation_id.size();
  const size_t begin = out.size();
  out.resize(begin + most);
  char* p = out.data() + begin;
  p = PutString(p, kStream, ack.stream);
  p = PutString(p, kPartitionSubject, ack.partition_subject);
  p = PutString(p, kMsgSubject, ack.message_subject);
  p = PutNumber(p, kOffset, static_cast<uint64_t>(ack.offset));
  p = PutString(p, kAckInbox, ack.ack_inbox);
  p = PutString(p, kCorrelationId, ack.correlation_id);
  p = PutNumber(p, kAckPolicy, ack.ack_policy);
  p = PutNumber(p, kReceptionTimestamp, static_cast<uint64_t>(ack.reception_timestamp));
  p = PutNumber(p, kCommitTimestamp, static_cast<uint64_t>(ack.commit_timestamp));
  p = PutNumber(p, kAckError, ack.ack_error);
  p = PutOwnNumber(p, kStreamId, ack.stream_id);
  p = PutOwnNumber(p, kStreamCreated, static_cast<uint64_t>(ack.stream_created));
  p = PutOwnNumber(p, kPartition, static_cast<uint64_t>(int64_t{ack.partition}));
  p = PutOwnNumber(p, kLeaderEpoch, ack.leader_epoch);
  p = PutOwnNumber(p, kOutcomeUnknown, ack.outcome_unknown ? 1 : 0);
  const auto end = static_cast<size_t>(p - out.data());
  BASCULE_CHECK_LE(end, begin + most);
  out.resize(end);
}

bool ParseAck(std::string_view in, AckView& ack) {
  ack = AckView();
  Field field;
  while (!in.empty()) {
    if (!TakeField(in, field)) return false;
    if (field.type == kVarint) {
      SetNumber(ack, field.field, field.number);
    } else if (field.type == kLengthDelimited) {
      std::string_view* text = StringOf(ack, field.field);
      if (text == nullptr) continue;
      if (!IsValidUtf8(field.bytes)) return false;
      *text = field.bytes;
    }
  }
  return true;
}

}  // namespace bascule::wire
