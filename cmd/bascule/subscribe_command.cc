// `bascule subscribe`: reads one partition from its leader, and when following goes on where it was
// after the broker or the connection went away.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/interrupt.h"
#include "cmd/bascule/message_feed.h"
#include "cmd/bascule/message_printer.h"
#include "cmd/bascule/progress.h"
#include "cmd/bascule/unavailable.h"

namespace bascule::cli {
namespace {

constexpr Duration kRetryPause = std::chrono::milliseconds(500);
constexpr Duration kIdleWait = std::chrono::seconds(1);

proto::StartPosition StartOf(Place::Kind kind) {
  switch (kind) {
    case Place::Kind::kNew:
      return proto::NEW_ONLY;
    case Place::Kind::kEarliest:
      return proto::EARLIEST;
    case Place::Kind::kLatest:
      return proto::LATEST;
    case Place::Kind::kOffset:
      return proto::OFFSET;
    case Place::Kind::kTime:
      return proto::TIMESTAMP;
  }
  return proto::EARLIEST;
}

// One run of the command: what was asked, what has been printed so far.
class Subscription {
 public:
  Subscription(Session& session, const SubscribeOptions& options, std::ostream& out,
               PartitionLeader leader)
      : session_(session),
        options_(options),
        out_(out),
        leader_(std::move(leader)),
        partition_(options.partition.value_or(0)),
        printer_(options.format, leader_.stream.subject(), options.newline),
        progress_(session.console, session.client.clock(),
                  !options.output.empty() || !session.console.out_is_terminal) {}

  ExitCode Run();

 private:
  enum class End { kDone, kOutputGone, kBroken };

  proto::SubscribeRequest Request() const;
  End Read(MessageFeed& feed);
  // Whether the message is the last one wanted; prints it unless it lies past the end.
  bool TakeLast(const proto::Message& message);
  End Judge(const grpc::Status& status);
  ExitCode Fail(const grpc::Status& status);
  bool Reconnect();
  void NoteConnected();
  void Summarise();

  Session& session_;
  const SubscribeOptions& options_;
  std::ostream& out_;
  PartitionLeader leader_;
  const int32_t partition_;
  const MessagePrinter printer_;
  Progress progress_;
  uint64_t printed_ = 0;
  uint64_t bytes_ = 0;
  int64_t first_offset_ = -1;
  int64_t last_offset_ = -1;
  bool connected_once_ = false;
  std::optional<MonotonicTime> lost_at_;  // since when no subscription stands
  grpc::Status status_;
};

proto::SubscribeRequest Subscription::Request() const {
  proto::SubscribeRequest request;
  request.set_stream(options_.stream);
  request.set_partition(partition_);
  request.set_startposition(StartOf(options_.from.kind));
  if (options_.from.kind == Place::Kind::kOffset) request.set_startoffset(options_.from.value);
  if (options_.from.kind == Place::Kind::kTime) request.set_starttimestamp(options_.from.value);
  if (last_offset_ >= 0) {
    request.set_startposition(proto::OFFSET);
    request.set_startoffset(last_offset_ + 1);
  }
  request.set_reverse(options_.reverse);
  // A stop below the start is refused by servers even when reading backwards: the end is watched
  // for here.
  if (!options_.until || options_.reverse) return request;
  switch (options_.until->kind) {
    case Place::Kind::kOffset:
      request.set_stopposition(proto::STOP_OFFSET);
      request.set_stopoffset(options_.until->value);
      break;
    case Place::Kind::kTime:
      request.set_stopposition(proto::STOP_TIMESTAMP);
      request.set_stoptimestamp(options_.until->value);
      break;
    default:
      request.set_stopposition(proto::STOP_LATEST);
  }
  return request;
}

bool Subscription::TakeLast(const proto::Message& message) {
  if (options_.reverse && options_.until) {
    const Place& until = *options_.until;
    const int64_t at = until.kind == Place::Kind::kOffset ? message.offset() : message.timestamp();
    if (at < until.value) return true;
  }
  printer_.Print(out_, message);
  if (printed_++ == 0) first_offset_ = message.offset();
  last_offset_ = message.offset();
  bytes_ += message.value().size();
  return options_.count && printed_ >= *options_.count;
}

Subscription::End Subscription::Read(MessageFeed& feed) {
  std::vector<proto::Message> batch;
  const int64_t high_watermark = leader_.partition.highwatermark();
  const bool bounded =
      !options_.follow && options_.from.kind == Place::Kind::kEarliest && high_watermark >= 0;
  for (;;) {
    const bool stands = feed.established();
    const auto event = feed.Take(batch, stands ? kIdleWait : session_.client.timeout());
    for (const proto::Message& message : batch) {
      if (!TakeLast(message)) continue;
      out_.flush();
      return out_ ? End::kDone : End::kOutputGone;
    }
    if (!batch.empty()) out_.flush();
    if (!out_) return End::kOutputGone;
    if (feed.established()) NoteConnected();
    if (event == MessageFeed::Event::kEnded) {
      status_ = feed.status();
      return Judge(status_);
    }
    if (event == MessageFeed::Event::kIdle && !feed.established()) {
      status_ = {grpc::StatusCode::DEADLINE_EXCEEDED, "the subscription was not confirmed in time"};
      return End::kBroken;
    }
    progress_.Show(printed_, bounded ? static_cast<uint64_t>(high_watermark) + 1 : 0, "messages",
                   HumanBytes(bytes_));
  }
}

Subscription::End Subscription::Judge(const grpc::Status& status) {
  const std::string& text = status.error_message();
  if (session_.interrupt.raised()) return End::kDone;
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      // A subscription has no such end.
      status_ = {grpc::StatusCode::UNAVAILABLE, kSubscriptionEnded};
      return End::kBroken;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: {
      // The ends that a stop position or a read-only partition leads to; anything else is a limit
      // that was hit.
      const bool end = text == "Stop offset reached" || text == "Stream is empty" ||
                       text == "End of readonly partition";
      return end ? End::kDone : End::kBroken;
    }
    case grpc::StatusCode::UNKNOWN:
      return options_.reverse && text == "EOF" ? End::kDone : End::kBroken;
    case grpc::StatusCode::INVALID_ARGUMENT:
      // --from lies behind the newest message, and the end is there.
      return absl::StartsWith(text, "Stop offset is before start offset") ? End::kDone
                                                                          : End::kBroken;
    case grpc::StatusCode::INTERNAL:
      // Nothing was recorded as early as --until, or there is nothing to go back through.
      if (absl::StartsWith(text, "Failed to lookup offset for timestamp")) return End::kDone;
      return options_.reverse && absl::StrContains(text, "segment not found") ? End::kDone
                                                                              : End::kBroken;
    default:
      return End::kBroken;
  }
}

ExitCode Subscription::Fail(const grpc::Status& status) {
  Failure failure =
      session_.client.Explain(status, absl::StrCat("read ", options_.stream, "/", partition_),
                              options_.stream, leader_.broker);
  const std::string& text = status.error_message();
  if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION &&
      absl::StrContains(text, "closed")) {
    failure.what = absl::StrCat("partition ", partition_, " of ", options_.stream, " is paused");
    failure.hint = "publishing to it through the API resumes it";
  } else if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION &&
             absl::StrContains(text, "leader")) {
    failure.hint = "bascule stream info shows who leads it, bascule cluster status who is there";
  } else if (status.error_code() == grpc::StatusCode::NOT_FOUND &&
             absl::StrContains(text, "deleted")) {
    failure = {ExitCode::kNotFound, absl::StrCat("stream ", options_.stream, " was deleted"), ""};
  }
  if (failure.hint.empty())
    failure.hint = absl::StrCat("bascule stream info ", options_.stream, " shows its partitions");
  return Report(session_.console, failure);
}

// Waits until the partition can be read again; false when --reconnect has passed or the person has
// had enough.
bool Subscription::Reconnect() {
  Client& client = session_.client;
  const bool moved = status_.error_code() == grpc::StatusCode::FAILED_PRECONDITION &&
                     absl::StrContains(status_.error_message(), "leader");
  const bool gone = status_.error_code() == grpc::StatusCode::UNAVAILABLE;
  if (!connected_once_ || !options_.follow || !(gone || moved)) return false;
  if (!lost_at_) {
    lost_at_ = client.clock().Monotonic();
    progress_.Clear();
    const std::string& address = leader_.broker->address;
    const std::string what =
        moved || client.IsLost(status_, leader_.broker)
            ? absl::StrCat("the connection to ", address, " was lost")
            : absl::StrCat(address, " serves it no more (", status_.error_message(), ")");
    Note(session_.console,
         absl::StrCat(what, "; trying again for ", ExactDuration(options_.reconnect)));
  }
  while (Between(*lost_at_, client.clock().Monotonic()) < options_.reconnect) {
    if (!session_.interrupt.Pause(kRetryPause)) return false;
    client.Disconnect();
    Outcome<PartitionLeader> leader = client.FindLeader(options_.stream, partition_);
    if (leader.ok()) {
      leader_ = std::move(*leader);
      return true;
    }
    if (leader.failure().code == ExitCode::kNotFound) return false;
  }
  return false;
}

// The subscription stands: for the first time, or again.
void Subscription::NoteConnected() {
  connected_once_ = true;
  if (!lost_at_) return;
  lost_at_.reset();
  Note(session_.console, absl::StrCat("connected again, to ", leader_.broker->address));
}

void Subscription::Summarise() {
  Console& console = session_.console;
  progress_.Clear();
  if (printed_ == 0 && !session_.interrupt.raised() && console.err_is_terminal) {
    Note(console,
         absl::StrCat("nothing to print in partition ", partition_, " of ", options_.stream));
    return;
  }
  const bool shown =
      session_.interrupt.raised() || (console.err_is_terminal && !options_.output.empty());
  if (!shown) return;
  console.err << Count(printed_, "message");
  if (printed_ > 0) {
    console.err << ", offsets " << first_offset_ << " to " << last_offset_ << ", "
                << HumanBytes(bytes_);
  }
  console.err << std::endl;
}

ExitCode Subscription::Run() {
  for (;;) {
    MessageFeed feed(leader_.broker, Request());
    const Interrupt::Handler handler(session_.interrupt, [&feed] { feed.Cancel(); });
    const End end = Read(feed);
    if (end != End::kBroken) {
      Summarise();
      if (end == End::kDone || options_.output.empty()) return ExitCode::kOk;
      return Report(session_.console,
                    {ExitCode::kRefused,
                     absl::StrCat("cannot write ", options_.output, ": ", std::strerror(errno)),
                     "is the disk full?"});
    }
    if (Reconnect()) continue;
    Summarise();
    if (session_.interrupt.raised()) return ExitCode::kOk;
    return Fail(status_);
  }
}

}  // namespace

ExitCode Run(Session& session, const SubscribeOptions& options) {
  Console& console = session.console;
  const int32_t partition = options.partition.value_or(0);
  Outcome<PartitionLeader> leader = session.client.FindLeader(options.stream, partition);
  if (!leader.ok()) return Report(console, leader.failure());
  const int partitions = leader->stream.partitions_size();
  if (!options.partition && partitions > 1) {
    Note(console, absl::StrCat(options.stream, " has ", partitions,
                               " partitions; this is partition 0 (-p chooses)"));
  }
  if (options.output.empty())
    return Subscription(session, options, console.out, std::move(*leader)).Run();
  std::ofstream file(options.output, std::ios::binary | std::ios::trunc);
  if (!file) {
    return Report(console,
                  {ExitCode::kRefused,
                   absl::StrCat("cannot write ", options.output, ": ", std::strerror(errno)), ""});
  }
  return Subscription(session, options, file, std::move(*leader)).Run();
}

}  // namespace bascule::cli
