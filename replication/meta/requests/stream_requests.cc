#include "replication/meta/requests/stream_requests.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {
namespace {

constexpr std::chrono::seconds kBindRetryPeriod{1};

}  // namespace

void StreamRequests::Execute(const meta::Request& request, Duration, RequestDone done) {
  BASCULE_CHECK(home_.OnThisThread());
  const auto answer = [&](absl::Status status) {
    done({std::move(status), view_.table.applied(), {}});
  };
  if (!log_->role().leading)
    return answer(absl::UnavailableError("this broker is not the metadata leader"));
  if (waiting_ >= limits::kMetaRequestsWaiting)
    return answer(absl::UnavailableError("too many metadata requests wait"));
  const RequestKind& kind = *FindRequest(request.request_case());
  Enqueue(std::make_shared<Work>(Work{kind, kind.key(request), request, std::move(done)}));
}

void StreamRequests::Enqueue(std::shared_ptr<Work> work) {
  ++waiting_;
  auto& queue = queues_[work->key];
  queue.push_back(work);
  if (queue.size() == 1) Start(work, false);
}

void StreamRequests::Start(std::shared_ptr<Work> work, bool barrier_passed) {
  if (!log_->role().leading)
    return Finish(work, absl::UnavailableError("this broker is not the metadata leader any more"));
  // It was asked before: by way of another leader, or the answer was lost.
  if (const auto kept = view_.table.Kept(OriginOf(work->request))) return Finish(work, *kept);
  if (work->binds && !FillBinding(*work)) return Finish(work, absl::OkStatus());
  Verdict verdict = work->binds ? Verdict{} : Check(*work);
  if (verdict.status.ok()) return Propose(std::move(work), verdict);
  if (!verdict.from_table || barrier_passed) return Finish(work, verdict.status);
  log_->ReadBarrier(lifetime_.Guard([this, work](const absl::Status& passed) {
    if (passed.ok()) return Start(work, true);
    Finish(work, absl::UnavailableError(passed.message()));
  }));
}

void StreamRequests::Propose(std::shared_ptr<Work> work, const Verdict& verdict) {
  std::string command = work->kind.encode(work->request, verdict);
  view_.placements.Begin(verdict.stream);
  view_.overlap.Proposed(verdict.stream);
  log_->Propose(std::move(command),
                lifetime_.Guard([this, work, stream = verdict.stream](absl::Status status) {
                  view_.placements.End(stream);
                  view_.overlap.Decided(stream);
                  Finish(work, status);
                }));
}

void StreamRequests::Finish(const std::shared_ptr<Work>& work, const absl::Status& status) {
  --waiting_;
  work->done({status, view_.table.applied(), {}});
  const auto queue = queues_.find(work->key);
  queue->second.pop_front();
  if (queue->second.empty()) {
    queues_.erase(queue);
    return;
  }
  // Not from here: a long queue that is refused would nest as deep.
  home_.Post(lifetime_.Guard([this, next = queue->second.front()] { Start(next, false); }));
}

Verdict StreamRequests::Check(const Work& work) const {
  if (absl::Status known = CheckLevel(view_.table, *work.kind.command); !known.ok())
    return RefuseByTable(std::move(known));
  return work.kind.check == nullptr ? Verdict{} : work.kind.check(view_, work.request);
}

void StreamRequests::BindStreams() {
  BASCULE_CHECK(home_.OnThisThread());
  if (log_ == nullptr || !log_->role().leading) return;
  if (std::exchange(binding_, true)) {
    bind_again_ = true;
    return;
  }
  // Everything of earlier leaders is applied behind it.
  log_->ReadBarrier(lifetime_.Guard([this](const absl::Status& passed) {
    if (passed.ok()) return BindNext("");
    bind_again_ = true;
    EndBinding();
  }));
}

// One stream at a time, behind what is asked of it: a stream that was deleted and made anew is
// bound as it is.
void StreamRequests::BindNext(const std::string& after) {
  auto next = view_.table.streams().upper_bound(after);
  const auto bound = [this](const StreamDescription& stream) {
    return OpenBindings(stream.overrides, view_.defaults, view_.table.feature_level()) ==
           StreamOverrides();
  };
  while (next != view_.table.streams().end() && bound(next->second)) ++next;
  if (next == view_.table.streams().end() || !log_->role().leading) return EndBinding();
  const std::string name = next->first;
  meta::Request request;
  request.mutable_update_stream()->set_name(name);
  const RequestKind& kind = *FindRequest(request.request_case());
  RequestDone done = lifetime_.Guard([this, name](const RequestOutcome& outcome) {
    if (!outcome.status.ok()) bind_again_ = true;
    home_.Post(lifetime_.Guard([this, name] { BindNext(name); }));
  });
  Enqueue(std::make_shared<Work>(
      Work{kind, kind.key(request), request, std::move(done), /*binds=*/true}));
}

void StreamRequests::EndBinding() {
  binding_ = false;
  if (!std::exchange(bind_again_, false)) return;
  home_.After(kBindRetryPeriod, lifetime_.Guard([this] { BindStreams(); }));
}

// false: nothing is missing, or the stream is gone.
bool StreamRequests::FillBinding(Work& work) const {
  const StreamDescription* stream = view_.table.Find(work.request.update_stream().name());
  if (stream == nullptr) return false;
  StreamOverrides open =
      OpenBindings(stream->overrides, view_.defaults, view_.table.feature_level());
  if (open == StreamOverrides()) return false;
  // A default that the stream's replicas cannot meet would stop it: they were enough before.
  if (open.min_isr && !CheckMinIsr(open, ReplicationOf(*stream)).ok()) open.min_isr = 0;
  work.request.mutable_update_stream()->clear_changes();
  ToProto(open, *work.request.mutable_update_stream()->mutable_changes());
  return true;
}

}  // namespace bascule::metadata
