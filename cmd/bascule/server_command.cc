// `bascule server info`.
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/json_output.h"
#include "cmd/bascule/text.h"

namespace bascule::cli {
namespace {

std::string Disk(const v1::GetServerInfoResponse& server) {
  if (server.disk_total() == 0) return "unknown";
  const double free = 100.0 * static_cast<double>(server.disk_available()) /
                      static_cast<double>(server.disk_total());
  return absl::StrCat(HumanBytes(server.disk_available()), " free of ",
                      HumanBytes(server.disk_total()), " (", static_cast<int>(free),
                      "%), recording stops below ", HumanBytes(server.disk_reserve()));
}

std::string Nats(const v1::GetServerInfoResponse& server) {
  if (!server.nats_connected()) return "NOT CONNECTED: nothing published now is recorded";
  return absl::StrCat(
      EscapeText(server.nats_server()), ", payload up to ",
      HumanBytes(static_cast<uint64_t>(std::max<int64_t>(server.nats_max_payload(), 0))));
}

void PrintServer(std::ostream& out, const v1::GetServerInfoResponse& server, Timestamp now) {
  const auto line = [&](const char* title, const std::string& text) {
    out << "  " << title << std::string(14 - std::string_view(title).size(), ' ') << text << '\n';
  };
  const Timestamp started(server.started());
  out << "Bascule " << EscapeText(server.version()) << ", broker " << EscapeText(server.server_id())
      << '\n';
  line("started", FormatTime(started, Precision::kSeconds) + " (" + Age(started, now) + ")");
  line("listens on",
       EscapeText(server.listen()) + (server.advertised() == server.listen()
                                          ? ""
                                          : ", advertised as " + EscapeText(server.advertised())));
  line("NATS", Nats(server));
  line("namespace", EscapeText(server.namespace_()));
  line("messages", "up to " + HumanBytes(static_cast<uint64_t>(
                                  std::max<int64_t>(server.max_message_bytes(), 0))));
  line("streams",
       Count(server.streams(), "stream") + ", " + Count(server.partitions(), "partition"));
  line("data", EscapeText(server.data_dir()));
  line("disk", Disk(server));
  line("incarnation", EscapeText(server.incarnation()));
  if (!server.counters().empty()) {
    out << '\n';
    Table table({{"SINCE THE START"}, {"COUNT", Table::Align::kRight}});
    const std::map<std::string, uint64_t> sorted(server.counters().begin(),
                                                 server.counters().end());
    for (const auto& [name, value] : sorted) table.AddRow({EscapeText(name), GroupDigits(value)});
    table.Print(out);
  }
  out << '\n';
  if (server.degraded().empty()) out << "All is well.\n";
  for (const std::string& sentence : server.degraded()) out << "! " << EscapeText(sentence) << '\n';
}

}  // namespace

ExitCode Run(Session& session, const ServerInfoOptions&) {
  Console& console = session.console;
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return Report(console, broker.failure());
  v1::GetServerInfoResponse server;
  auto context = session.client.NewContext();
  const grpc::Status status =
      (*broker)->own->GetServerInfo(context.get(), v1::GetServerInfoRequest(), &server);
  if (!status.ok())
    return Report(console, session.client.Explain(status, "ask the broker about itself"));
  if (session.json) {
    console.out << ServerJson(server) << '\n';
  } else {
    PrintServer(console.out, server, session.client.clock().Wall());
  }
  return ExitCode::kOk;
}

}  // namespace bascule::cli
