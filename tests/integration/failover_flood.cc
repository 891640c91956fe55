#include "tests/integration/failover_flood.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bascule::cluster_job {
namespace {

// Of this process, in seconds.
double FloodCpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto in_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return in_seconds(used.ru_utime) + in_seconds(used.ru_stime);
}

// {"stream":"orders","seq":12}: the offset, one less; -1 of an error.
int64_t FloodOffset(std::string_view ack) {
  constexpr std::string_view kKey = "\"seq\":";
  const size_t at = ack.find(kKey);
  if (at == std::string_view::npos || ack.find("\"error\"") != std::string_view::npos) return -1;
  ack.remove_prefix(at + kKey.size());
  while (ack.starts_with(' ')) ack.remove_prefix(1);
  int64_t sequence = 0;
  const auto [end, error] = std::from_chars(ack.data(), ack.data() + ack.size(), sequence);
  return error == std::errc() && end != ack.data() ? sequence - 1 : -1;
}

}  // namespace

FailoverFlood::FailoverFlood(const std::string& nats_url, std::string subject, Options options)
    : subject_(std::move(subject)), options_(options), cpu_begun_(FloodCpu()) {
  REQUIRE(natsConnection_ConnectTo(&connection_, nats_url.c_str()) == NATS_OK);
  natsInbox* inbox = nullptr;
  REQUIRE(natsInbox_Create(&inbox) == NATS_OK);
  inbox_ = absl::StrCat(inbox, ".");
  natsInbox_Destroy(inbox);
  REQUIRE(natsConnection_Subscribe(&acks_, connection_, absl::StrCat(inbox_, "*").c_str(),
                                   &FailoverFlood::OnAck, this) == NATS_OK);
  REQUIRE(natsSubscription_SetPendingLimits(acks_, -1, -1) == NATS_OK);
  thread_.emplace([this](const std::atomic<bool>& stop) { Run(stop); });
}

FailoverFlood::~FailoverFlood() {
  thread_.reset();
  // Its thread may be in OnAck: the connection's end waits for it.
  natsConnection_Close(connection_);
  natsSubscription_Destroy(acks_);
  natsConnection_Destroy(connection_);
}

// --- sending ---

void FailoverFlood::Run(const std::atomic<bool>& stop) {
  std::vector<int64_t> numbers;
  Time due = Clock::now();
  while (!stop) {
    {
      std::unique_lock lock(mutex_);
      due = std::max(due + kTick, Clock::now());
      // A load's pace, not its synchronisation: nobody ends this wait.
      pace_.wait_until(lock, due);
      burst_.clear();
      Gather(Clock::now());
      numbers.swap(burst_);
    }
    Send(numbers);
  }
}

void FailoverFlood::Gather(Time now) {
  if (options_.insists) {
    GatherAgain(put_off_, now);
    GatherAgain(unanswered_, now);
  }
  again_ += burst_.size();
  if (!ending_) {
    const double elapsed = std::chrono::duration<double>(now - begun_).count();
    const auto target = static_cast<size_t>(elapsed * options_.rate);
    while (messages_.size() < target) {
      burst_.push_back(static_cast<int64_t>(messages_.size()));
      messages_.push_back({.sent = now, .acked = {}});
    }
  }
  if (!options_.insists) return;
  for (const int64_t number : burst_) {
    const uint32_t attempt = ++messages_[static_cast<size_t>(number)].attempt;
    unanswered_.push_back({now + kAnswer, number, attempt});
  }
}

void FailoverFlood::GatherAgain(std::deque<Again>& queue, Time now) {
  for (; !queue.empty() && queue.front().due <= now; queue.pop_front()) {
    const Again& again = queue.front();
    const Message& message = messages_[static_cast<size_t>(again.number)];
    if (message.offset >= 0 || message.attempt != again.attempt) continue;
    // Only once, whichever queue has it.
    ++messages_[static_cast<size_t>(again.number)].attempt;
    burst_.push_back(again.number);
  }
}

// nats.c gathers what is published and writes it from a thread of its own.
void FailoverFlood::Send(const std::vector<int64_t>& numbers) {
  std::string reply = inbox_;
  std::string value;
  for (const int64_t number : numbers) {
    reply.resize(inbox_.size());
    absl::StrAppend(&reply, number);
    value.assign("m");
    absl::StrAppend(&value, number);
    (void)natsConnection_PublishRequest(connection_, subject_.c_str(), reply.c_str(), value.data(),
                                        static_cast<int>(value.size()));
  }
}

// --- acks ---

void FailoverFlood::OnAck(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
  auto& flood = *static_cast<FailoverFlood*>(self);
  std::string_view subject = natsMsg_GetSubject(message);
  subject.remove_prefix(std::min(flood.inbox_.size(), subject.size()));
  int64_t number = -1;
  (void)std::from_chars(subject.data(), subject.data() + subject.size(), number);
  const std::string_view text(natsMsg_GetData(message),
                              static_cast<size_t>(natsMsg_GetDataLength(message)));
  if (number >= 0) flood.Take(number, text, !natsMsg_IsNoResponders(message));
  natsMsg_Destroy(message);
}

void FailoverFlood::Take(int64_t number, std::string_view text, bool heard) {
  const int64_t offset = heard ? FloodOffset(text) : -1;
  const Time now = Clock::now();
  const std::lock_guard lock(mutex_);
  if (static_cast<size_t>(number) >= messages_.size()) return;
  if (offset >= 0) return NoteAck(number, offset, now);
  ++(heard ? refused_ : unheard_);
  if (options_.insists)
    put_off_.push_back({now + kRefused, number, messages_[static_cast<size_t>(number)].attempt});
  if (ending_ && AllAnswered()) changed_.notify_all();
}

void FailoverFlood::NoteAck(int64_t number, int64_t offset, Time now) {
  longest_gap_ = std::max(longest_gap_, now - last_ack_);
  last_ack_ = now;
  Message& message = messages_[static_cast<size_t>(number)];
  if (message.offset >= 0) {
    acked_twice_.push_back({number, offset});
  } else {
    message.acked = now;
    message.offset = offset;
    ++acked_;
  }
  if (watched_ && !seen_ && message.sent >= *watched_) {
    seen_ = now;
    changed_.notify_all();
  }
  if (ending_ && AllAnswered()) changed_.notify_all();
}

bool FailoverFlood::AllAnswered() const {
  const uint64_t answered = acked_ + (options_.insists ? 0 : refused_ + unheard_);
  return answered >= messages_.size();
}

// --- the test's side ---

std::optional<FailoverFlood::Time> FailoverFlood::AckedAfter(Time since, Milliseconds limit) {
  std::unique_lock lock(mutex_);
  seen_.reset();
  const auto first =
      std::lower_bound(messages_.begin(), messages_.end(), since,
                       [](const Message& message, Time time) { return message.sent < time; });
  for (auto it = first; it != messages_.end(); ++it) {
    if (it->offset >= 0 && (!seen_ || it->acked < *seen_)) seen_ = it->acked;
  }
  watched_ = since;
  changed_.wait_for(lock, limit, [this] { return seen_.has_value(); });
  watched_.reset();
  return seen_;
}

FailoverFlood::Milliseconds FailoverFlood::TakeLongestGap() {
  const std::lock_guard lock(mutex_);
  const Clock::duration longest = std::max(longest_gap_, Clock::now() - last_ack_);
  longest_gap_ = {};
  return std::chrono::duration_cast<Milliseconds>(longest);
}

FailoverFlood::Result FailoverFlood::Stop(Milliseconds settle) {
  constexpr Milliseconds kQuiet{1000};
  Result result;
  const double elapsed = std::chrono::duration<double>(Clock::now() - begun_).count();
  result.cpu = (FloodCpu() - cpu_begun_) / elapsed;
  const Time deadline = Clock::now() + settle;
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    // What a dead broker took with it is answered by nobody: when no more comes, no more will.
    for (uint64_t before = 0; !AllAnswered() && Clock::now() < deadline;) {
      changed_.wait_for(lock, kQuiet, [this] { return AllAnswered(); });
      if (std::exchange(before, acked_ + refused_ + unheard_) == acked_ + refused_ + unheard_ &&
          !options_.insists) {
        break;
      }
    }
  }
  thread_->Stop();
  const std::lock_guard lock(mutex_);
  result.acked = acked_twice_;
  for (size_t n = 0; n < messages_.size(); ++n) {
    if (messages_[n].offset >= 0)
      result.acked.push_back({static_cast<int64_t>(n), messages_[n].offset});
  }
  result.sent = messages_.size();
  result.unacked = messages_.size() - acked_;
  result.again = again_;
  result.refused = refused_;
  result.unheard = unheard_;
  return result;
}

}  // namespace bascule::cluster_job
