// `bascule publish`: one message by a unary call, lines of standard input by PublishAsync (or, for
// a subject, which has no asynchronous call, one after the other).
#include <atomic>
#include <cstring>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cmd/bascule/async_publisher.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/interrupt.h"
#include "cmd/bascule/json_output.h"
#include "cmd/bascule/line_source.h"

namespace bascule::cli {
namespace {

template <typename Request>
void FillMessage(const PublishOptions& options, Request& request) {
  request.set_key(options.key);
  for (const auto& [name, value] : options.headers) (*request.mutable_headers())[name] = value;
  request.set_ackpolicy(static_cast<proto::AckPolicy>(options.ack));
  request.set_correlationid(options.correlation_id);
}

proto::PublishRequest StreamRequest(const PublishOptions& options) {
  proto::PublishRequest request;
  FillMessage(options, request);
  request.set_stream(options.stream);
  request.set_partition(options.partition);
  request.set_expectedoffset(options.expected_offset);
  return request;
}

// Prints what was stored where.
void PrintAck(Session& session, const PublishOptions& options, const proto::Ack& ack,
              std::optional<uint64_t> line) {
  if (options.quiet) return;
  if (session.json) {
    session.console.out << AckJson(ack, line) << '\n';
  } else {
    session.console.out << ack.offset() << '\n';
  }
}

// Streams that share a subject through a queue group answer for each other, which is said; no other
// one's word is an answer where offsets were to be checked. (Other servers pass on any ack that
// comes.)
bool IsElsewhere(const PublishOptions& options, const proto::Ack& ack) {
  return !options.stream.empty() && !ack.stream().empty() && ack.stream() != options.stream;
}

std::string StoredElsewhere(const PublishOptions& options, const std::string& stream) {
  return absl::StrCat("stored by stream ", stream, ", which records the subject of ",
                      options.stream, " too");
}

Failure NotChecked(const PublishOptions& options, const std::string& stream) {
  return {
      ExitCode::kRefused,
      absl::StrCat("stream ", options.stream, " did not answer; ",
                   StoredElsewhere(options, stream)),
      absl::StrCat("bascule stream info ", options.stream, " shows whether it holds the message")};
}

Failure NoAck(const PublishOptions& options, Duration timeout) {
  const std::string span = ExactDuration(timeout);
  if (!options.subject.empty()) {
    return {ExitCode::kUnreachable,
            absl::StrCat("no ack for subject ", options.subject, " within ", span),
            "does any stream record it? (bascule stream list)"};
  }
  return {ExitCode::kUnreachable, absl::StrCat("no ack from ", options.stream, " within ", span),
          absl::StrCat("the message may or may not be recorded; see bascule stream info ",
                       options.stream, " or raise --timeout")};
}

Failure Refusal(const PublishOptions& options, std::string text) {
  Failure failure{ExitCode::kRefused, absl::StrCat("not published: ", text), ""};
  if (text.find("max replication size") != text.npos || text.find("maximum payload") != text.npos) {
    failure.hint =
        "bascule server info and bascule stream info show the greatest size of a message";
  } else if (text.find("expected offset") != text.npos) {
    failure.hint = absl::StrCat("bascule stream info ", options.stream, " shows the newest offset");
  }
  return failure;
}

// The stream, or the partition of it, is not there.
Failure MissingTarget(Session& session, const PublishOptions& options, const std::string& text) {
  if (text.find("partition") == text.npos) return session.client.UnknownStream(options.stream);
  return {ExitCode::kNotFound,
          absl::StrCat("stream ", options.stream, " has no partition ", options.partition),
          absl::StrCat("bascule stream info ", options.stream, " shows those it has")};
}

Failure ExplainPublish(Session& session, const PublishOptions& options,
                       const grpc::Status& status) {
  Client& client = session.client;
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return NoAck(options, client.timeout());
    case grpc::StatusCode::NOT_FOUND:
      return MissingTarget(session, options, status.error_message());
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::FAILED_PRECONDITION:
      return Refusal(options, status.error_message());
    default:
      return client.Explain(
          status, "publish to " + (options.stream.empty() ? options.subject : options.stream),
          options.stream);
  }
}

std::string AckErrorText(proto::Ack::Error error) {
  switch (error) {
    case proto::Ack::INCORRECT_OFFSET:
      return "incorrect expected offset";
    case proto::Ack::TOO_LARGE:
      return "message exceeds max replication size";
    case proto::Ack::ENCRYPTION:
      return "encryption failed on partition";
    default:
      return "unknown error";
  }
}

// One message to one stream.
ExitCode PublishValue(Session& session, Broker& broker, const PublishOptions& options) {
  proto::PublishRequest request = StreamRequest(options);
  request.set_value(*options.value);
  proto::PublishResponse response;
  auto context = session.client.NewContext();
  const grpc::Status status = broker.api->Publish(context.get(), request, &response);
  if (!status.ok()) return Report(session.console, ExplainPublish(session, options, status));
  if (!response.has_ack()) return ExitCode::kOk;
  const bool elsewhere = IsElsewhere(options, response.ack());
  if (elsewhere && options.expected_offset >= 0) {
    return Report(session.console, NotChecked(options, response.ack().stream()));
  }
  PrintAck(session, options, response.ack(), std::nullopt);
  if (elsewhere) Note(session.console, StoredElsewhere(options, response.ack().stream()));
  return ExitCode::kOk;
}

// One message to whoever records the subject; kOk or what went wrong, said.
ExitCode PublishToSubject(Session& session, Broker& broker, const PublishOptions& options,
                          const std::string& value, std::optional<uint64_t> line) {
  proto::PublishToSubjectRequest request;
  FillMessage(options, request);
  if (line && !options.correlation_id.empty()) {
    request.set_correlationid(absl::StrCat(options.correlation_id, "-", *line));
  }
  request.set_subject(options.subject);
  request.set_value(value);
  proto::PublishToSubjectResponse response;
  auto context = session.client.NewContext();
  const grpc::Status status = broker.api->PublishToSubject(context.get(), request, &response);
  if (!status.ok()) return Report(session.console, ExplainPublish(session, options, status));
  if (response.ack().ackerror() != proto::Ack::OK) {
    return Report(session.console, Refusal(options, AckErrorText(response.ack().ackerror())));
  }
  if (response.has_ack()) PrintAck(session, options, response.ack(), line);
  return ExitCode::kOk;
}

ExitCode InputFailed(Session& session, int error) {
  return Report(
      session.console,
      {ExitCode::kRefused, absl::StrCat("cannot read standard input: ", std::strerror(error)), ""});
}

void PromptForLines(Session& session) {
  if (session.console.in_is_terminal) Note(session.console, "reading lines; Ctrl-D ends");
}

ExitCode PublishSubjectLines(Session& session, Broker& broker, const PublishOptions& options) {
  const Interrupt::Handler handler(session.interrupt, [] {});
  PromptForLines(session);
  LineSource lines(session.console.in, session.interrupt.wake_fd());
  uint64_t line = 0;
  while (!session.interrupt.raised()) {
    const std::optional<std::string> value = lines.Next();
    if (!value) break;
    const ExitCode code = PublishToSubject(session, broker, options, *value, ++line);
    if (code != ExitCode::kOk) {
      Note(session.console,
           absl::StrCat("that was line ", line, "; the lines before it are published"));
      return code;
    }
    if (!lines.HasBuffered()) session.console.out.flush();
  }
  return lines.error() != 0 ? InputFailed(session, lines.error()) : ExitCode::kOk;
}

// What became of the lines, filled in on the reader thread until Finish() returns.
class LineResults {
 public:
  LineResults(Session& session, const PublishOptions& options)
      : session_(session), options_(options) {}

  void Take(const AsyncPublisher::Answer& answer) {
    uint64_t line = 0;
    const absl::string_view id = answer.id;
    if (!absl::SimpleAtoi(id.substr(id.rfind('-') + 1), &line)) return;
    if (answer.response.has_asyncerror()) {
      const auto& error = answer.response.asyncerror();
      if (!refused_ || line < refused_line_) {
        refused_line_ = line;
        code_ = error.code();
        text_ = error.message();
      }
      refused_ = true;
      return;
    }
    const proto::Ack& ack = answer.response.ack();
    if (IsElsewhere(options_, ack)) {
      elsewhere_ = ack.stream();
      if (options_.expected_offset >= 0) {
        refused_line_ = line;  // one at a time with expected offsets: it is the first
        refused_ = true;
        return;
      }
    }
    ++stored_;
    latency_ = std::max(latency_, answer.latency);
    PrintAck(session_, options_, ack, line);
  }

  // Read by the sender too, to stop at the first refusal.
  bool refused() const { return refused_; }
  uint64_t stored() const { return stored_; }
  uint64_t refused_line() const { return refused_line_; }
  proto::PublishAsyncError::Code code() const { return code_; }
  const std::string& text() const { return text_; }
  // Another stream that stored a line; empty = none.
  const std::string& elsewhere() const { return elsewhere_; }
  Duration slowest() const { return latency_; }

 private:
  Session& session_;
  const PublishOptions& options_;
  std::atomic<bool> refused_{false};
  uint64_t stored_ = 0;
  uint64_t refused_line_ = 0;
  proto::PublishAsyncError::Code code_ = proto::PublishAsyncError::UNKNOWN;
  std::string text_;
  std::string elsewhere_;
  Duration latency_{0};
};

struct LinesSent {
  uint64_t lines = 0;
  int input_error = 0;
};

LinesSent SendLines(Session& session, const PublishOptions& options, AsyncPublisher& publisher,
                    const LineResults& results) {
  LinesSent sent;
  LineSource lines(session.console.in, session.interrupt.wake_fd());
  proto::PublishRequest request = StreamRequest(options);
  const std::string prefix = options.correlation_id.empty() ? "" : options.correlation_id + "-";
  while (!session.interrupt.raised() && !results.refused()) {
    std::optional<std::string> value = lines.Next();
    if (!value) break;
    ++sent.lines;
    request.set_value(*std::move(value));
    request.set_correlationid(absl::StrCat(prefix, sent.lines));
    const bool more = lines.HasBuffered();
    if (!publisher.Send(request,
                        more ? AsyncPublisher::Next::kAtOnce : AsyncPublisher::Next::kLater))
      break;
    if (options.expected_offset >= 0) request.set_expectedoffset(request.expectedoffset() + 1);
  }
  sent.input_error = lines.error();
  return sent;
}

Failure RefusedLine(Session& session, const PublishOptions& options, const LineResults& results) {
  Failure failure;
  if (results.text().empty() && !results.elsewhere().empty()) {
    failure = NotChecked(options, results.elsewhere());
  } else if (results.code() == proto::PublishAsyncError::NOT_FOUND) {
    failure = MissingTarget(session, options, results.text());
  } else {
    failure = Refusal(options, results.text());
  }
  failure.what = absl::StrCat("line ", results.refused_line(), ": ", failure.what);
  return failure;
}

ExitCode PublishLines(Session& session, const BrokerPtr& broker, const PublishOptions& options) {
  Console& console = session.console;
  PromptForLines(session);
  LineResults results(session, options);
  // With expected offsets one at a time: a line after a refused one must not be stored in its
  // place.
  const uint64_t window = options.expected_offset >= 0 ? 1 : static_cast<uint64_t>(options.window);
  AsyncPublisher publisher(broker, session.client.clock(), {window, session.client.timeout()},
                           [&](const AsyncPublisher::Answer& answer) { results.Take(answer); });
  // The line source wakes up by itself; what was sent still gets its acks.
  const Interrupt::Handler handler(session.interrupt, [] {});
  const LinesSent sent = SendLines(session, options, publisher, results);
  const grpc::Status status = publisher.Finish();
  console.out.flush();
  const uint64_t unknown = publisher.unanswered();
  const bool unusual =
      session.interrupt.raised() || unknown > 0 || (results.refused() && results.stored() > 0);
  const bool summary = console.err_is_terminal || unusual;
  if (summary && options.ack != AckPolicy::kNone) {
    Note(console,
         absl::StrCat(GroupDigits(results.stored()), " of ", Count(sent.lines, "line"), " stored",
                      unknown == 0
                          ? ""
                          : absl::StrCat(", the outcome of ", GroupDigits(unknown), " is unknown"),
                      ", slowest ack ", HumanDuration(results.slowest())));
  }
  if (results.refused()) return Report(console, RefusedLine(session, options, results));
  if (!results.elsewhere().empty()) Note(console, StoredElsewhere(options, results.elsewhere()));
  if (!status.ok()) return Report(console, ExplainPublish(session, options, status));
  if (sent.input_error != 0) return InputFailed(session, sent.input_error);
  return ExitCode::kOk;
}

}  // namespace

ExitCode Run(Session& session, const PublishOptions& options) {
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return Report(session.console, broker.failure());
  if (!options.subject.empty()) {
    return options.value
               ? PublishToSubject(session, **broker, options, *options.value, std::nullopt)
               : PublishSubjectLines(session, **broker, options);
  }
  return options.value ? PublishValue(session, **broker, options)
                       : PublishLines(session, *broker, options);
}

}  // namespace bascule::cli
