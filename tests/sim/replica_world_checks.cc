// What readers of simulated replicas are shown, and what must hold when all is well again.
#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "core/log/segment_format.h"
#include "tests/sim/replica_world.h"

namespace bascule {
namespace {

constexpr size_t kChunkBytes = 8192;
constexpr std::chrono::seconds kParked{3};     // then a subscriber asks another replica
constexpr std::chrono::seconds kHealing{60};   // until all is in sync
constexpr std::chrono::seconds kAnswered{10};  // until what is published then is acked
constexpr std::chrono::milliseconds kGlance{500};

}  // namespace

// Reads on for ever, wherever it is served. Holds no partition: those end with their broker.
struct ReplicaWorld::Subscriber {
  Target target;
  Offset next;
  std::weak_ptr<PartitionPort> port;
  std::string broker;
  bool any_replica = false;
  ReaderId reader;
  uint64_t asked = 0;  // of the read that is under way; 0: none is
  uint64_t asks = 0;
  MonotonicTime since;
};

// One look at what a replica shows.
struct ReplicaWorld::Look {
  Target target;
  uint64_t machine = 0;
  std::string by;
  std::weak_ptr<PartitionPort> port;
  ReaderId reader;
  bool whole = false;  // all of it, and it has to succeed
  bool leads = false;
  Offset at;
  Offset end;
};

void ReplicaWorld::ReadAll() {
  for (std::shared_ptr<Subscriber>& subscriber : subscribers_) {
    if (subscriber != nullptr && client_.MustBe().contains(subscriber->target.stream)) {
      ReadOn(subscriber);
      continue;
    }
    subscriber = nullptr;
    const auto target = AnyPartition();
    if (!target) continue;
    subscriber = std::make_shared<Subscriber>();
    subscriber->target = *target;
  }
}

void ReplicaWorld::ReadOn(const std::shared_ptr<Subscriber>& subscriber) {
  Subscriber& me = *subscriber;
  const MonotonicTime now = kernel_.clock().Monotonic();
  auto port = me.port.lock();
  const bool waits = me.asked != 0 && port != nullptr && Between(me.since, now) < kParked;
  if (waits || checker_.IsForgotten(me.target.subject)) return;
  if (me.asked != 0 || port == nullptr) {
    if (port != nullptr) port->CancelRead(me.reader);
    port.reset();
    me.asked = 0;
    BrokerProcess* broker = nullptr;
    const uint64_t first = Draw(1, kernel_.size());
    for (uint64_t i = 0; i < kernel_.size() && port == nullptr; ++i) {
      broker = At((first + i) % kernel_.size() + 1);
      port = broker == nullptr ? nullptr : broker->Holding(me.target.stream, me.target.partition);
    }
    me.port = port;
    if (port == nullptr) return;
    me.broker = broker->name();
    me.any_replica = !OneIn(3);
    me.reader = ReaderId(++readers_);
  }
  me.asked = ++me.asks;
  me.since = now;
  port->Read({me.reader, Direction::kForward, me.next, kChunkBytes, me.any_replica},
             [this, subscriber, asked = me.asked](const absl::StatusOr<ReadChunk>& chunk) {
               Subscriber& here = *subscriber;
               if (here.asked != asked) return;
               if (!chunk.ok()) {
                 const bool there = client_.MustBe().contains(here.target.stream) &&
                                    !checker_.IsForgotten(here.target.subject);
                 if (there && absl::IsDataLoss(chunk.status()))
                   Fail(Concat("reading ", here.target.subject, ": ", chunk.status().ToString()));
                 if (const auto served = here.port.lock()) served->CancelRead(here.reader);
                 here.asked = 0;
                 here.port.reset();
                 return;
               }
               here.asked = 0;
               here.next = checker_.OnRead(here.target.subject, chunk->batches.view(), here.next,
                                           chunk->committed_end, retention_,
                                           Concat("a subscriber of ", here.broker));
               if (violation_.empty()) ReadOn(subscriber);
             });
}

void ReplicaWorld::LookSomewhere() {
  const auto target = AnyPartition();
  const uint64_t machine = Draw(1, kernel_.size());
  if (target && At(machine) != nullptr) LookAt(machine, *target, false);
}

void ReplicaWorld::LookAt(uint64_t machine, const Target& target, bool whole) {
  BrokerProcess* const broker = At(machine);
  const auto port = broker == nullptr ? nullptr : broker->Holding(target.stream, target.partition);
  if (port == nullptr) return;
  auto look = std::make_shared<Look>();
  look->target = target;
  look->machine = machine;
  look->by = Concat(broker->name(), "#", broker->life());
  look->port = port;
  look->reader = ReaderId(++readers_);
  look->whole = whole;
  looking_ += whole ? 1 : 0;
  port->Describe([this, look](const absl::StatusOr<PartitionStatus>& status) {
    if (checker_.IsForgotten(look->target.subject)) return;
    if (!status.ok()) {
      if (look->whole)
        Fail(Concat(look->by, " does not show ", look->target.subject, ": ",
                    status.status().ToString()));
      return;
    }
    look->leads = status->leader;
    // What no longer leads, since its log failed, shows what it led.
    if (status->leader && status->degraded.empty())
      checker_.OnLeader(look->target.subject, status->leader_epoch, look->by);
    checker_.OnHighWatermark(look->target.subject, look->by, status->high_watermark);
    look->at = status->log_start;
    look->end = status->high_watermark;
    if (look->whole) {
      places_[look->target.subject][look->machine] = {status->log_start, status->log_end,
                                                      status->high_watermark};
      if (!status->degraded.empty())
        Fail(Concat(look->by, ", ", look->target.subject, ": ", status->degraded));
    } else if (look->end > look->at + 30 && !OneIn(5)) {
      look->at = look->end - static_cast<int64_t>(Draw(1, 30));
    }
    LookOn(look);
  });
}

void ReplicaWorld::LookOn(const std::shared_ptr<Look>& look) {
  const auto port = look->port.lock();
  if (port == nullptr) return;
  if (look->at >= look->end) {
    port->CancelRead(look->reader);
    ++counts_.of[look->leads ? ReplicaCounts::kReads : ReplicaCounts::kFollowerReads];
    looking_ -= look->whole ? 1 : 0;
    return;
  }
  port->Read({look->reader, Direction::kForward, look->at, kChunkBytes, true},
             [this, look](const absl::StatusOr<ReadChunk>& chunk) {
               const std::string& subject = look->target.subject;
               const bool there =
                   client_.MustBe().contains(look->target.stream) && !checker_.IsForgotten(subject);
               if (!chunk.ok()) {
                 if (there && (look->whole || absl::IsDataLoss(chunk.status())))
                   Fail(Concat(look->by, ", reading ", subject, ": ", chunk.status().ToString()));
                 return;
               }
               if (!there) return;
               const Offset next = checker_.OnRead(subject, chunk->batches.view(), look->at,
                                                   chunk->committed_end, retention_, look->by);
               if (next == look->at && violation_.empty())
                 return Fail(Concat(look->by, " shows nothing of ", subject, " at ", look->at,
                                    ", committed to ", look->end));
               look->at = next;
               LookOn(look);
             });
}

std::vector<ReplicaWorld::Target> ReplicaWorld::Promised() {
  std::vector<Target> promised;
  for (const auto& [name, stream] : NewestTable()->streams()) {
    if (!client_.MustBe().contains(name)) continue;
    for (const PartitionDescription& partition : stream.partitions) {
      const std::string subject = PartitionSubject(stream.subject, partition.id);
      if (!checker_.IsForgotten(subject))
        promised.push_back({name, static_cast<size_t>(partition.id.value()), subject});
    }
  }
  return promised;
}

// As people are shown it.
std::string ReplicaWorld::TextOf(const PartitionDescription& partition) {
  std::string text = Concat("epoch ", partition.leader_epoch, " led by ",
                            partition.leader.empty() ? "nobody" : partition.leader, ", replicas");
  for (const std::string& broker : partition.replicas) text += " " + broker;
  text += ", in sync";
  for (const std::string& broker : partition.isr) text += " " + broker;
  text += ", eligible";
  for (const std::string& broker : partition.elr) text += " " + broker;
  text += ", doubted";
  for (const ReplicaDoubt& doubt : partition.doubtful)
    text += Concat(" ", doubt.broker, " at ", doubt.end, " of ", doubt.epoch);
  for (const std::string& name : partition.replicas) {
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {
      BrokerProcess* const broker = At(i);
      if (broker == nullptr || broker->name() != name) continue;
      const StreamDescription* stream = nullptr;
      for (const auto& [known, one] : broker->table().streams()) {
        for (const PartitionDescription& its : one.partitions) {
          if (&its == &partition || its == partition) stream = &one;
        }
      }
      if (stream == nullptr) continue;
      const auto port = broker->Holding(stream->name, static_cast<size_t>(partition.id.value()));
      if (port == nullptr) continue;
      port->Describe([this, name](const absl::StatusOr<PartitionStatus>& status) {
        kernel_.Note(name, status.ok()
                               ? Concat(": ", status->log_start, " to ", status->log_end,
                                        ", flushed ", status->flushed_end, ", committed ",
                                        status->high_watermark, ", epoch ", status->leader_epoch,
                                        status->leader ? " leads " : " follows ", status->degraded)
                               : ": " + status.status().ToString());
      });
    }
  }
  return text;
}

std::string ReplicaWorld::WhyNotHealed(const metadata::MetaTable& table) {
  if (table.brokers().size() != kernel_.size()) return "not all are registered";
  for (const auto& [id, broker] : table.brokers()) {
    if (broker.fenced) return Concat(id, " is fenced");
  }
  for (const auto& [name, stream] : table.streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      const std::string subject = PartitionSubject(stream.subject, partition.id);
      if (checker_.IsForgotten(subject) || !client_.MustBe().contains(name)) continue;
      if (partition.leader.empty() || partition.isr.size() != partition.replicas.size() ||
          !partition.doubtful.empty())
        return Concat(subject, ": ", TextOf(partition));
    }
  }
  return "";
}

std::string ReplicaWorld::WhyNotHealed() {
  BrokerProcess* const first = At(1);
  if (first == nullptr) return "b1 is not there";
  const std::string table = first->table().Snapshot();
  for (uint64_t i = 2; i <= kernel_.size(); ++i) {
    BrokerProcess* const broker = At(i);
    if (broker == nullptr) return Concat(kernel_.machine(i).name, " is not there");
    if (broker->table().Snapshot() != table)
      return Concat(kernel_.machine(i).name, " has another table");
  }
  return WhyNotHealed(first->table());
}

// With a table's glance now and then, and subscribers that go on.
bool ReplicaWorld::Within(Duration limit, const std::function<bool()>& condition) {
  const MonotonicTime until = Add(kernel_.clock().Monotonic(), limit);
  while (violation_.empty()) {
    if (condition()) return true;
    if (kernel_.clock().Monotonic() >= until) return false;
    if (const metadata::MetaTable* const table = NewestTable()) losses_.OnTable(*table);
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {  // who cannot go on is started again
      if (kernel_.up(i) && IsDead(i)) kernel_.Start(i);
    }
    ReadAll();
    kernel_.scheduler().RunFor(kGlance);
  }
  return true;
}

void ReplicaWorld::CheckEnd() {
  if (!Within(kHealing, [this] { return WhyNotHealed().empty(); })) {
    const std::string why = WhyNotHealed();
    kernel_.scheduler().RunFor(kGlance);  // what it asked comes into the notes
    return Fail(Concat("after ", kHealing.count(), " s all is not well: ", why));
  }
  if (violation_.empty()) CheckTakesMessages();
  if (violation_.empty()) CheckReplicas();
  if (violation_.empty()) CheckReaders();
  if (!violation_.empty()) return;
  counts_.of[ReplicaCounts::kStreams] += client_.acknowledged();
  counts_.of[ReplicaCounts::kAcked] += messages_.acked();
  for (const auto& [name, stream] : NewestTable()->streams()) {
    for (const PartitionDescription& partition : stream.partitions) {
      const bool forgotten = checker_.IsForgotten(PartitionSubject(stream.subject, partition.id));
      ++counts_.of[forgotten ? ReplicaCounts::kForgottenPartitions
                             : ReplicaCounts::kPromisedPartitions];
      counts_.of[ReplicaCounts::kElections] += partition.leader_epoch.value();
    }
  }
}

// Whoever gets no answer, or a refusal, publishes again.
void ReplicaWorld::CheckTakesMessages() {
  std::map<std::string, std::vector<std::string>> asked;  // inboxes by subject
  const std::vector<Target> promised = Promised();
  const auto is_taken = [&](const Target& target) {
    const auto& inboxes = asked[target.subject];
    return std::any_of(inboxes.begin(), inboxes.end(),
                       [this](const std::string& inbox) { return messages_.IsAcked(inbox); });
  };
  const auto all = [&] {
    bool taken = true;
    for (const Target& target : promised) {
      if (is_taken(target)) continue;
      taken = false;
      const partition::TestMessage message =
          messages_.NewMessage(target.subject, AckPolicy::kAll, OneIn(3) ? 100'000 : 0);
      messages_.OnHeard(message, bus_.Publish(target.subject, message));
      asked[target.subject].push_back(message.inbox);
    }
    return taken;
  };
  if (Within(kAnswered, all)) return;
  for (const Target& target : promised) {
    if (!is_taken(target)) Fail(Concat(target.subject, " takes no message"));
  }
}

void ReplicaWorld::CheckReplicas() {
  // Until everybody knows what is committed: who could not list a new partition tries again every second.
  kernel_.scheduler().RunFor(std::chrono::seconds(10));
  const std::vector<Target> promised = Promised();
  std::map<std::string, MessageModel::Places> must;
  for (const Target& target : promised) {
    must[target.subject] = messages_.MustHold(target.subject);
    for (uint64_t i = 1; i <= kernel_.size(); ++i) LookAt(i, target, true);
  }
  if (!kernel_.scheduler().RunUntil([this] { return looking_ == 0 || !violation_.empty(); },
                                    kAnswered))
    Fail("reads do not end");
  for (const Target& target : promised) {
    if (!violation_.empty()) return;
    const auto& places = places_[target.subject];
    for (const auto& [machine, place] : places) {
      const Place& first = places.begin()->second;
      if (place.end != first.end || place.committed != first.end)
        Fail(Concat(kernel_.machine(machine).name, " has ", target.subject, " to ", place.end,
                    ", committed to ", place.committed, ", another to ", first.end));
    }
    for (const auto& [offset, value] : must[target.subject]) {
      for (const auto& [machine, place] : places) {
        if (offset >= place.end)
          Fail(Concat(value, " was at offset ", offset, ", and ", kernel_.machine(machine).name,
                      " ends at ", place.end));
      }
    }
  }
}

void ReplicaWorld::CheckReaders() {
  // Whose replica has dropped all that it lacks has nothing to be shown there: each drops by its own clock.
  const auto dropped = [this](const Subscriber& subscriber) {
    for (const auto& [machine, place] : places_[subscriber.target.subject]) {
      if (kernel_.machine(machine).name == subscriber.broker && place.start > subscriber.next)
        return retention_;
    }
    return false;
  };
  const auto behind = [this, dropped] {
    return std::find_if(subscribers_.begin(), subscribers_.end(), [&](const auto& subscriber) {
      return subscriber != nullptr && !checker_.IsForgotten(subscriber->target.subject) &&
             client_.MustBe().contains(subscriber->target.stream) && !dropped(*subscriber) &&
             subscriber->next < checker_.ShownEnd(subscriber->target.subject);
    });
  };
  if (Within(kAnswered, [&] { return behind() == subscribers_.end(); })) return;
  const Subscriber& late = **behind();
  std::string text =
      Concat("a subscriber of ", late.target.subject, " waits at ", late.next, " for ", late.broker,
             late.any_replica ? ", whatever it is, " : ", which is to lead, ",
             checker_.ShownEnd(late.target.subject), " is shown to others; as looked at before:");
  for (const auto& [machine, place] : places_[late.target.subject])
    text +=
        Concat(" b", machine, " ", place.start, " to ", place.end, ", committed ", place.committed);
  Fail(text);
}

}  // namespace bascule
