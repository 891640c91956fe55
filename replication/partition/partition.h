// One partition: its log, its role, and those who wait for it. Lives on one shard for life and
// needs no mutex; foreign threads come in through PartitionPort, which posts.
//
//   nats_bridge             shard                                        sync pool
//   IngestQueue::Drain ───► Enqueue(record)…, AppendPending()
//                             CommitLog::Append ─ page cache; LeaderReplica::OnAppended
//                             StartFlush ─ CommitLog::TakeFlush ───────► SyncScheduler::Flush
//                             OnFlushed(ticket) ◄────────────────────────
//                              LeaderReplica::OnFlushed -> high watermark
//                              PendingAcks::Release ───► AckSink::Send
//                              CommitWatch::Notify ───► parked Read callbacks ───► SubscribeSession
//
// With other replicas (partition_replicate.cc, partition_follow.cc):
//
//   leader                                             follower
//   after each Append: Pump ── append ─ tail line ───► TakeAppend: Append, StartFlush
//   OnAcknowledged ◄────────── acknowledgement ─────── flushed
//   (what is not in memory: disk pool ─ catch-up line)
//
// What the shard shows: kOpening (no role yet), kLeading, kFollowing (R3, then appends what the leader
// sends), kStandby (nobody leads, or another whom we have not begun to follow: nothing is appended,
// acknowledged or read), kFailed (a disk error ended the role: nothing is appended, reads go on where
// there is a log that was led), kClosed. Whether the log is to be trusted is the log's own to say, in
// every state. What follows from all this is partition_life.h's.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/base/check.h"
#include "core/env/timer.h"
#include "core/log/commit_log.h"
#include "core/ports/ack_sink.h"
#include "core/ports/ingress.h"
#include "core/ports/partition_port.h"
#include "core/ports/subject_feeds.h"
#include "core/stream/description.h"
#include "replication/isr/follower_replica.h"
#include "replication/isr/leader_replica.h"
#include "replication/partition/commit_watch.h"
#include "replication/partition/pending_acks.h"
#include "replication/partition/replica_switch.h"

namespace bascule::partition {

struct PartitionOptions {
  PartitionKey key;
  std::string stream;
  std::string base_subject;
  std::string group;
  Timestamp created;
  StreamSettings settings;
  std::string broker;                // our id
  isr::Incarnation incarnation = 0;  // of this process
  Duration max_lag{};                // R8
  Duration max_silence = Duration::max();
  size_t max_message_bytes = limits::kDefaultMessageBytes;
  size_t in_flight_records = limits::kPartitionInFlightRecords;  // other bounds in tests
};

// What is said while the newest timestamp of a log is `ahead` of the clock.
std::string ClockBehind(Duration ahead);

// What its partitions tell the owner. Called on the shard.
class PartitionEvents {
 public:
  virtual ~PartitionEvents() = default;
  // Something became durable: the recovery point has moved.
  virtual void OnDurable() = 0;
  // Its log is trusted no more, whatever its role: everything below `durable_end` is safe. Once per
  // log.
  virtual void OnFailed(PartitionKey key, Offset durable_end, const absl::Status& why) = 0;
  // Its log is about to become shorter: `done` runs on the shard when no higher point than `point` is
  // on the disk.
  virtual void LowerPoint(PartitionKey key, log::RecoveryPoint point,
                          absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Asks for another ISR; `ended` runs on the shard (IsrRequests).
  virtual void ProposeIsr(PartitionKey key, isr::IsrProposal proposal,
                          absl::AnyInvocable<void()> ended) = 0;
};

struct PartitionEnvironment {
  log::LogEnvironment log;
  log::SyncScheduler& sync;
  AckSink& acks;
  SubjectFeeds& feeds;
  PartitionEvents& events;
  ReplicaSwitch& replicas;
  const std::atomic<bool>& disk_full;  // free space is below the reserve
};

class Partition final : public PartitionPort,
                        public PartitionIngress,
                        public ReplicaPort,
                        public std::enable_shared_from_this<Partition> {
 public:
  Partition(PartitionEnvironment env, PartitionOptions options);
  ~Partition() override;

  // --- on the shard, called by the owner ---
  // Takes a log over, and has no role in it yet; from now on it is cleaned in every interval in
  // which it is led. What the log held before ended further on is
  // reported as a gap once it may be appended to. A log before it is at rest (Rest).
  void Open(log::RecoveredLog recovered);
  // Leads `epoch`, in whose ISR we are. A log that is trusted no more is not led: OnFailed has told.
  void Lead(LeaderEpoch epoch, const isr::PartitionView& view);
  // What the metadata says within `epoch`; of no interest to who does not lead it.
  void OnView(LeaderEpoch epoch, const isr::PartitionView& view);
  // Leads or follows no more: the tap is closed, reads end, publishers who wait are told that the
  // outcome is unknown (R14).
  void StandBy();
  // Follows `leader` in `epoch`. As Lead, it begins when a cut that is under way has ended.
  // `counted`: metadata has this replica in the ISR or the ELR; it says so again when that changes.
  void Follow(LeaderEpoch epoch, const std::string& leader, bool counted);
  void OnCounted(bool counted);
  // `done` runs when no pool works on the log's files, with what a log that failed is known to have
  // reached; none for a sound one. Under `os` that is all that was appended: nobody was promised
  // the disk, and what the page cache shows goes on being served.
  void Rest(absl::AnyInvocable<void(std::optional<log::KnownEnd>)> done);
  // Other settings for the same stream: each counts from now on, in the open tap too, but for the
  // durability, which counts from the next epoch on, and for min ISR, which comes with a view.
  void Reconfigure(const StreamSettings& settings);
  // Opens the tap; `listening` as in SubjectFeeds. With `away`: nobody listened since the newest
  // record, which a gap record says once the tap is open (C4).
  enum class Since { kCreation, kAway };
  void Listen(Since since, absl::AnyInvocable<void(absl::Status)> listening);
  // Stops the tap, appends what was heard, waits until all of it is durable and its acks are sent
  // (or the disk fails), then runs `done` on the shard. Any thread.
  void Drain(absl::AnyInvocable<void()> done);
  // Ends reads with `why`, stops the tap and the cleaning. Acks still due are not sent. `closed` runs when no pool
  // works on the log's files any more. Idempotent.
  void Close(
      const absl::Status& why, absl::AnyInvocable<void()> closed = [] {});
  // Why it cannot be opened: shown to whoever asks, reads end with it.
  void FailOpening(absl::Status why);
  // The durable facts of the log, if there is one.
  std::optional<log::RecoveryPoint> Point();
  bool failed() const { return state_ == State::kFailed; }
  void OnIdleTick();   // every few seconds: under `os` the background sync; gives unused space back
  void OnDiskSpace();  // env.disk_full has changed
  const PartitionOptions& options() const { return options_; }
  Executor& shard() { return env_.log.shard; }
  // State, log, replica and waiters against one another. Run where roles change and every idle
  // tick, not per message.
  void CheckInvariants() const;

  // --- PartitionIngress: on the shard ---
  void Enqueue(const std::shared_ptr<const IngressBatch>& batch,
               const IngressRecord& record) override;
  void AppendPending() override;
  void RecordGap(const GapReport& gap) override;

  // --- ReplicaPort: on the shard ---
  PartitionKey key() const override { return options_.key; }
  void OnReplicaPart(const std::shared_ptr<const IncomingFrame>& frame,
                     const ReplicaPart& part) override;
  void EndOfFrame() override;
  void OnLine(const std::string& broker, ReplicaLane lane, bool up) override;
  void OnReplicaTick() override;

  // --- PartitionPort: any thread ---
  void Locate(const StartPosition& start, const StopPosition& stop, Direction direction,
              absl::AnyInvocable<void(absl::StatusOr<ReadRange>)> done) override;
  void Read(const ReadRequest& request,
            absl::AnyInvocable<void(absl::StatusOr<ReadChunk>)> done) override;
  void CancelRead(ReaderId reader) override;
  void Describe(absl::AnyInvocable<void(absl::StatusOr<PartitionStatus>)> done) override;
  void ListGaps(Offset from, size_t most,
                absl::AnyInvocable<void(absl::StatusOr<GapPage>)> done) override;

 private:
  enum class State { kOpening, kLeading, kDeposed, kFollowing, kStandby, kFailed, kClosed };
  using ReadDone = absl::AnyInvocable<void(absl::StatusOr<ReadChunk>)>;
  using GapsDone = absl::AnyInvocable<void(absl::StatusOr<GapPage>)>;
  using LocateDone = absl::AnyInvocable<void(absl::StatusOr<ReadRange>)>;
  struct PendingRecord {
    std::shared_ptr<const IngressBatch> batch;
    const IngressRecord* record;
  };
  struct Reader {
    log::ReadPlace place;
  };
  // What one follower is sent.
  struct Outgoing {
    std::shared_ptr<ReplicaLink> link;
    isr::Incarnation incarnation = 0;
    uint64_t number = 0;  // of the question that was answered; with 0 it is sent nothing
    uint64_t serial =
        0;  // of the answer, in this process: what was begun for another is not for this one
    bool unread = false;  // what it lacks could not be read; it is tried again at the next tick
    std::optional<Offset> next;  // what it is sent next; none until its log is in line with ours
    bool answered = false;       // and `next` comes with its first acknowledgement (R3c)
    Offset confirmed;            // it has all below, durably
    ReplicaLane lane = ReplicaLane::kTail;
    bool reading = false;  // on the disk pool
    bool waits = false;    // for room on the line
    log::ReadPlace place;
    Offset told;  // high watermark
    std::optional<isr::ReconcileQuestion>
        early;  // of an epoch or a life that is not known here yet
  };
  struct Incoming {
    std::shared_ptr<const IncomingFrame> frame;
    const ReplicaPart* part;
  };
  // A role that came while the log was being cut.
  struct NextRole {
    LeaderEpoch epoch;
    std::string leader;                      // to follow; empty: to lead
    bool counted = false;                    // of one to follow
    std::optional<isr::PartitionView> view;  // to lead
  };

  void CheckOnShard() const { BASCULE_CHECK(env_.log.shard.OnThisThread()); }

  void Reign(LeaderEpoch epoch, const isr::PartitionView& view, Offset high_watermark);
  void CleanEvery(std::chrono::milliseconds interval);
  void Clean();

  // Appending (partition_append.cc)
  bool MayAppend() const;
  Timestamp NoteClock();
  void BeginBatch(Timestamp now, uint8_t attributes);
  void TakePending(Timestamp now);
  bool AppendBatch();
  bool AppendGap();
  bool OnAppendError(const absl::Status& error);
  std::optional<AckError> Refusal(const PendingRecord& pending, Offset next) const;
  void RefuseOne(const PendingRecord& pending, AckError error, Timestamp now);
  void RefusePending();
  void NoteMissed(uint64_t count, Timestamp now);
  void StartFlush();
  void OnFlushed(const absl::Status& flushed);
  void OnLogReady();
  void Advance(std::optional<Offset> high_watermark);
  void Fail(const absl::Status& why);
  void PostDrained();
  void RunDrained();

  // Roles
  void TakeLog(log::RecoveredLog recovered);
  bool Defer(NextRole next);
  void TakeNextRole();
  void TakeDurability();
  void Depose();
  void EndRole(absl::Status why);
  Offset KnownHighWatermark() const;
  Offset Committed() const;

  // Sending to followers (partition_replicate.cc)
  void NoteReplicas(const isr::PartitionView& view);
  void PumpAll();
  void Pump(Outgoing& out);
  bool MaySend(Outgoing& out, ReplicaLane lane) const;
  void WaitForRoom(Outgoing& out);
  Duration CatchUpPause(size_t bytes) const;
  void ReadBehind(Outgoing& out);
  void OnReadBehind(const std::string& broker, uint64_t serial,
                    absl::StatusOr<log::SegmentReadResult> result,
                    const log::SegmentReadPlan& plan);
  void SendBehind(const std::string& broker, uint64_t serial, const log::SegmentReadResult& result);
  Outgoing* OutgoingTo(const std::string& broker, uint64_t serial);
  void TellHighWatermarkSoon();
  void TellHighWatermark();
  void OnAcknowledgement(const std::string& from, isr::Acknowledgement ack);
  void OnQuestion(const std::string& from, isr::ReconcileQuestion question);
  void AnswerEarly();
  void OnRefusal(const std::string& from, LeaderEpoch epoch);
  void ProposeIsr();

  // Following (partition_follow.cc)
  void BeginEpoch(LeaderEpoch epoch, Offset high_watermark);
  void FollowDamaged(NextRole role);
  void Ask();
  void AskAnew(std::string_view why);
  void AskLater(std::string_view why);
  void DropIncoming();
  void OnAnswer(const isr::ReconcileAnswer& answer);
  void BeginCut(Offset to);
  void BeginAnew(Offset at, std::string_view why);
  void OnCutEnded(const absl::Status& status);
  void Diverge(const std::string& why);
  void TakeAppend(const std::shared_ptr<const IncomingFrame>& frame, const ReplicaPart& part);
  void AppendIncoming();
  enum class Taken { kAll, kWait, kDropped };
  Taken AppendOne(const Incoming& incoming);
  absl::Status RollAndAppend(const IncomingFrame& frame, const CheckedBatch& batch, bool& wait);
  void SendAcknowledgement();
  isr::LogEpochs OwnEpochs() const;

  // Reading (partition_read.cc)
  void DoLocate(const StartPosition& start, const StopPosition& stop, Direction direction,
                LocateDone done);
  void WithTimestamps(
      const StartPosition& start, const StopPosition& stop,
      absl::AnyInvocable<void(absl::StatusOr<Offset>, absl::StatusOr<Offset>)> then);
  void FindOffset(Timestamp timestamp, absl::AnyInvocable<void(absl::StatusOr<Offset>)> then);
  absl::StatusOr<ReadRange> Range(const StartPosition& start, const StopPosition& stop,
                                  Direction direction, Offset start_by_time,
                                  Offset stop_by_time) const;
  void DoRead(const ReadRequest& request, ReadDone done);
  Offset StartLimit() const;
  void DoListGaps(Offset from, size_t most, GapsDone done);
  void FinishRead(const ReadRequest& request, log::SegmentReadResult result, ReadDone done);
  static absl::Status Moved();
  absl::Status NotServing(bool any_replica) const;
  absl::Status NoteDamage(absl::Status status);
  PartitionStatus Status() const;

  PartitionEnvironment env_;
  PartitionOptions options_;  // all but the settings for life
  std::optional<Durability> next_durability_;
  Offset acked_unsynced_;  // everything below may have been acked under `os`, before this epoch
  State state_ = State::kOpening;
  absl::Status why_;  // of kStandby, kFailed and kClosed
  std::shared_ptr<log::CommitLog> log_;
  std::shared_ptr<log::CommitLog> closing_;    // what was log_, till the pools are done with it
  bool failure_told_ = false;                  // of log_
  std::optional<isr::LeaderReplica> replica_;  // of the last epoch that was led, until another role
  std::optional<isr::FollowerReplica> follower_;
  std::shared_ptr<ReplicaLink> leader_;       // whom it follows
  uint64_t questions_ = 0;                    // asked, ever
  uint64_t answers_ = 0;                      // given, ever
  std::deque<Incoming> incoming_;             // appends that wait for a place in the log
  bool asked_anew_ = false;                   // since the last tick
  bool no_room_ = false;                      // there was none for what it sent, and that was said
  std::string diverged_;                      // R9: why; empty: it has not
  Offset high_watermark_;                     // of the roles before this one
  std::map<std::string, Outgoing> outgoing_;  // to each other replica, while it leads
  std::optional<NextRole> next_role_;
  std::optional<NextRole> uncounted_role_;  // to follow with a damaged log, once it does not count
  bool draining_ = false;
  std::unique_ptr<SubjectFeed> feed_;
  PendingAcks acks_;
  CommitWatch watch_;
  std::map<ReaderId, Reader> readers_;

  std::deque<PendingRecord> pending_;
  std::deque<GapReport> pending_gaps_;
  wire::BatchBuilder builder_;
  std::vector<PendingRecord> in_batch_;  // of the batch being built

  // Messages that were heard but could not be written, until a gap record says so.
  uint64_t missed_ = 0;
  Timestamp missed_from_;
  Timestamp missed_to_;

  uint64_t messages_received_ = 0;
  uint64_t messages_refused_ = 0;
  Timestamp latest_received_;
  Offset inherited_end_;     // of the log when this reign began
  std::string damage_read_;  // what the last reader that met damage was told; empty: nobody has
  int find_retries_ = 0;
  absl::Status listening_;  // of the feed, as far as known
  bool appended_since_tick_ = false;
  uint64_t appended_bytes_ = 0;   // as a leader, since the last replica tick
  uint64_t appended_lately_ = 0;  // between the two before
  bool took_over_ = false;        // led from what another broker led before
  bool clock_behind_ = false;     // the newest timestamp is ahead of it, and that was said
  std::vector<absl::AnyInvocable<void()>>
      drained_;  // run when nothing is pending or unsynced any more
  // From Open to Close: on the shard, while the last to let go of us may be elsewhere.
  Timer clean_timer_{env_.log.shard};
  Timer tell_timer_{env_.log.shard};  // the high watermark, to followers that nothing else goes to
};

}  // namespace bascule::partition
