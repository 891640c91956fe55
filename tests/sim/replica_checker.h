// What replicas of one partition showed as committed, and whether it fits together: the same bytes at the
// same offsets, on every replica and for ever; one process leads an epoch; none goes back.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "tests/sim/message_model.h"

namespace bascule {

class ReplicaChecker {
 public:
  ReplicaChecker(MessageModel& messages, std::function<void(const std::string&)> fail)
      : messages_(messages), fail_(std::move(fail)) {}

  // `batches`, read from `from` on: whole, those that end past `committed` are not looked at. Returns where
  // the next one begins. `holes`: what is missing at the front went with retention.
  Offset OnRead(const std::string& subject, std::string_view batches, Offset from, Offset committed,
                bool holes, const std::string& by);
  // `process` says that it leads.
  void OnLeader(const std::string& subject, LeaderEpoch epoch, const std::string& process);
  // What `process` shows as its high watermark, in whatever role.
  void OnHighWatermark(const std::string& subject, const std::string& process, Offset committed);
  // Nothing is promised of it any more.
  void Forget(const std::string& subject);
  bool IsForgotten(const std::string& subject) const { return forgotten_.contains(subject); }
  // Ends of what was ever shown.
  Offset ShownEnd(const std::string& subject) { return shown_[subject].end; }

 private:
  struct Batch {
    Offset end;
    LeaderEpoch epoch;
    size_t hash = 0;
    bool operator==(const Batch&) const = default;
  };
  struct Shown {
    std::map<Offset, Batch> batches;
    Offset end;
  };
  void Show(const std::string& subject, const wire::BatchHeader& header, std::string_view bytes,
            const std::string& by);

  MessageModel& messages_;
  const std::function<void(const std::string&)> fail_;
  std::map<std::string, Shown> shown_;
  std::map<std::pair<std::string, LeaderEpoch>, std::string> leaders_;
  std::map<std::pair<std::string, std::string>, Offset> high_watermarks_;  // of subject and process
  std::set<std::string> forgotten_;
};

}  // namespace bascule
