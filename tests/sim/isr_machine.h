// A broker of the simulated partition: a disk, and while it is up a process with one of the
// product's LeaderReplica and FollowerReplica. What stands here is what the product does outside of
// these two: the log, its flushes and cuts, who is built when.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "replication/isr/follower_replica.h"
#include "replication/isr/leader_replica.h"
#include "tests/sim/isr_metadata.h"

namespace bascule::isr {

struct Record {
  LeaderEpoch epoch;
  uint64_t serial = 0;
  bool operator==(const Record&) const = default;
};
using Records = std::vector<Record>;

LogEpochs EpochsOf(const Records& records);
size_t CommonLength(const Records& a, const Records& b);

// What brokers tell one another, besides the product's own messages.
struct Frame {
  LeaderEpoch epoch;
  Offset base;
  Records records;
  Offset high_watermark;
};
struct Answered {
  ReconcileAnswer answer;
  Records log;  // of the leader when it answered: for the checks only
};

class IsrMachine {
 public:
  struct Options {
    int number = 0;
    Durability durability = Durability::kFsync;
    Duration max_lag{};
  };
  explicit IsrMachine(Options options) : options_(options) {}

  // --- a process ---
  // The one that registered as `incarnation` in the state of that index, which it has not looked at.
  void Start(Incarnation incarnation, size_t index);
  // `kept`: what the disk keeps of the log, at least what is durable. `high_watermark`: of the
  // stored ones, none of which is newer than the process's.
  void Crash(size_t kept, Offset high_watermark, bool torn);
  void LoseDisk(size_t kept) { Damage(kept), lost_ = true; }    // noticed, R6b
  void DamageTail(size_t kept) { Damage(kept), torn_ = true; }  // taken for a torn tail, R7b
  // What the next registration says; said once.
  struct Findings {
    bool lost = false;
    std::optional<ReplicaDoubt> doubt;
  };
  Findings TakeFindings();
  // Acts on a state of the metadata.
  void Enter(const MetadataState& state, size_t index, MonotonicTime now);

  bool up() const { return up_; }
  size_t seen() const { return seen_; }
  Incarnation incarnation() const { return incarnation_; }
  bool Acting() const { return leader_.has_value(); }
  bool resigned() const { return resigned_; }
  LeaderEpoch epoch() const { return epoch_; }
  int min_isr() const { return min_isr_; }
  const Records& log() const { return log_; }
  const Records& durable() const { return durable_; }
  Offset high_watermark() const { return high_watermark_; }
  Offset flushed() const { return flushed_; }
  // Raised where a log may be shorter than before: its high watermark may be, too.
  uint64_t reopened() const { return reopened_; }
  const LeaderReplica& leader() const { return *leader_; }
  const std::optional<FollowerReplica>& follower() const { return follower_; }
  const std::string& leader_name() const { return leader_name_; }
  // What it noticed that must never be.
  const std::optional<std::string>& complaint() const { return complaint_; }

  // --- its log ---
  bool CanFlush() const;
  bool flushing() const { return ticket_.has_value(); }
  void Append(uint64_t serial, MonotonicTime now);
  void StartFlush();
  void EndFlush();
  // R2a. `state`: the one it has seen.
  void FailSync(const MetadataState& state, MonotonicTime now);

  // --- messages ---
  Frame FrameAt(size_t base, size_t records) const;
  void OnFrame(const Frame& frame);
  bool MayAsk() const;
  ReconcileQuestion Ask() { return follower_->Ask(EpochsOf(log_)); }
  std::optional<Answered> OnQuestion(const ReconcileQuestion& question) const;
  enum class Reconciled { kNo, kFollows, kCut, kFlushedCut };
  Reconciled OnAnswer(const Answered& answered);
  std::optional<Acknowledgement> Acknowledge(bool again);
  void OnAcknowledged(const Acknowledgement& ack, MonotonicTime now);
  std::optional<IsrProposal> Propose(MonotonicTime now);
  bool proposing() const { return proposing_; }
  void ProposalEnded();
  // Mutant resp_bypass: the reply as if it were the delta.
  void BelieveReply(const MetadataState& state, MonotonicTime now);

 private:
  struct Ticket {
    uint64_t generation = 0;
    Records covered;
  };
  void Damage(size_t kept);
  void Lead(const MetadataState& state, MonotonicTime now);
  void Follow();
  void Cut(size_t end);
  void Note();
  Offset LogEnd() const { return Offset(static_cast<int64_t>(log_.size())); }

  const Options options_;
  // The disk, and the file as the process sees it: what is not durable may be gone after a crash.
  Records durable_;
  Records log_;
  Offset stored_high_watermark_;
  bool lost_ = false;
  bool torn_ = false;

  bool up_ = false;
  Incarnation incarnation_ = 0;
  size_t seen_ = 0;
  LeaderEpoch epoch_;
  std::string leader_name_;
  int min_isr_ = 1;
  Offset flushed_;
  Offset high_watermark_;
  std::optional<Ticket> ticket_;
  uint64_t generation_ = 0;  // R3b: of flush tickets
  uint64_t questions_ = 0;   // R3a: asked by this process so far
  bool resigned_ = false;
  bool proposing_ = false;
  uint64_t proposed_at_ = 0;  // the version that the newest proposal names
  uint64_t reopened_ = 0;
  std::optional<LeaderReplica> leader_;
  std::optional<FollowerReplica> follower_;
  std::map<std::string, Offset> kept_positions_;  // mutant keep_acks
  std::optional<std::string> complaint_;
};

}  // namespace bascule::isr
