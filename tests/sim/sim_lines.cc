#include "tests/sim/sim_lines.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "tests/sim/sim_endpoint.h"
#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

// How long one write takes at most.
constexpr std::chrono::microseconds kWriteTime{200};
// How long a cut may go unnoticed by whoever sends.
constexpr std::chrono::seconds kNotice{3};
// What may be under way, or wait unread.
constexpr size_t kWindowBytes = 4 * limits::kMiB;

Duration Backoff(int failures) {
  const auto whole = limits::kPeerBackoffMin * (1 << std::min(failures, 10));
  return std::min<Duration>(whole, limits::kPeerBackoffMax);
}

}  // namespace

struct SimLines::Line {
  EndpointPtr from;
  PeerId to;
  ReplicaLane lane;
  bool wanted = false;
  bool woken = false;     // since traffic was asked last
  bool dialling = false;  // a Meet is to come, or an Up
  bool up = false;        // as traffic was told
  int failures = 0;
  StreamPtr stream;  // until Down
};

struct SimLines::Stream {
  EndpointPtr there;
  bool alive = true;
  bool writing = false;
  bool full = false;     // it was not asked for more, since the window is used up
  size_t under_way = 0;  // bytes that were not delivered yet
  size_t held = 0;       // bytes with credits that somebody holds
  uint64_t asked = 0;
  MonotonicTime last_arrival;
  std::deque<Bytes> unread;
};

// Of one delivered frame.
class SimLines::Credit {
 public:
  Credit(std::weak_ptr<SimLines*> lines, LinePtr line, StreamPtr stream, size_t bytes)
      : lines_(std::move(lines)),
        line_(std::move(line)),
        stream_(std::move(stream)),
        bytes_(bytes) {}
  Credit(const Credit&) = delete;
  Credit& operator=(const Credit&) = delete;
  ~Credit() {
    stream_->held -= bytes_;
    const auto lines = lines_.lock();
    if (lines == nullptr || !stream_->alive) return;
    SimLines* const self = *lines;
    self->After(Duration(0),
                [self, line = line_, stream = stream_] { self->Deliver(line, stream); });
  }

 private:
  const std::weak_ptr<SimLines*> lines_;
  const LinePtr line_;
  const StreamPtr stream_;
  const size_t bytes_;
};

template <typename Then>
void SimLines::After(Duration delay, Then then) {
  network_.wire_.After(delay, std::move(then));
}

Duration SimLines::UpTo(Duration most) {
  return Duration(static_cast<int64_t>(
      network_.scheduler_.rng().Below(static_cast<uint64_t>(most.count()) + 1)));
}

bool SimLines::IsCut(PeerId one, PeerId other) const {
  return network_.cuts_.contains({one, other}) || network_.cuts_.contains({other, one});
}

void SimLines::Wake(const EndpointPtr& from, PeerId to, ReplicaLane lane) {
  if (!from->up || from->traffic == nullptr || !from->peers.contains(to)) return;
  LinePtr& line = from->lines[{to, lane}];
  if (line == nullptr) {
    line = std::make_shared<Line>();
    line->from = from;
    line->to = to;
    line->lane = lane;
  }
  line->wanted = true;
  line->woken = true;
  if (line->up) {
    // As the real one does at rest, or as it does while it writes.
    const bool at_once = !line->stream->writing && network_.scheduler_.rng().Below(2) == 0;
    return at_once ? Ask(line, line->stream) : Pull(line, line->stream);
  }
  if (line->stream == nullptr && !line->dialling) Dial(line, Duration(0));
}

void SimLines::Remove(SimNetwork::Endpoint& endpoint, PeerId id) {
  for (auto& [whom, line] : endpoint.lines) {
    if (whom.first != id) continue;
    line->wanted = false;
    Break(line, network_.DrawDelay());
  }
  SimNetwork::Endpoint* const other = network_.Find(id);
  if (other == nullptr) return;
  for (auto& [whom, line] : other->lines) {
    if (line->stream != nullptr && line->stream->there.get() == &endpoint)
      Break(line, network_.DrawDelay());
  }
}

void SimLines::End(const EndpointPtr& endpoint) {
  for (auto& [whom, line] : endpoint->lines) {
    if (line->stream != nullptr) line->stream->alive = false;
  }
  endpoint->lines.clear();
  endpoint->traffic = nullptr;
  for (auto& [id, other] : network_.endpoints_) {
    for (auto& [whom, line] : other->lines) {
      if (line->stream != nullptr && line->stream->there == endpoint)
        Break(line, network_.DrawDelay());
    }
  }
}

void SimLines::Cut() {
  for (auto& [id, endpoint] : network_.endpoints_) {
    for (auto& [whom, line] : endpoint->lines) {
      if (IsCut(id, whom.first)) Break(line, UpTo(kNotice));
    }
  }
}

void SimLines::Dial(const LinePtr& line, Duration delay) {
  line->dialling = true;
  After(delay + network_.DrawDelay(), [this, line] { Meet(line); });
}

void SimLines::Retry(const LinePtr& line) { Dial(line, Backoff(line->failures++)); }

void SimLines::Meet(const LinePtr& line) {
  if (!line->from->up) return;
  line->dialling = line->wanted;
  if (!line->wanted) return;
  const PeerIdentity& from = line->from->self;
  const auto found = network_.endpoints_.find(line->to);
  if (found == network_.endpoints_.end() || found->second->traffic == nullptr ||
      IsCut(from.id, line->to) || !network_.Hears(*found->second, from.id)) {
    return Retry(line);
  }
  line->stream = std::make_shared<Stream>();
  line->stream->there = found->second;
  found->second->traffic->OnReplicaStreamBegan(from, line->lane);
  After(network_.DrawDelay(), [this, line, stream = line->stream] { Up(line, stream); });
}

void SimLines::Up(const LinePtr& line, const StreamPtr& stream) {
  if (!line->from->up || line->stream != stream || !stream->alive) return;
  line->dialling = false;
  line->up = true;
  line->failures = 0;
  line->from->traffic->OnReplicaLineUp(line->to, line->lane);
  Pull(line, stream);
}

void SimLines::Break(const LinePtr& line, Duration delay) {
  const StreamPtr stream = line->stream;
  if (stream == nullptr || !stream->alive) return;
  stream->alive = false;
  stream->unread.clear();
  After(delay, [this, line, stream] { Down(line, stream); });
}

void SimLines::Down(const LinePtr& line, const StreamPtr& stream) {
  if (!line->from->up || line->stream != stream) return;
  line->stream = nullptr;
  line->dialling = false;
  if (std::exchange(line->up, false)) line->from->traffic->OnReplicaLineDown(line->to, line->lane);
  if (line->wanted && !line->dialling) Retry(line);
}

void SimLines::Pull(const LinePtr& line, const StreamPtr& stream) {
  if (std::exchange(stream->writing, true)) return;
  After(UpTo(kWriteTime), [this, line, stream] {
    stream->writing = false;
    Ask(line, stream);
  });
}

// A broken line that its sender has not heard of is asked too: what it gives is lost.
void SimLines::Ask(const LinePtr& line, const StreamPtr& stream) {
  if (!line->from->up || line->stream != stream || !line->up) return;
  stream->full = stream->under_way >= kWindowBytes;
  if (stream->full) return;
  line->woken = false;
  ++stream->asked;
  const std::vector<Bytes> pieces = line->from->traffic->NextFrame(line->to, line->lane);
  std::string frame;
  for (const Bytes& piece : pieces) frame += piece.view();
  if (frame.empty()) return HangUpWhenIdle(line, stream);
  BASCULE_CHECK_LE(frame.size(), limits::kReplicaFrameBytes);
  stream->under_way += frame.size();
  if (Chance(network_.scheduler_.rng(), network_.faults.line_breaks))
    Break(line, network_.DrawDelay());
  if (stream->alive) {
    const MonotonicTime now = network_.scheduler_.clock().Monotonic();
    stream->last_arrival = std::max(stream->last_arrival, Add(now, network_.DrawDelay()));
    After(Between(now, stream->last_arrival),
          [this, line, stream, whole = Bytes(std::move(frame))] { Arrive(line, stream, whole); });
  }
  Pull(line, stream);
}

void SimLines::HangUpWhenIdle(const LinePtr& line, const StreamPtr& stream) {
  if (line->lane != ReplicaLane::kCatchUp) return;
  After(limits::kPeerBulkIdle, [this, line, stream, asked = stream->asked] {
    if (line->stream != stream || stream->asked != asked || line->woken) return;
    line->wanted = false;
    Break(line, Duration(0));
  });
}

void SimLines::Arrive(const LinePtr& line, const StreamPtr& stream, Bytes frame) {
  if (!stream->alive) return;
  stream->unread.push_back(std::move(frame));
  Deliver(line, stream);
}

void SimLines::Deliver(const LinePtr& line, const StreamPtr& stream) {
  while (stream->alive && !stream->unread.empty() && stream->held < limits::kReplicaCreditBytes) {
    Bytes frame = std::move(stream->unread.front());
    stream->unread.pop_front();
    stream->under_way -= frame.size();
    stream->held += frame.size();
    auto credit = std::make_shared<const Credit>(here_, line, stream, frame.size());
    stream->there->traffic->OnReplicaFrame(line->from->self, line->lane, std::move(frame),
                                           std::move(credit));
  }
  if (stream->full && stream->under_way < kWindowBytes) Pull(line, stream);
}

}  // namespace bascule
