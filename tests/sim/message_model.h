// What publishers and readers of a simulated cluster know of messages, and whether it fits together.
// A message's value and ack inbox are the same text, used once; the value may be longer by some padding.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "tests/sim/sim_bus.h"

namespace bascule {

class MessageModel {
 public:
  using Places = std::map<Offset, std::string>;  // of one partition, by its subject

  explicit MessageModel(std::function<void(const std::string&)> fail) : fail_(std::move(fail)) {}

  partition::TestMessage NewMessage(const std::string& subject, AckPolicy policy,
                                    size_t padding = 0);
  // How many brokers heard it. Of more than one the refusal of one says nothing of the others.
  void OnHeard(const partition::TestMessage& message, size_t brokers);
  void OnAck(const BusAck& ack);
  // What a reader was shown of a partition.
  void OnRead(const std::string& subject, const partition::PartitionContent& content);
  // What any later reader must be shown.
  const Places& MustHold(const std::string& subject) { return places_[subject]; }
  // Nothing is promised of this subject (any more).
  void Forget(const std::string& subject) { forgotten_.insert(subject); }
  // Whether others may lead the partition without what its leader alone has acked (R13).
  std::function<bool(const std::string& subject)> is_replicated = [](const std::string&) {
    return false;
  };
  bool IsAcked(const std::string& value) const { return acked_.contains(value); }
  size_t acked() const { return acked_.size(); }

 private:
  void Place(const std::string& subject, Offset offset, const std::string& value,
             const std::string& by);

  const std::function<void(const std::string&)> fail_;
  struct Sent {
    std::string subject;
    uint64_t number;
    AckPolicy policy;
    bool refusal_counts = true;
  };
  std::map<std::string, Sent> sent_;  // by value
  std::set<std::string> acked_;
  std::set<std::string> refused_;
  std::set<std::string> forgotten_;  // subjects
  std::map<std::string, Places> places_;
  std::map<std::string, Offset> offsets_;  // of a value
  uint64_t messages_ = 0;
};

}  // namespace bascule
