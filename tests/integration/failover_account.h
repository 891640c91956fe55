// What was acked against what is stored: every ack names an offset, and its message must be there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/failover_flood.h"

namespace bascule::cluster_job {

class FailoverAccount {
 public:
  explicit FailoverAccount(const std::vector<FailoverFlood::Acked>& acked) {
    for (const auto& [number, offset] : acked) {
      const auto at = static_cast<size_t>(offset);
      if (at >= awaited_.size()) awaited_.resize(at + 1, kNothing);
      if (awaited_[at] != kNothing && awaited_[at] != number)
        Note(absl::StrCat("offset ", offset, " was acked for m", awaited_[at], " and m", number));
      awaited_[at] = number;
    }
  }

  // What is stored, from the oldest to the newest.
  void Take(int64_t offset, std::string_view value) {
    if (offset <= last_) Note(absl::StrCat("offset ", offset, " behind offset ", last_));
    last_ = offset;
    ++stored_;
    if (offset >= static_cast<int64_t>(awaited_.size())) return;
    int64_t& number = awaited_[static_cast<size_t>(offset)];
    if (number == kNothing) return;
    if (value == absl::StrCat("m", number)) {
      number = kNothing;
    } else {
      Note(absl::StrCat("offset ", offset, " was acked for m", number, " and holds another"));
    }
  }
  // Acked, and not there by now.
  int64_t Lost() const {
    int64_t lost = 0;
    for (const int64_t number : awaited_) lost += number == kNothing ? 0 : 1;
    return lost;
  }
  int64_t stored() const { return stored_; }
  // The first of them.
  const std::vector<std::string>& wrong() const { return wrong_; }

 private:
  static constexpr int64_t kNothing = -1;
  void Note(std::string what) {
    if (wrong_.size() < 5) wrong_.push_back(std::move(what));
  }

  std::vector<int64_t> awaited_;  // by offset: whose ack named it
  int64_t last_ = -1;
  int64_t stored_ = 0;
  std::vector<std::string> wrong_;
};

}  // namespace bascule::cluster_job
