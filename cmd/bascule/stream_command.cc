// `bascule stream create | update | list | info | gaps | delete`.
#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/interrupt.h"
#include "cmd/bascule/json_output.h"
#include "cmd/bascule/line_source.h"
#include "cmd/bascule/stream_query.h"
#include "cmd/bascule/stream_view.h"
#include "cmd/bascule/text.h"
#include "core/stream/setting_fields.h"

namespace bascule::cli {
namespace {

// Whether the person at the terminal typed the stream's name.
bool Confirmed(Session& session, const StreamReport& report) {
  uint64_t records = 0;
  uint64_t bytes = 0;
  for (const v1::Partition& partition : report.stream.partitions()) {
    records += RecordCount(partition);
    bytes += partition.bytes();
  }
  session.console.err << "This deletes " << EscapeText(report.stream.name()) << " with "
                      << Count(records, "record") << " (" << HumanBytes(bytes)
                      << ") for good.\nType its name to go on: " << std::flush;
  LineSource answer(session.console.in, session.interrupt.wake_fd());
  return answer.Next() == report.stream.name();
}

}  // namespace

ExitCode Run(Session& session, const StreamCreateOptions& options) {
  Console& console = session.console;
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return Report(console, broker.failure());
  v1::CreateStreamRequest request;
  request.set_name(options.name);
  request.set_subject(options.subject);
  request.set_group(options.group);
  request.set_partitions(options.partitions);
  request.set_replication_factor(options.replication_factor);
  PutOverrides(options.overrides, *request.mutable_settings());
  request.set_if_absent(options.if_absent);
  v1::CreateStreamResponse response;
  auto context = session.client.NewContext();
  const grpc::Status status = (*broker)->own->CreateStream(context.get(), request, &response);
  if (!status.ok())
    return Report(console, session.client.Explain(status, "create stream " + options.name));
  if (session.json) {
    console.out << CreatedJson(options.name, response) << '\n';
    return ExitCode::kOk;
  }
  if (response.created()) {
    console.out << "Created " << EscapeText(options.name) << ": "
                << Count(static_cast<uint64_t>(options.partitions), "partition") << " recording "
                << EscapeText(options.subject) << ".\n";
    return ExitCode::kOk;
  }
  console.out << "Stream " << EscapeText(options.name) << " was there already";
  console.out << (response.differences().empty() ? ", as asked.\n"
                                                 : ", but differs from what was asked:\n");
  for (const std::string& difference : response.differences()) {
    console.out << "  " << EscapeText(difference) << '\n';
  }
  return ExitCode::kOk;
}

ExitCode Run(Session& session, const StreamUpdateOptions& options) {
  Console& console = session.console;
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return Report(console, broker.failure());
  v1::UpdateStreamRequest request;
  request.set_name(options.name);
  PutOverrides(options.changes, *request.mutable_settings());
  v1::UpdateStreamResponse response;
  auto context = session.client.NewContext();
  const grpc::Status status = (*broker)->own->UpdateStream(context.get(), request, &response);
  if (!status.ok()) {
    return Report(console,
                  session.client.Explain(status, "update stream " + options.name, options.name));
  }
  if (session.json) {
    console.out << UpdatedJson(options.name, response) << '\n';
    return ExitCode::kOk;
  }
  console.out << "Updated " << EscapeText(options.name) << ".\n";
  if (response.has_settings()) PrintBehaviour(console.out, response.settings());
  return ExitCode::kOk;
}

ExitCode Run(Session& session, const StreamListOptions&) {
  Console& console = session.console;
  Outcome<std::vector<StreamReport>> reports = QueryStreams(session.client, "");
  if (!reports.ok()) return Report(console, reports.failure());
  if (session.json) {
    for (const StreamReport& report : *reports) console.out << StreamJson(report) << '\n';
  } else if (reports->empty()) {
    console.out << "No streams. Create one: bascule stream create NAME --subject SUBJECT\n";
  } else {
    PrintStreamTable(console.out, *reports, session.client.clock().Wall());
  }
  return ExitCode::kOk;
}

ExitCode Run(Session& session, const StreamInfoOptions& options) {
  Console& console = session.console;
  Outcome<std::vector<StreamReport>> reports = QueryStreams(session.client, options.name);
  if (!reports.ok()) return Report(console, reports.failure());
  if (reports->empty()) return Report(console, session.client.UnknownStream(options.name));
  if (session.json) {
    console.out << StreamJson(reports->front()) << '\n';
  } else {
    PrintStream(console.out, reports->front(), session.client.clock().Wall());
  }
  return ExitCode::kOk;
}

ExitCode Run(Session& session, const StreamGapsOptions& options) {
  Console& console = session.console;
  std::vector<int32_t> partitions;
  if (options.partition) {
    partitions.push_back(*options.partition);
  } else {
    Outcome<proto::FetchMetadataResponse> metadata = session.client.FetchMetadata(options.name);
    if (!metadata.ok()) return Report(console, metadata.failure());
    const auto& streams = metadata->streammetadata();
    if (streams.empty() || streams[0].error() != proto::StreamMetadata::OK)
      return Report(console, session.client.UnknownStream(options.name));
    for (const auto& [id, unused] : streams[0].partitions()) partitions.push_back(id);
    std::sort(partitions.begin(), partitions.end());
  }
  std::vector<PartitionGap> gaps;
  std::optional<Failure> failure;
  for (const int32_t partition : partitions) {
    failure = QueryGaps(session.client, options.name, partition, gaps);
    if (failure) break;
  }
  // What was found before the failure is told too.
  if (session.json) {
    for (const PartitionGap& gap : gaps) console.out << GapJson(gap) << '\n';
  } else if (!gaps.empty()) {
    PrintGaps(console.out, gaps);
  }
  if (failure) return Report(console, *failure);
  if (gaps.empty() && !session.json) {
    console.out << "No gap records: nothing is known to be missing from "
                << EscapeText(options.name) << ".\n";
  }
  return ExitCode::kOk;
}

ExitCode Run(Session& session, const StreamDeleteOptions& options) {
  Console& console = session.console;
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return Report(console, broker.failure());
  if (!options.yes) {
    if (!console.in_is_terminal) {
      return Report(console,
                    {ExitCode::kUsage,
                     absl::StrCat("deleting ", options.name,
                                  " needs a confirmation, and standard input is no terminal"),
                     "add --yes"});
    }
    Outcome<std::vector<StreamReport>> reports = QueryStreams(session.client, options.name);
    if (!reports.ok()) return Report(console, reports.failure());
    if (reports->empty()) return Report(console, session.client.UnknownStream(options.name));
    if (!Confirmed(session, reports->front())) {
      return Report(console, {ExitCode::kRefused, "nothing was deleted", "the name did not match"});
    }
  }
  proto::DeleteStreamRequest request;
  request.set_name(options.name);
  proto::DeleteStreamResponse response;
  auto context = session.client.NewContext();
  const grpc::Status status = (*broker)->api->DeleteStream(context.get(), request, &response);
  if (!status.ok()) {
    return Report(console,
                  session.client.Explain(status, "delete stream " + options.name, options.name));
  }
  if (session.json) {
    console.out << DeletedJson(options.name) << '\n';
  } else {
    console.out << "Deleted " << EscapeText(options.name) << ".\n";
  }
  return ExitCode::kOk;
}

}  // namespace bascule::cli
