// Network namespaces, one for each broker of a test, that can be cut apart. Needs root and
// iproute2.
//
//   namespace i: p 198.18.1.<i> ───┐  namespace of the bridges (no filter of the host sees them):
//                c 198.18.2.<i> ─┐ └─ p<i>: one bridge for each side of the cut
//   the test:    198.18.2.254 ───┴─── c<i>, test: one bridge
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace bascule::cluster_job {

class CutNetwork {
 public:
  // Unavailable: not possible here, and why.
  static absl::StatusOr<std::unique_ptr<CutNetwork>> Make(int brokers);
  ~CutNetwork();

  // What starts a program there.
  std::vector<std::string> Launcher(int broker) const;
  std::string PeerHost(int broker) const;
  std::string ClientHost(int broker) const;
  // Where the test itself is reached, whatever is cut.
  static std::string TestHost() { return "198.18.2.254"; }
  // Brokers with the same number reach each other; numbers from 0, below kSides.
  static constexpr int kSides = 3;
  absl::Status Cut(const std::vector<int>& side_of);
  // What `from` sends to `to` is lost in silence; the other way goes on.
  absl::Status CutOneWay(int from, int to);
  absl::Status Heal();  // all of it

 private:
  explicit CutNetwork(int brokers) : brokers_(brokers) {}
  absl::Status Build();
  absl::Status Connect(int broker, const std::string& kind, const std::string& host,
                       const std::string& bridge);
  std::string Name(const std::string& kind, int number) const;
  std::string Switch() const { return Name("w", 0); }
  static std::string Side(int side) { return "side" + std::to_string(side); }

  const int brokers_;
  std::vector<std::pair<int, int>> one_way_;  // from, to
};

}  // namespace bascule::cluster_job
