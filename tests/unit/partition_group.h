// Replicas of one partition on machines of their own, with the lines between them; the test is the
// metadata.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "replication/partition/replica_switch.h"
#include "tests/unit/partition_world.h"

namespace bascule::partition {

inline constexpr PartitionKey kGroupKey{StreamId(7), PartitionId(0)};
inline constexpr char kGroupDirectory[] = "/data/streams/7/0";

// Lines that keep order, one frame at a time, and break when the test says so.
class GroupLines {
 public:
  explicit GroupLines(SimExecutor& wire) : wire_(wire) {}

  class End final : public ReplicaChannel {
   public:
    End(GroupLines& lines, PeerId self) : lines_(lines), self_(self) {}
    void CarryReplicas(ReplicaTraffic&) override {}
    void WakeReplicas(PeerId to, ReplicaLane lane) override { lines_.Wake(self_, to, lane); }

   private:
    GroupLines& lines_;
    const PeerId self_;
  };

  void Join(PeerId id, ReplicaTraffic& traffic) { traffic_[id] = &traffic; }
  void Cut(PeerId id) {
    cut_.insert(id);
    for (auto& [line, state] : up_) {
      if ((line.from == id || line.to == id) && std::exchange(state, false)) {
        ++breaks_[line];
        wire_.Post([this, at = line] { traffic_[at.from]->OnReplicaLineDown(at.to, at.lane); });
      }
    }
  }
  void Heal() {
    cut_.clear();
    for (const auto& [line, state] : up_) Wake(line.from, line.to, line.lane);
  }
  std::optional<PeerId> no_catch_up;  // no line of that lane to it comes to stand
  std::map<ReplicaLane, int> frames;  // delivered
  int high_watermarks = 0;            // of parts delivered, those that tell nothing else

 private:
  struct Line {
    PeerId from;
    PeerId to;
    ReplicaLane lane;
    auto operator<=>(const Line&) const = default;
  };
  void Wake(PeerId from, PeerId to, ReplicaLane lane) {
    const Line line{from, to, lane};
    wire_.Post([this, line] {
      const bool held_up = line.lane == ReplicaLane::kCatchUp && line.to == no_catch_up;
      if (held_up || cut_.contains(line.from) || cut_.contains(line.to)) {
        up_.emplace(line, false);
        return;
      }
      if (!std::exchange(up_[line], true)) traffic_[line.from]->OnReplicaLineUp(line.to, line.lane);
      if (!writing_[line]) Write(line);
    });
  }
  void Write(const Line& line) {
    std::vector<Bytes> pieces = traffic_[line.from]->NextFrame(line.to, line.lane);
    writing_[line] = !pieces.empty();
    if (pieces.empty()) return;
    std::string frame;
    for (const Bytes& piece : pieces) frame += piece.view();
    wire_.After(std::chrono::microseconds(100), [this, line, breaks = breaks_[line],
                                                 frame = std::move(frame)]() mutable {
      writing_[line] = false;
      if (breaks != breaks_[line] || !up_[line]) return;
      ++frames[line.lane];
      const auto parts = ParseReplicaFrame(frame);
      REQUIRE(parts.ok());
      for (const ReplicaPart& part : *parts)
        high_watermarks += std::holds_alternative<HighWatermarkPart>(part.what) ? 1 : 0;
      PeerIdentity from;
      from.id = line.from;
      from.server_id = Concat("b", line.from);
      traffic_[line.to]->OnReplicaFrame(from, line.lane, Bytes(std::move(frame)), nullptr);
      Write(line);
    });
  }

  SimExecutor& wire_;
  std::map<PeerId, ReplicaTraffic*> traffic_;
  std::map<Line, bool> up_;
  std::map<Line, bool> writing_;
  std::map<Line, int> breaks_;
  std::set<PeerId> cut_;
};

// Of what is posted, what the test holds back runs when it is let go.
class HeldPool final : public Executor {
 public:
  explicit HeldPool(SimExecutor& pool) : pool_(pool) {}
  void Post(Task task) override {
    if (!std::exchange(hold_next, false)) return pool_.Post(std::move(task));
    held.push_back(std::move(task));
  }
  bool TryPost(Task task) override { return pool_.TryPost(std::move(task)); }
  void After(Duration delay, Task task) override { pool_.After(delay, std::move(task)); }
  bool OnThisThread() const override { return pool_.OnThisThread(); }
  void LetGo() {
    for (Task& task : std::exchange(held, {})) pool_.Post(std::move(task));
  }
  bool hold_next = false;
  std::vector<Task> held;

 private:
  SimExecutor& pool_;
};

class GroupMachine final : private PartitionEvents {
 public:
  GroupMachine(SimScheduler& scheduler, SimClock& clock_in, GroupLines& lines, int number,
               StreamSettings settings_in)
      : id(Concat("b", number)),
        clock(clock_in),
        shard(scheduler.NewExecutor(Concat("shard of ", id))),
        pool(scheduler.NewExecutor(Concat("pool of ", id), {.order = TaskOrder::kAny})),
        fs(static_cast<uint64_t>(number)),
        sync(fs, held_pool, clock),
        acks([] { return Offset(); }),
        replicas({&shard}),
        channel(lines, PeerId(static_cast<uint64_t>(number))),
        settings(std::move(settings_in)) {
    lines.Join(PeerId(static_cast<uint64_t>(number)), replicas);
    BrokerLives lives;
    for (uint64_t n = 1; n <= 3; ++n) lives[Concat("b", n)] = {1, true, PeerId(n)};
    replicas.SetChannel(&channel);
    replicas.OnBrokers(lives);
    Start();
  }
  ~GroupMachine() override { partition->Close(absl::UnavailableError("the test is over")); }

  void Start(std::optional<log::KnownEnd> known_end = std::nullopt) {
    PartitionOptions options;
    options.key = kGroupKey;
    options.stream = "orders";
    options.base_subject = "orders.in";
    options.created = clock.Wall();
    options.settings = settings;
    options.broker = id;
    options.incarnation = 1;
    options.max_lag = std::chrono::seconds(15);
    options.max_message_bytes = size_t{1} << 20;
    options.in_flight_records = in_flight_records;
    partition = std::make_shared<Partition>(
        PartitionEnvironment{
            {fs, clock, shard, held_pool, budget}, sync, acks, feeds, *this, replicas, disk_full},
        std::move(options));
    replicas.Enter(partition);
    Open(known_end);
  }
  void Open(std::optional<log::KnownEnd> known_end = std::nullopt) {
    auto recovered = log::RecoverLog(
        fs, {kGroupDirectory, kGroupKey.stream, kGroupKey.partition, point, known_end, true});
    REQUIRE_MESSAGE(recovered.ok(), recovered.status().ToString());
    partition->Open(*std::move(recovered));
  }
  // Every record that stands in the log's files, sound batches only.
  std::vector<std::string> Records() {
    std::vector<std::string> records;
    const auto entries = fs.List(kGroupDirectory);
    REQUIRE(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      if (!log::ParseSegmentFileName(entry.name)) continue;
      const std::string bytes = fs.VisibleBytes(JoinPath(kGroupDirectory, entry.name));
      WalkBatches(std::string_view(bytes).substr(log::kSegmentHeaderBytes),
                  [&](const wire::BatchHeader& header, std::string_view payload) {
                    PartitionContent content;
                    content.Take(header, payload);
                    for (const auto& [offset, value] : content.messages)
                      records.push_back(Concat(offset, "@", header.leader_epoch, "=", value));
                  });
    }
    return records;
  }

  const std::string id;
  SimClock& clock;
  SimExecutor& shard;
  SimExecutor& pool;
  HeldPool held_pool{pool};
  SimFileSystem fs;
  log::TailCacheBudget budget{64 * 1024};
  log::SyncScheduler sync;
  RecordingAcks acks;
  FakeFeeds feeds;
  ReplicaSwitch replicas;
  GroupLines::End channel;
  std::atomic<bool> disk_full{false};
  StreamSettings settings;
  size_t in_flight_records = limits::kPartitionInFlightRecords;  // from the next Start on
  std::optional<log::RecoveryPoint> point;
  std::vector<isr::IsrProposal> proposals;
  bool hold_proposals = false;  // nobody hears what became of them before the test says so
  std::vector<absl::AnyInvocable<void()>> proposals_end;
  int failures = 0;
  std::shared_ptr<Partition> partition;

 private:
  void OnDurable() override {}
  void OnFailed(PartitionKey, Offset, const absl::Status&) override { ++failures; }
  void LowerPoint(PartitionKey, log::RecoveryPoint lower,
                  absl::AnyInvocable<void(absl::Status)> done) override {
    point = std::move(lower);
    done(absl::OkStatus());
  }
  void ProposeIsr(PartitionKey, isr::IsrProposal proposal,
                  absl::AnyInvocable<void()> ended) override {
    proposals.push_back(std::move(proposal));
    if (hold_proposals) return proposals_end.push_back(std::move(ended));
    ended();
  }
};

class PartitionGroup {
 public:
  explicit PartitionGroup(StreamSettings settings = {}, uint64_t seed = 1)
      : scheduler(clock, seed), wire(scheduler.NewExecutor("wire")), lines(wire) {
    for (int n = 1; n <= 3; ++n)
      machines.push_back(std::make_unique<GroupMachine>(scheduler, clock, lines, n, settings));
  }
  ~PartitionGroup() {
    machines.clear();
    scheduler.DropAll();
  }
  GroupMachine& operator[](int number) { return *machines[static_cast<size_t>(number - 1)]; }

  // Machine `leader` leads `epoch`, with that ISR; the others follow.
  void Elect(int leader, uint64_t epoch, const std::set<int>& isr, int min_isr = 2,
             const std::set<int>& out = {}) {
    view = {++version, min_isr, {}};
    for (int n = 1; n <= 3; ++n)
      view.replicas.push_back({Concat("b", n), 1, true, isr.contains(n), false});
    for (int n = 1; n <= 3; ++n) {
      if (out.contains(n)) continue;
      if (n == leader) {
        (*this)[n].partition->Lead(LeaderEpoch(epoch), view);
      } else {
        (*this)[n].partition->Follow(LeaderEpoch(epoch), Concat("b", leader), isr.contains(n));
      }
    }
  }
  void Publish(int leader, const std::vector<TestMessage>& messages) {
    Deliver(*(*this)[leader].partition, messages);
  }
  void Run(Duration time = std::chrono::milliseconds(100)) { scheduler.RunFor(time); }
  PartitionStatus Status(int number) {
    const auto status = Ask<absl::StatusOr<PartitionStatus>>(
        scheduler, [&](auto done) { (*this)[number].partition->Describe(std::move(done)); });
    REQUIRE_MESSAGE(status.ok(), status.status().ToString());
    return *status;
  }

  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& wire;
  GroupLines lines;
  std::vector<std::unique_ptr<GroupMachine>> machines;
  isr::PartitionView view;
  uint64_t version = 0;
};

}  // namespace bascule::partition
