#include "cmd/bascule/bench_report.h"

#include "absl/strings/str_join.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/text.h"

namespace bascule::cli {
namespace {

using Align = Table::Align;

std::string PerSecond(double rate) { return GroupDigits(static_cast<uint64_t>(rate)) + "/s"; }

std::string BytesPerSecond(const BenchRow& row) {
  if (row.elapsed.count() <= 0) return "-";
  return HumanBytes(static_cast<uint64_t>(static_cast<double>(row.bytes) * 1e9 /
                                          static_cast<double>(row.elapsed.count()))) +
         "/s";
}

}  // namespace

void PrintBench(std::ostream& out, const std::vector<BenchRow>& rows, bool json) {
  if (rows.empty()) return;
  if (json) {
    for (const BenchRow& row : rows) out << BenchJson(row) << '\n';
    return;
  }
  const bool publish = rows.front().kind == "publish";
  std::vector<Table::Column> columns{{"SIZE", Align::kRight},
                                     {"MESSAGES", Align::kRight},
                                     {"TIME", Align::kRight},
                                     {"RATE", Align::kRight},
                                     {"THROUGHPUT", Align::kRight}};
  if (publish) {
    for (const char* title : {"ACK P50", "ACK P99", "ACK MAX"})
      columns.push_back({title, Align::kRight});
  } else {
    columns.push_back({"FIRST MESSAGE", Align::kRight});
  }
  columns.push_back({"ERRORS", Align::kRight});
  Table table(columns);
  for (const BenchRow& row : rows) {
    std::vector<std::string> cells{HumanBytes(static_cast<uint64_t>(row.size)),
                                   GroupDigits(row.messages), HumanDuration(row.elapsed),
                                   PerSecond(Rate(row)), BytesPerSecond(row)};
    const auto latency = [&](Duration span) {
      return row.ack == "none" ? "-" : HumanDuration(span);
    };
    if (publish) {
      for (Duration span : {row.p50, row.p99, row.max}) cells.push_back(latency(span));
    } else {
      cells.push_back(HumanDuration(row.max));
    }
    cells.push_back(GroupDigits(row.errors));
    table.AddRow(cells);
  }
  const BenchRow& row = rows.front();
  out << (publish ? "Published to " : "Replayed ") << EscapeText(absl::StrJoin(row.streams, ", "));
  if (publish) out << ", window " << GroupDigits(row.window) << " a stream, ack " << row.ack;
  out << (rows.back().interrupted ? " (interrupted)" : "") << "\n\n";
  table.Print(out);
}

}  // namespace bascule::cli
