// How a follower's log is brought in line with its leader's before anything else happens in an
// epoch (R3 to R3c): one question, one answer. Plain values; whatever carries them keeps neither
// order nor number.
#pragma once

#include <string>

#include "replication/isr/log_epochs.h"
#include "replication/isr/partition_view.h"

namespace bascule::isr {

struct ReconcileQuestion {
  LeaderEpoch epoch;
  std::string broker;
  Incarnation incarnation = 0;
  uint64_t number = 0;  // of the process's questions: an answer is good for one (R3a)
  LogEpochs log;        // the follower's, to its end, flushed or not
};

struct ReconcileAnswer {
  LeaderEpoch epoch;
  Incarnation incarnation = 0;  // whose question
  uint64_t number = 0;
  // Where the follower's log is to end: CommonEnd of both, and not before its own start.
  Offset common_end;
  Offset leader_start;
  // That is before `leader_start`, and what is between them the leader has not got any more: the
  // follower begins anew there.
  bool anew = false;
  // The follower's log ends before what it has acknowledged in this epoch: it has lost data (R9).
  bool lost = false;
};

// A position that a follower has made durable (under `os`: appended), for its leader.
struct Acknowledgement {
  std::string broker;
  Incarnation incarnation = 0;
  LeaderEpoch epoch;
  Offset position;
};

// A change of the ISR, for the metadata to carry out or to refuse as a whole.
struct IsrProposal {
  struct Member {
    std::string broker;
    Incarnation incarnation = 0;  // R1c
    bool operator==(const Member&) const = default;
  };
  LeaderEpoch epoch;
  uint64_t version = 0;  // R1b: of the partition it was made from
  std::vector<Member> isr;
  // Doubtful members that are as good as new ones now (R7b); among `isr`.
  std::vector<std::string> verified;
};

}  // namespace bascule::isr
