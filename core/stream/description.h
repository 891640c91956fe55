// What a stream is: name, subject, partitions, where its replicas stand. Plain values, and the
// rules for names and subjects.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"
#include "core/stream/settings.h"

namespace bascule {

// What a creator asks for. Zero partitions are one.
struct StreamSpec {
  std::string name;
  std::string subject;
  std::string group;  // NATS queue group; empty = plain subscription
  int32_t partitions = 1;
  // -1 = every broker, 0 = left to the cluster (streams.replication.factor).
  int32_t replication_factor = 1;
  // The factor was left open by way of Liftbridge's contract, where that means one replica: more only
  // where streams.replication.factor names a number.
  bool one_replica_unless_set = false;
  StreamOverrides overrides;
};

// R7b: a member of ISR or ELR whose log may be shorter than it was, with the position that it
// registered with: epoch of its newest record, log end.
struct ReplicaDoubt {
  std::string broker;
  LeaderEpoch epoch;
  Offset end;
  bool operator==(const ReplicaDoubt&) const = default;
};

struct PartitionDescription {
  PartitionId id;
  std::string leader;  // broker id; empty while there is none
  LeaderEpoch leader_epoch;
  std::vector<std::string> replicas;
  std::vector<std::string> isr;
  std::vector<std::string> elr;  // eligible leader replicas: out of the ISR, holding all of it (R6)
  uint64_t version = 0;          // raised by every change of leader, ISR or ELR (R1b)
  std::vector<ReplicaDoubt> doubtful{};  // among ISR and ELR
  bool operator==(const PartitionDescription&) const = default;
};

struct StreamDescription {
  StreamId id;
  std::string name;
  std::string subject;
  std::string group;
  Timestamp created;
  StreamOverrides overrides;
  std::vector<PartitionDescription> partitions;  // ids 0..n-1 in order
};

// How many replicas a factor that was left open comes to. `setting`: streams.replication.factor;
// 0, automatic, is three where three brokers live, else one: two of two would not outlive either.
int32_t OpenReplicationFactor(const StreamSpec& spec, int32_t setting, int brokers);

// Applies the defaults (no partitions -> 1, no factor -> `open_factor`) and checks name, subject,
// counts and overrides in the wire contract's order, with its codes and texts: name, subject,
// reserved names, then what only we check (group, partitions, the length of what NATS is told,
// overrides), replication factor. `brokers` = servers in the cluster that live.
// Every error is InvalidArgument; `spec` may then be half normalized.
absl::Status NormalizeAndValidate(StreamSpec& spec, int brokers, int32_t open_factor = 1);

// Streams of the server itself, which clients cannot create or delete.
bool IsReservedStream(std::string_view name);

// A NATS subject to listen on: UTF-8 of at most limits::kMaxSubjectBytes without white space or
// control characters, no empty token, `>` only as the last token, `*` only alone in a token.
bool IsValidSubject(std::string_view subject);
bool HasWildcard(std::string_view subject);
// Whether `subject` (a concrete one) matches `pattern`. Both are valid subjects.
bool SubjectMatches(std::string_view pattern, std::string_view subject);

// The subject of one partition: the base subject for 0, "<subject>.<id>" above.
std::string PartitionSubject(std::string_view base, PartitionId id);

// Subjects that wildcards skip: below `ack_prefix` ("<namespace>.ack", with or without its last
// dot; empty = none), NATS inboxes and system subjects.
bool IsInternalSubject(std::string_view subject, std::string_view ack_prefix);

}  // namespace bascule
