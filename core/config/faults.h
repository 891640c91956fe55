// Collects every mistake of a configuration, so that the user mends them in one go.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/config/value.h"

namespace bascule::config {

class Faults {
 public:
  void Add(Place place, std::string text);
  // Adds all of `other`.
  void Take(Faults other);
  bool empty() const { return faults_.empty(); }
  // No more are kept: whoever is looking for mistakes may stop.
  bool full() const;
  // OK when empty; otherwise InvalidArgument, one line each, those of a file in the order of its
  // lines.
  absl::Status ToStatus() const;

 private:
  struct Fault {
    Place place;
    std::string text;
  };
  std::vector<Fault> faults_;
};

}  // namespace bascule::config
