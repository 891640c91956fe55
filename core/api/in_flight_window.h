// The requests of a PublishAsync session that wait for their acks, and how many may. Each travels
// under a correlation id made here, so that only the answer to it is taken for one; the client's
// own is put back into the response. Requests that nobody ever acks (no stream listens, a policy
// from the future) leave the window by age, or they would close the session for good, but stay
// known for a late ack until others need their place. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/api/publish_rules.h"
#include "core/base/limits.h"
#include "core/base/types.h"
#include "core/env/rng.h"

namespace bascule::api {

class InFlightWindow {
 public:
  // After this an ack is not expected any more.
  static constexpr std::chrono::seconds kAge{30};
  // Requests out of the window that are known still; the oldest are forgotten.
  static constexpr size_t kMaxAged = limits::kMaxAsyncInFlight / 4;
  // Of the ids made here: the place, and a number that nobody can guess.
  static constexpr size_t kIdBytes = 24;

  struct Request {
    std::string correlation_id;  // the client's
    std::shared_ptr<const PublishTarget> target;
  };

  explicit InFlightWindow(Rng& rng, size_t max_count = limits::kMaxAsyncInFlight,
                          size_t max_bytes = limits::kMaxAsyncInFlightBytes);

  // A request that is about to be published, and the id it travels under (good until the next one
  // is added).
  std::string_view Add(MonotonicTime now, size_t bytes, Request request);
  // One that only an error answers, if anything: known as long as an aged one, and no part of the
  // window.
  std::string_view AddUnawaited(Request request);
  // The request that travels under `id`; null when there is none. Good until the next call.
  const Request* Find(std::string_view id) const;
  // Takes it out: it was answered, or not published after all. Its id is nobody's from now on. An
  // unknown id gives an empty request.
  Request Release(std::string_view id);
  // Takes what is older than kAge out of the window.
  void Expire(MonotonicTime now);

  // Whether there is room beside `unwritten` responses.
  bool HasRoom(size_t unwritten) const {
    return waiting_.count + unwritten < max_count_ && waiting_.bytes < max_bytes_;
  }
  // When the oldest leaves by age; only when not empty.
  MonotonicTime NextExpiry() const;
  bool empty() const { return waiting_.count == 0; }
  size_t count() const { return waiting_.count; }
  size_t bytes() const { return waiting_.bytes; }
  // Places made so far: never more than may wait and may be aged.
  size_t places() const { return places_.size(); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  enum class State : uint8_t { kFree, kWaiting, kAged };
  struct Place {
    Request request;
    uint64_t secret = 0;
    MonotonicTime time;
    size_t bytes = 0;
    uint32_t older = kNone;
    uint32_t newer = kNone;
    State state = State::kFree;
  };
  // Doubly linked through the places, oldest first.
  struct List {
    uint32_t oldest = kNone;
    uint32_t newest = kNone;
    size_t count = 0;
    size_t bytes = 0;
  };

  List& ListOf(State state) { return state == State::kWaiting ? waiting_ : aged_; }
  std::string_view Lend(uint32_t at, Request request);
  void Append(uint32_t at, State state);
  void Age(uint32_t at);
  void Unlink(uint32_t at);
  void Free(uint32_t at);
  uint32_t TakePlace();
  uint32_t PlaceOf(std::string_view id) const;

  Rng& rng_;
  const size_t max_count_;
  const size_t max_bytes_;
  const size_t max_aged_;  // and no more bytes than may wait
  std::vector<Place> places_;
  std::vector<uint32_t> free_;
  List waiting_;
  List aged_;  // their bytes are those of the ids
  std::string id_;
};

}  // namespace bascule::api
