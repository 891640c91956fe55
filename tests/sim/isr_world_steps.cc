// What the events of IsrWorld are made of.
#include <algorithm>
#include <utility>

#include "tests/sim/isr_mutated.h"
#include "tests/sim/isr_world.h"

namespace bascule::isr {
namespace {

constexpr size_t kLargestBag = 6;

std::string Joined(const std::vector<std::string>& brokers) {
  std::string text;
  for (const std::string& broker : brokers) text += broker;
  return Concat("{", text, "}");
}

std::string ToText(const Records& records) {
  std::string text;
  for (const Record& record : records) text += Concat(" ", record.epoch, ".", record.serial);
  return text;
}

}  // namespace

void IsrWorld::Look() {
  checker_.Look(machines_, metadata_,
                {profile_.durability, spent_[kLoseDisk], spent_[kDamage], min_isr_raised_});
}

void IsrWorld::Enter(int b, size_t index) {
  const PartitionDescription& partition = metadata_.at(index).partition;
  Say(BrokerName(b), " sees state ", index, ": leader ", partition.leader, " in epoch ",
      partition.leader_epoch, ", isr ", Joined(partition.isr), ", version ", partition.version);
  machine(b).Enter(metadata_.at(index), index, now_);
}

void IsrWorld::FlushNow(int b) {
  machine(b).StartFlush();
  machine(b).EndFlush();
  Say(BrokerName(b), " flushes up to ", machine(b).flushed());
}

void IsrWorld::Crash(int b, size_t kept) {
  const bool torn = profile_.torn_tails && OneIn(2);
  const auto known = static_cast<int>(machine(b).high_watermark().value());
  const Offset stored(OneIn(2) ? known : Below(known + 1));
  machine(b).Crash(kept, stored, torn);
  Say(BrokerName(b), " crashes and keeps", ToText(machine(b).log()), torn ? ", torn" : "");
}

void IsrWorld::Restart(int b) {
  Register(b, /*new_process=*/true);
  Look();
  Enter(b, machine(b).seen());  // R2b: from its own registration on
}

void IsrWorld::Register(int b, bool new_process) {
  IsrMetadata::Registration registration{b, machine(b).incarnation(), new_process, false, {}};
  if (new_process) {
    const IsrMachine::Findings findings = machine(b).TakeFindings();
    registration.lost = findings.lost;
    registration.doubt = findings.doubt;
    const bool same_life =
        findings.doubt && Mutated("doubt_no_inc") && machine(b).incarnation() > 0;
    if (!same_life) registration.incarnation = ++incarnations_;
    if (findings.lost) ++counts_.of[IsrCounts::kLostDisks];
  }
  metadata_.Register(registration);
  Say(BrokerName(b), " registers as ", registration.incarnation,
      registration.lost ? ", data lost" : "", registration.doubt ? ", in doubt" : "");
  const bool was = metadata_.before().IsDoubtful(BrokerName(b));
  if (!was && metadata_.now().IsDoubtful(BrokerName(b))) ++counts_.of[IsrCounts::kDoubtful];
  Counted(false);
  if (new_process) machine(b).Start(registration.incarnation, metadata_.newest());
}

void IsrWorld::Fence(const std::set<int>& brokers) {
  std::vector<std::string> names;
  for (const int b : brokers) names.push_back(BrokerName(b));
  metadata_.Fence(brokers);
  Say("fenced: ", Joined(names));
  Counted(false);
}

// What the newest command did; `proposed`: it was an ISR change.
void IsrWorld::Counted(bool proposed) {
  const PartitionDescription& was = metadata_.before().partition;
  const PartitionDescription& is = metadata_.now().partition;
  checker_.LookAtCommand(metadata_.before(), metadata_.now());
  Say("  -> leader ", is.leader.empty() ? "-" : is.leader, ", epoch ", is.leader_epoch, ", isr ",
      Joined(is.isr), ", elr ", Joined(is.elr), ", version ", is.version);
  if (is.isr.empty() && !was.isr.empty()) ++counts_.of[IsrCounts::kIsrEmpty];
  if (proposed) {
    for (const std::string& broker : is.isr) {
      if (!Contains(was.isr, broker)) ++counts_.of[IsrCounts::kExpansions];
    }
    for (const std::string& broker : was.isr) {
      if (!Contains(is.isr, broker)) ++counts_.of[IsrCounts::kShrinks];
    }
    if (is.doubtful.size() < was.doubtful.size()) ++counts_.of[IsrCounts::kVerified];
    return;
  }
  if (is.leader.empty() || is.leader == was.leader) return;
  const bool from_elr = !Contains(was.isr, is.leader) && Contains(was.elr, is.leader);
  if (from_elr) ++counts_.of[IsrCounts::kElrElections];
  if (metadata_.before().IsDoubtful(is.leader)) ++counts_.of[IsrCounts::kDoubtfulElected];
  const bool doubtful_isr =
      std::any_of(was.isr.begin(), was.isr.end(),
                  [&](const std::string& member) { return metadata_.before().IsDoubtful(member); });
  if (from_elr && doubtful_isr) ++counts_.of[IsrCounts::kCleanBeforeDoubtful];
}

// R7b holds while fewer disks are damaged or lost than the least min ISR there was.
bool IsrWorld::MayLoseData() const {
  if (profile_.damages == 0) return true;
  return spent_[kDamage] + spent_[kLoseDisk] + 1 < least_min_isr_;
}

void IsrWorld::Send(Message message, int late_in_ten) {
  const bool answering = std::holds_alternative<Answered>(message.what) ||
                         std::holds_alternative<ReconcileQuestion>(message.what);
  if (answering && profile_.late_answers) late_in_ten = 7;
  if (bag_.size() < kLargestBag && Below(10) < late_in_ten) {
    Say("delayed: ", Described(message));
    bag_.push_back(std::move(message));
    return;
  }
  Say(Described(message));
  Receive(message);
}

void IsrWorld::Receive(const Message& message) {
  if (const auto* asked = std::get_if<ToMetadata>(&message.what)) {
    if (metadata_.Alter(asked->leader, asked->proposal)) {
      Counted(true);
    } else {
      Say("  -> refused");
      ++counts_.of[IsrCounts::kRefused];
    }
    return;
  }
  if (message.to < 0) return;
  IsrMachine& to = machine(message.to);
  if (const auto* frame = std::get_if<Frame>(&message.what)) {
    to.OnFrame(*frame);
  } else if (const auto* ack = std::get_if<Acknowledgement>(&message.what)) {
    to.OnAcknowledged(*ack, now_);
  } else if (const auto* question = std::get_if<ReconcileQuestion>(&message.what)) {
    const auto answer = to.OnQuestion(*question);
    if (answer) Send({BrokerNumber(question->broker), *answer}, 3);
  } else {
    const auto done = to.OnAnswer(std::get<Answered>(message.what));
    if (done == IsrMachine::Reconciled::kCut) ++counts_.of[IsrCounts::kCuts];
    if (done != IsrMachine::Reconciled::kFlushedCut) return;
    ++counts_.of[IsrCounts::kCuts];
    ++counts_.of[IsrCounts::kFlushedCuts];
  }
}

// Everything that is due between the two, at once.
void IsrWorld::Replicate(int leader, int follower) {
  IsrMachine& to = machine(follower);
  Say(BrokerName(leader), " and ", BrokerName(follower), " exchange what is due");
  if (to.MayAsk()) {
    const auto answer = machine(leader).OnQuestion(to.Ask());
    if (answer) Receive({follower, *answer});
    Look();
  }
  if (to.follower()->phase() != FollowerReplica::Phase::kFollowing) return;
  for (size_t i = to.log().size(); i < machine(leader).log().size(); ++i)
    to.OnFrame(machine(leader).FrameAt(to.log().size(), 1));
  if (to.flushing()) to.EndFlush();
  if (to.CanFlush()) FlushNow(follower);
  const auto ack = to.Acknowledge(/*again=*/true);
  if (ack) machine(leader).OnAcknowledged(*ack, now_);
  Look();
  to.OnFrame(machine(leader).FrameAt(to.log().size(), 0));
}

void IsrWorld::Propose(int leader, int late_in_ten, bool may_be_lost) {
  const auto proposal = machine(leader).Propose(now_);
  if (!proposal) return;
  const Message message{-1, ToMetadata{leader, *proposal}};
  if (may_be_lost && OneIn(8)) {
    Say("lost: ", Described(message));
    return;
  }
  const uint64_t before = metadata_.newest();
  Send(message, late_in_ten);
  if (metadata_.newest() == before) return;
  if (Mutated("resp_bypass")) machine(leader).BelieveReply(metadata_.now(), now_);
}

std::string IsrWorld::Described(const Message& message) {
  if (!tracing_) return {};
  const std::string to = message.to < 0 ? "nobody" : BrokerName(message.to);
  if (const auto* asked = std::get_if<ToMetadata>(&message.what)) {
    std::vector<std::string> isr;
    for (const IsrProposal::Member& member : asked->proposal.isr) isr.push_back(member.broker);
    return Concat(BrokerName(asked->leader), " proposes ", Joined(isr), " verified ",
                  Joined(asked->proposal.verified), " at version ", asked->proposal.version);
  }
  if (const auto* frame = std::get_if<Frame>(&message.what)) {
    return Concat("frame of epoch ", frame->epoch, " to ", to, ": from ", frame->base,
                  ToText(frame->records), ", high watermark ", frame->high_watermark);
  }
  if (const auto* ack = std::get_if<Acknowledgement>(&message.what)) {
    return Concat(ack->broker, " (", ack->incarnation, ") acknowledges ", ack->position,
                  " in epoch ", ack->epoch, " to ", to);
  }
  if (const auto* question = std::get_if<ReconcileQuestion>(&message.what)) {
    return Concat(question->broker, " (", question->incarnation, ") asks ", to, " question ",
                  question->number, " in epoch ", question->epoch);
  }
  const auto& answer = std::get<Answered>(message.what).answer;
  return Concat("answer to ", to, " (", answer.incarnation, ") question ", answer.number,
                " in epoch ", answer.epoch, ": common end ", answer.common_end);
}

std::string IsrWorld::State() const {
  const MetadataState& now = metadata_.now();
  std::string text = Concat("min ISR ", now.min_isr, ", doubtful");
  for (const ReplicaDoubt& doubt : now.partition.doubtful)
    text += Concat(" ", doubt.broker, "(", doubt.epoch, ",", doubt.end, ")");
  text += ", committed";
  for (const IsrChecker::Committed& committed : checker_.committed())
    text += " " + Concat(committed.record.epoch, ".", committed.record.serial);
  text += "\n";
  for (int b = 0; b < profile_.brokers; ++b) {
    const IsrMachine& m = machines_[static_cast<size_t>(b)];
    text += Concat(BrokerName(b), m.up() ? " up" : " down", m.Acting() ? ", leads" : "",
                   m.resigned() ? ", resigned" : "", ", epoch ", m.epoch(), ", state ", m.seen(),
                   ", durable ", m.durable().size(), ", high watermark ", m.high_watermark(),
                   ", log", ToText(m.log()), "\n");
  }
  return text;
}

std::string IsrWorld::Trace(size_t lines) const {
  std::string text;
  for (size_t i = trace_.size() > lines ? trace_.size() - lines : 0; i < trace_.size(); ++i)
    text += trace_[i] + "\n";
  return text + State();
}

}  // namespace bascule::isr
