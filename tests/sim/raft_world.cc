#include "tests/sim/raft_world.h"

#include <utility>

#include "core/base/text.h"

namespace bascule {

using raft::Message;
using raft::MessageType;
using raft::NodeId;

RaftWorld::RaftWorld(uint64_t seed, RaftWorldOptions options)
    : seed_(seed), options_(options), rng_(seed * 2654435761u + 17) {
  faults_ = RaftFaults::Draw(rng_);
  nodes_.reserve(kMostMembers);
  raft::Configuration configuration;
  for (int i = 1; i <= faults_.members; ++i) configuration.voters.emplace_back(i);
  for (int i = 1; i <= faults_.learners; ++i) {
    configuration.learners.emplace_back(faults_.members + i);
  }
  for (int i = 0; i < faults_.members + faults_.learners; ++i) Add(true, configuration);
}

// The first members begin with a snapshot that says who they are, as the first one of a real group
// does; later ones with nothing.
void RaftWorld::Add(bool in_first_configuration, const raft::Configuration& configuration) {
  const uint64_t id = nodes_.size() + 1;
  raft::Options options;
  options.id = NodeId(id);
  options.max_inflight = 1 + rng_.Below(8);
  options.max_append_bytes = rng_.Below(2) == 0 ? 200 : size_t{1} << 20;
  options.max_committed_bytes = rng_.Below(2) == 0 ? 100 : size_t{1} << 20;
  options.max_uncommitted_bytes = 400;
  options.max_pending_reads = 20;
  options.snapshot_retry_ticks = 12;
  options.random = [this](uint64_t bound) { return rng_.Below(bound); };
  nodes_.emplace_back(std::make_unique<RaftMember>(std::move(options), checker_, trace_));
  Node& node = nodes_.back();
  if (in_first_configuration) {
    node.member->Found(configuration);
  }
  const double skew = faults_.clock_skew * (static_cast<double>(rng_.Below(2001)) / 1000 - 1);
  node.tick_us = static_cast<uint64_t>(static_cast<double>(kTickUs) * (1 + skew));
  node.member->Start();
  At(rng_.Below(node.tick_us), Kind::kTick, nodes_.size() - 1, node.life);
}

void RaftWorld::At(uint64_t delay, Kind kind, size_t node, uint32_t what) {
  events_waiting_.push({now_ + delay, made_++, kind, static_cast<uint8_t>(node), what});
}

bool RaftWorld::Run() {
  At(0, Kind::kClient, 0, 0);
  At(0, Kind::kFault, 0, 0);
  RunUntil(options_.faulty_us);
  EndFaults();
  RunUntil(options_.faulty_us + options_.healed_us);
  if (!checker_.violation() && !options_.lies) CheckConverged();
  return !checker_.violation();
}

void RaftWorld::RunUntil(uint64_t end) {
  while (!checker_.violation() && !events_waiting_.empty() && events_waiting_.top().at <= end) {
    const Event event = events_waiting_.top();
    events_waiting_.pop();
    now_ = event.at;
    if (++events_ > kMostEvents) return checker_.Fail("messages breed messages without end");
    trace_.SetTime(now_);
    Handle(event);
    if (options_.lies) checker_.Forgive();
  }
  now_ = std::max(now_, end);
}

void RaftWorld::Handle(const Event& event) {
  if (event.kind == Kind::kClient) return OnClient();
  if (event.kind == Kind::kFault) return OnFault();
  if (event.kind == Kind::kHeal) return HealNetwork();
  Node& node = nodes_[event.node];
  if (event.kind == Kind::kDeliver) {
    if (node.stalled_until > now_) {
      return At(node.stalled_until - now_, Kind::kDeliver, event.node, event.what);
    }
    return OnDeliver(event.node, event.what);
  }
  if (event.what != node.life) return;  // of an earlier life
  switch (event.kind) {
    case Kind::kTick:
      At(node.tick_us, Kind::kTick, event.node, node.life);
      if (node.stalled_until > now_) {
        ++node.ticks_missed;
        return;
      }
      return OnTick(event.node);
    case Kind::kWritten:
      if (node.stalled_until > now_) {
        return At(node.stalled_until - now_, Kind::kWritten, event.node, node.life);
      }
      return OnWritten(event.node);
    case Kind::kRestart:
      return Restart(event.node);
    default:
      return;
  }
}

void RaftWorld::OnTick(size_t at) {
  Node& node = nodes_[at];
  if (!node.member->up()) return;
  if (node.member->writing() && !faults_.step_while_writing) {
    ++node.ticks_missed;
    return;
  }
  for (int ticks = 1 + std::exchange(node.ticks_missed, 0); ticks > 0; --ticks) {
    node.member->raft().Tick();
  }
  Pump(at);
}

void RaftWorld::OnDeliver(size_t at, uint32_t flight) {
  Node& node = nodes_[at];
  if (node.member->up() && node.member->writing() && !faults_.step_while_writing) {
    node.inbox.push_back(flight);
    return;
  }
  free_flights_.push_back(flight);
  Message message = std::move(flights_[flight].message);
  const bool is_cut = message.from.value() > 0 && message.from.value() <= nodes_.size() &&
                      cut_[message.from.value() - 1][at];
  if (!node.member->up() || is_cut) return;
  node.member->Step(std::move(message), flights_[flight].snapshot_state);
  Pump(at);
}

void RaftWorld::OnWritten(size_t at) {
  Node& node = nodes_[at];
  if (!node.member->writing()) return;
  Send(at, node.member->Write());
  node.member->Finish();
  for (const uint32_t flight : std::exchange(node.inbox, {})) {
    At(0, Kind::kDeliver, at, flight);
  }
  Pump(at);
}

void RaftWorld::Pump(size_t at) {
  Node& node = nodes_[at];
  if (node.full_until > now_ || !node.member->HasReady() || checker_.violation()) return;
  Send(at, node.member->Take());
  const bool slow = node.slow_until > now_;
  const uint64_t most = slow ? faults_.outage / 4 + 1 : faults_.write_delay;
  At(rng_.Below(most + 1), Kind::kWritten, at, node.life);
  if (std::exchange(node.crash_when_writing, false)) Crash(at);
}

void RaftWorld::Send(size_t from, std::vector<Message> messages) {
  for (Message& message : messages) {
    const size_t to = message.to.value() - 1;
    if (message.type == MessageType::kAppendResponse && to < nodes_.size() &&
        nodes_[to].member->leads() && nodes_[to].member->raft().term() == message.term) {
      checker_.OnAcknowledge(nodes_[from].member->disk(), message, nodes_[to].member->raft().log());
    }
    SendOne(from, std::move(message));
  }
}

void RaftWorld::SendOne(size_t from, Message message) {
  const size_t to = message.to.value() - 1;
  if (to >= nodes_.size()) return;
  RaftMember& sender = *nodes_[from].member;
  const bool is_snapshot = message.type == MessageType::kSnapshot;
  // A snapshot that waited so long that its bytes are gone is not sent.
  const std::optional<uint64_t> state =
      is_snapshot ? sender.disk().StateAt(message.snapshot->index) : std::optional<uint64_t>(0);
  const bool lost = !state || cut_[from][to] || Chance(rng_, faults_.loss);
  if (is_snapshot && sender.up() && Chance(rng_, faults_.snapshot_report)) {
    sender.raft().ReportSnapshot(message.to, !lost);
  } else if (lost && Chance(rng_, 0.1)) {
    if (sender.up()) sender.raft().ReportUnreachable(message.to);
  }
  if (trace_.on() && lost) trace_.Add("lost: ", ToText(message));
  if (lost) return;
  if (Chance(rng_, faults_.malformed)) Fly(to, Malformed(message), *state);
  if (Chance(rng_, faults_.duplication)) Fly(to, message, *state);
  Fly(to, std::move(message), *state);
}

void RaftWorld::Fly(size_t to, Message message, uint64_t snapshot_state) {
  uint64_t delay = 50 + rng_.Below(faults_.delay);
  if (Chance(rng_, faults_.reorder)) delay += rng_.Below(faults_.late);
  uint32_t flight = static_cast<uint32_t>(flights_.size());
  if (free_flights_.empty()) {
    flights_.emplace_back();
  } else {
    flight = free_flights_.back();
    free_flights_.pop_back();
  }
  flights_[flight].message = std::move(message);
  flights_[flight].snapshot_state = snapshot_state;
  At(delay, Kind::kDeliver, to, flight);
}

}  // namespace bascule
