// Brokers of one namespace find each other over the bus. Implemented by nats_bridge, used by
// cmd/basculed. What is asked and answered is opaque here.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"

namespace bascule {

// Asks again every `period` until destroyed (which waits for a running callback).
class DiscoveryQuery {
 public:
  virtual ~DiscoveryQuery() = default;
  // Whether the question went out when it was to be asked last: silence means something.
  virtual bool asked() const = 0;
};

// Any thread; callbacks on foreign threads, and must not block.
class Discovery {
 public:
  virtual ~Discovery() = default;
  // Answers everybody's questions with what `answer` returns for one; empty = no answer. Until the
  // bus stops; a second call replaces the first.
  virtual void AnswerQueries(absl::AnyInvocable<std::string(std::string_view question)> answer) = 0;
  // `found` gets each answer (ours too, if we answer), also the same again.
  virtual std::unique_ptr<DiscoveryQuery> Ask(
      std::string question, absl::AnyInvocable<void(std::string_view answer)> found) = 0;
};

}  // namespace bascule
