#include "replication/meta/requests/settlement.h"

#include <utility>

namespace bascule::metadata {

Settlement::Done Settlement::Begin(StreamId stream, bool last) {
  Work& work = state_->work[stream];
  ++work.under_way;
  work.last = work.last || last;
  state_->failed.erase(stream);
  return [state = state_, stream](const absl::Status& status) { state->End(stream, status); };
}

void Settlement::State::End(StreamId stream, const absl::Status& status) {
  const auto it = work.find(stream);
  if (it == work.end()) return;
  if (it->second.first.ok()) it->second.first = status;
  if (--it->second.under_way > 0) return;
  Work ended = std::move(it->second);
  work.erase(it);
  if (!ended.first.ok() && !ended.last) failed[stream] = ended.first;
  auto idlers = work.empty() ? std::exchange(idle, {}) : decltype(idle)();
  for (Done& done : ended.waiting) done(ended.first);
  for (auto& done : idlers) done();
}

void Settlement::WhenSettled(StreamId stream, Done done) {
  if (const auto it = state_->work.find(stream); it != state_->work.end()) {
    it->second.waiting.push_back(std::move(done));
    return;
  }
  const auto it = state_->failed.find(stream);
  done(it == state_->failed.end() ? absl::OkStatus() : it->second);
}

void Settlement::WhenAllSettled(absl::AnyInvocable<void()> done) {
  if (state_->work.empty()) return done();
  state_->idle.push_back(std::move(done));
}

}  // namespace bascule::metadata
