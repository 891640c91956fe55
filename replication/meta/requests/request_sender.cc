#include "replication/meta/requests/request_sender.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"

namespace bascule::metadata {
namespace {

constexpr std::chrono::milliseconds kFirstBackoff{20};
constexpr std::chrono::milliseconds kLongestBackoff{500};
// Of one attempt: far more than a commit takes.
constexpr std::chrono::milliseconds kAttempt{1500};

bool IsPatient(const meta::Request& request) {
  const RequestKind* kind = FindRequest(request.request_case());
  return kind != nullptr && kind->patient;
}

bool IsOnce(const meta::Request& request) {
  const RequestKind* kind = FindRequest(request.request_case());
  return kind != nullptr && kind->once;
}

std::string Seconds(Duration duration) {
  return absl::StrFormat("%.1f s", std::chrono::duration<double>(duration).count());
}

}  // namespace

RequestSender::RequestSender(Executor& home, Clock& clock, PeerTransport* peers, BrokerSelf self,
                             RequestTarget& local)
    : home_(home),
      clock_(clock),
      peers_(peers),
      self_(std::move(self)),
      local_(local),
      leaderless_since_(clock.Monotonic()) {}

void RequestSender::SetLog(MetadataLog& log) { log_ = &log; }

void RequestSender::Send(meta::Request request, Duration timeout, RequestDone done) {
  BASCULE_CHECK(home_.OnThisThread());
  if (waiting_.size() >= limits::kMetaRequestsInFlight) {
    return done(
        {absl::ResourceExhaustedError(Concat("broker ", self_.id, " waits for ", waiting_.size(),
                                             " metadata requests already; try again later")),
         {},
         {}});
  }
  request.set_broker(self_.id);
  request.set_incarnation(self_.incarnation);
  if (IsOnce(request)) {
    request.set_sequence(next_sequence_++);
    unanswered_.insert(request.sequence());
  }
  const Key key = next_key_++;
  Waiting& waiting = waiting_[key];
  waiting.request = std::move(request);
  waiting.asked_at = clock_.Monotonic();
  waiting.deadline = Add(waiting.asked_at, timeout);
  waiting.done = std::move(done);
  ArmDeadline(key, timeout);
  Try(key);
}

void RequestSender::ArmDeadline(Key key, Duration timeout) {
  home_.After(timeout, lifetime_.Guard([this, key] { Expire(key); }));
}

void RequestSender::Try(Key key) {
  BASCULE_CHECK(home_.OnThisThread());
  Waiting& waiting = waiting_.at(key);
  const MetadataRole role = log_->role();
  ++waiting.attempt;
  waiting.under_way = false;
  waiting.asked = role;
  const Duration left = Between(clock_.Monotonic(), waiting.deadline);
  if (left <= Duration::zero()) return Expire(key);
  const Duration patience = IsPatient(waiting.request) ? left : std::min<Duration>(left, kAttempt);
  if (waiting.request.sequence() != 0) waiting.request.set_answered(*unanswered_.begin() - 1);
  if (role.leading) {
    waiting.under_way = true;
    // A copy: the answer may come before Execute returns.
    const meta::Request request = waiting.request;
    return local_.Execute(
        request, patience,
        lifetime_.Guard([this, key, attempt = waiting.attempt](RequestOutcome outcome) {
          OnAnswer(key, attempt, std::move(outcome));
        }));
  }
  // OnRoleChange goes on.
  if (peers_ == nullptr || role.leader == PeerId() || role.leader == self_.node) return;
  waiting.under_way = true;
  CallMetadata(*peers_, role.leader, waiting.request, patience, lifetime_,
               [this, key, attempt = waiting.attempt](RequestOutcome outcome) {
                 OnAnswer(key, attempt, std::move(outcome));
               });
}

void RequestSender::OnAnswer(Key key, uint64_t attempt, RequestOutcome outcome) {
  BASCULE_CHECK(home_.OnThisThread());
  const auto it = waiting_.find(key);
  if (it == waiting_.end()) return;
  Waiting& waiting = it->second;
  const bool late = attempt != waiting.attempt;
  // What the call itself came to, not an answer: the leader never says these of a request.
  const bool unsure = absl::IsUnknown(outcome.status) || absl::IsDeadlineExceeded(outcome.status);
  if (unsure) waiting.maybe_done = true;
  if (!unsure && !absl::IsUnavailable(outcome.status)) return Finish(key, std::move(outcome));
  if (late) return;
  waiting.last = std::move(outcome.status);
  waiting.under_way = false;
  RetryLater(key);
}

void RequestSender::RetryLater(Key key) {
  Waiting& waiting = waiting_.at(key);
  waiting.backoff = waiting.backoff.count() == 0
                        ? Duration(kFirstBackoff)
                        : std::min<Duration>(waiting.backoff * 2, kLongestBackoff);
  home_.After(waiting.backoff, lifetime_.Guard([this, key, attempt = waiting.attempt] {
    const auto it = waiting_.find(key);
    if (it != waiting_.end() && it->second.attempt == attempt) Try(key);
  }));
}

void RequestSender::OnRoleChange(const MetadataRole& role) {
  BASCULE_CHECK(home_.OnThisThread());
  const bool was_led = std::exchange(led_, role.leader != PeerId());
  if (!led_) {
    if (was_led) leaderless_since_ = clock_.Monotonic();
    return;
  }
  std::vector<Key> again;
  for (auto& [key, waiting] : waiting_) {
    if (waiting.asked == role) continue;
    // Who was asked leads no more: what became of it nobody says.
    if (waiting.under_way) waiting.maybe_done = true;
    waiting.backoff = Duration(0);
    again.push_back(key);
  }
  for (const Key key : again) {
    if (waiting_.contains(key)) Try(key);
  }
}

void RequestSender::Expire(Key key) {
  BASCULE_CHECK(home_.OnThisThread());
  const auto it = waiting_.find(key);
  if (it == waiting_.end()) return;
  Finish(key, {Expired(it->second), {}, {}});
}

absl::Status RequestSender::Expired(const Waiting& waiting) const {
  const MonotonicTime now = clock_.Monotonic();
  const std::string time = Seconds(Between(waiting.asked_at, now));
  const MetadataRole role = log_->role();
  if (waiting.maybe_done || waiting.under_way) {
    return absl::DeadlineExceededError(
        Concat("the metadata leader did not answer within ", time, "; the outcome is unknown"));
  }
  if (role.leader == PeerId()) {
    return absl::UnavailableError(Concat("no metadata leader for ",
                                         Seconds(Between(leaderless_since_, now)),
                                         ": a majority of the voting brokers must be reachable; "
                                         "nothing was changed"));
  }
  return absl::UnavailableError(
      Concat("the metadata leader took nothing for ", time, "; nothing was changed",
             waiting.last.ok() ? std::string() : Concat(": ", FromAbsl(waiting.last.message()))));
}

void RequestSender::Finish(Key key, RequestOutcome outcome) {
  const auto it = waiting_.find(key);
  RequestDone done = std::move(it->second.done);
  unanswered_.erase(it->second.request.sequence());
  waiting_.erase(it);
  done(std::move(outcome));
}

}  // namespace bascule::metadata
