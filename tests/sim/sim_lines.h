// Lines of replicas in the simulated network: each is one stream at a time, which keeps its frames in
// order, takes as many as the reader has credit for and a little more, and is broken by a cut, by the
// end of either process, or at random. What was under way is lost then.
//
//   Wake ─► Dial ─► Meet ─► OnReplicaStreamBegan ─► OnReplicaLineUp ─► Ask ◄──┐
//             ▲                                                         │ a written frame, a wake
//             └── backoff ◄── OnReplicaLineDown ◄── Break               └─► Arrive ─► Deliver
#pragma once

#include <memory>

#include "core/base/bytes.h"
#include "tests/sim/sim_network.h"

namespace bascule {

class SimLines {
 public:
  explicit SimLines(SimNetwork& network) : network_(network) {}

  using EndpointPtr = std::shared_ptr<SimNetwork::Endpoint>;
  void Wake(const EndpointPtr& from, PeerId to, ReplicaLane lane);
  // `id` is no peer of `endpoint` any more.
  void Remove(SimNetwork::Endpoint& endpoint, PeerId id);
  // The process has ended.
  void End(const EndpointPtr& endpoint);
  // More is cut than before.
  void Cut();

  struct Line;

 private:
  struct Stream;
  class Credit;
  using LinePtr = std::shared_ptr<Line>;
  using StreamPtr = std::shared_ptr<Stream>;

  void Dial(const LinePtr& line, Duration delay);
  void Retry(const LinePtr& line);
  void Meet(const LinePtr& line);
  void Up(const LinePtr& line, const StreamPtr& stream);
  // Nothing arrives any more; the sender hears of it after `delay`.
  void Break(const LinePtr& line, Duration delay);
  void Down(const LinePtr& line, const StreamPtr& stream);
  // Asks for the next frame soon.
  void Pull(const LinePtr& line, const StreamPtr& stream);
  void Ask(const LinePtr& line, const StreamPtr& stream);
  void HangUpWhenIdle(const LinePtr& line, const StreamPtr& stream);
  void Arrive(const LinePtr& line, const StreamPtr& stream, Bytes frame);
  void Deliver(const LinePtr& line, const StreamPtr& stream);
  bool IsCut(PeerId one, PeerId other) const;
  Duration UpTo(Duration most);
  // Runs `then` on the wire, unless the network has ended.
  template <typename Then>
  void After(Duration delay, Then then);

  SimNetwork& network_;
  const std::shared_ptr<SimLines*> here_ = std::make_shared<SimLines*>(this);  // for late credits
};

}  // namespace bascule
