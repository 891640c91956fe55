// proto.Ack, hand-written for the ack path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bascule::wire {

struct AckView {
  std::string_view stream;
  std::string_view partition_subject;
  std::string_view message_subject;
  int64_t offset = 0;
  std::string_view ack_inbox;
  std::string_view correlation_id;
  uint64_t ack_policy = 0;
  int64_t reception_timestamp = 0;
  int64_t commit_timestamp = 0;
  uint64_t ack_error = 0;
  // Ours, between brokers: which partition of which cluster answered, under which leadership. Two
  // clusters on one NATS may have streams of one name; no two have one id made at one time.
  uint64_t stream_id = 0;
  int64_t stream_created = 0;
  int32_t partition = 0;
  uint64_t leader_epoch = 0;
  bool outcome_unknown = false;  // with an error: it may have been stored
};

// Default values are left away, as libprotobuf does. Strings must be UTF-8.
void AppendAck(std::string& out, const AckView& ack);
// False where libprotobuf would refuse.
bool ParseAck(std::string_view in, AckView& ack);

}  // namespace bascule::wire
